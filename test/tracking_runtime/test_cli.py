"""`rstrack` lists its commands, survives broken plug-ins and prints errors in one line."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner

from tracking_runtime import cli
from tracking_runtime.errors import TrackingError

HEAVY_MODULES = ("cv2", "matplotlib", "openvino", "pandas", "rclpy", "scipy", "torch", "trackeval")
PRINT_HEAVY_MODULES = f"""
import sys
from click.testing import CliRunner
from tracking_runtime.cli import rstrack
from tracking_runtime.plugins import BENCH, COMMANDS, IMPORT, TRAIN, find_plugins
for group, plugins in (([], COMMANDS), (["bench"], BENCH), (["import"], IMPORT), (["train"], TRAIN)):
    for name in find_plugins(plugins):
        assert CliRunner().invoke(rstrack, [*group, name, "--help"]).exit_code == 0, name
        print(*(f"{{name}} imports {{module}}" for module in {HEAVY_MODULES} if module in sys.modules))
"""


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> click.Group:
    """Return a group of which two of four commands are broken."""
    points = {
        "good": EntryPoint("good", "test_plugin:good", "some.group"),
        "gone": EntryPoint("gone", "no_such_module_at_all:command", "some.group"),
        "odd": EntryPoint("odd", "math:pi", "some.group"),
        "repair": EntryPoint("repair", "tracking_runtime.commands.bag:repair", "some.group"),
    }
    monkeypatch.setattr(cli, "find_plugins", {"some.group": points}.get)
    return cli.PluginGroup("tool", plugins="some.group")


def test_broken_command_is_listed_with_the_reason(group: click.Group) -> None:
    result = CliRunner().invoke(group, ["--help"])

    assert result.exit_code == 0
    assert "! no_such_module_at_all:command cannot be loaded" in result.output
    assert "Finish the recording BAG" in result.output


@pytest.mark.parametrize(
    ("name", "reason"), [("gone", "No module named"), ("odd", "expected a click command: got a float")]
)
def test_broken_command_fails_with_the_reason(group: click.Group, name: str, reason: str) -> None:
    result = CliRunner().invoke(group, [name, "--some", "argument"])

    assert result.exit_code == 1
    assert reason in result.output


def test_unknown_command_is_a_usage_error(group: click.Group) -> None:
    assert CliRunner().invoke(group, ["nothing"]).exit_code == 2


def test_tracking_error_is_printed_in_one_line(group: click.Group) -> None:
    @group.command()
    def fail() -> None:
        raise TrackingError("bag x does not exist; give a recording")

    result = CliRunner().invoke(group, ["fail"])

    assert result.exit_code == 1
    assert result.output == "Error: bag x does not exist; give a recording\n"


def test_rstrack_leaves_the_sigterm_handler_of_its_caller() -> None:
    handler = signal.getsignal(signal.SIGTERM)

    CliRunner().invoke(cli.rstrack, ["info", "--help"])

    assert signal.getsignal(signal.SIGTERM) is handler


def test_rstrack_has_a_version_and_commands() -> None:
    assert CliRunner().invoke(cli.rstrack, ["--version"]).output.startswith("rstrack, version ")

    output = CliRunner().invoke(cli.rstrack, ["--help"]).output
    for name in ("demo", "train", "bench", "info", "simulate"):
        assert name in output


def test_help_of_all_commands_imports_no_heavy_modules() -> None:
    command = [sys.executable, "-c", PRINT_HEAVY_MODULES]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--only", "nothing"], "hyperspectral, satellite"),
        (
            ["--satellite", "/no/such/folder"],
            "'/no/such/folder' is not a source of frames: nothing is at this path",
        ),
        (["--frames", "1"], "--frames"),
    ],
)
def test_demo_refuses_invalid_options(arguments: list[str], reason: str) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")

    result = CliRunner().invoke(cli.rstrack, ["demo", *arguments])

    assert result.exit_code != 0
    assert reason in result.output
