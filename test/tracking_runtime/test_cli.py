"""``rstrack`` itself: what it offers, and that a broken plug-in breaks nothing else."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import click
import pytest
from click.testing import CliRunner

from tracking_runtime import cli


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> click.Group:
    points = [
        EntryPoint("good", "test_plugin:good", "some.group"),
        EntryPoint("gone", "no_such_module_at_all:command", "some.group"),
        EntryPoint("odd", "math:pi", "some.group"),
        EntryPoint("info", "tracking_runtime.commands.bag:info", "some.group"),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: [p for p in points if p.group == group])
    return cli.PluginGroup("tool", plugins="some.group")


def test_a_broken_command_is_listed_with_its_reason(group: click.Group) -> None:
    listed = CliRunner().invoke(group, ["--help"])
    assert listed.exit_code == 0
    assert "! no_such_module_at_all:command cannot be loaded" in listed.output
    assert "Say what the recording BAG holds." in listed.output


def test_a_broken_command_says_why_and_fails(group: click.Group) -> None:
    for name, reason in (("gone", "No module named"), ("odd", "not a click command")):
        called = CliRunner().invoke(group, [name, "--some", "argument"])
        assert called.exit_code == 1
        assert reason in called.output


def test_an_unknown_command_is_a_usage_error(group: click.Group) -> None:
    assert CliRunner().invoke(group, ["nothing"]).exit_code == 2


def test_version_and_commands() -> None:
    assert CliRunner().invoke(cli.main, ["--version"]).output.startswith("rstrack, version ")
    commands = CliRunner().invoke(cli.main, ["--help"]).output
    for name in ("demo", "train", "bench", "info", "simulate"):
        assert name in commands


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--only", "nothing"], "no flight named nothing; there: hyperspectral, satellite"),
        (["--satellite", "/no/such/folder"], "'/no/such/folder' does not exist"),
        (["--frames", "1"], "--frames"),
    ],
)
def test_the_demo_refuses_what_it_cannot_do(arguments: list[str], reason: str) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    called = CliRunner().invoke(cli.main, ["demo", *arguments])
    assert called.exit_code != 0
    assert reason in called.output
