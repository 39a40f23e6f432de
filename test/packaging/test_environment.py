"""Set-up does what changed, and only that; the shell it makes has everything, once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / ".venv" / "setup.bash"


@pytest.fixture
def make_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The module, with its stamps and logs elsewhere."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_environment as module

    (tmp_path / "log").mkdir()
    monkeypatch.setattr(module, "VENV", tmp_path)
    monkeypatch.setattr(module, "LOGS", tmp_path / "log")
    monkeypatch.setattr(module, "STAMPS", tmp_path / "stamps")
    yield module
    sys.modules.pop("make_environment")


def test_step_is_made_once_and_again_when_its_input_changes(make_environment: ModuleType) -> None:
    made: list[str] = []
    source = ["one"]
    step = make_environment.Step("overlay", "", lambda: source[0], lambda: made.append(source[0]))
    assert make_environment.update(step)
    assert not make_environment.update(step)
    source[0] = "two"
    assert make_environment.update(step)
    assert made == ["one", "two"]


def test_failed_step_is_made_again(make_environment: ModuleType) -> None:
    def fail() -> None:
        make_environment.run("overlay", "sh", "-c", "echo why; exit 3")

    step = make_environment.Step("overlay", "", lambda: "same", fail)
    for _ in range(2):
        with pytest.raises(make_environment.SetupError, match="why"):
            make_environment.update(step)


def test_digest_sees_contents_of_files_but_only_names_in_lists(make_environment: ModuleType) -> None:
    digest = make_environment.digest
    makefile, readme = ROOT / "Makefile", ROOT / "LICENSE"
    assert digest(makefile) != digest([makefile])
    assert digest([makefile, readme]) == digest([readme, makefile])
    assert digest("ab", "c") != digest("a", "bc")


def test_dependencies_include_every_extra(make_environment: ModuleType) -> None:
    names = {requirement.split(">")[0] for requirement in make_environment.dependencies()}
    assert {"torch", "openvino", "pytest", "ruff"} <= names


def test_include_paths_of_the_wheels_are_corrected(make_environment: ModuleType, tmp_path: Path) -> None:
    exports = tmp_path / "share" / "std_msgs" / "cmake" / "export.cmake"
    exports.parent.mkdir(parents=True)
    python = "/opt/python/cp311-cp311"
    site = f"{python}/lib/python3.11/site-packages/numpy/_core/include"
    exports.write_text(f'INTERFACE_INCLUDE_DIRECTORIES "{python}/include/python3.11;{site}"')
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    make_environment.correct_include_paths(Path("/headers"))
    name = "python{}.{}".format(*sys.version_info)
    packages = tmp_path / "lib" / name / "site-packages"
    assert exports.read_text() == f'INTERFACE_INCLUDE_DIRECTORIES "/headers;{packages}/numpy/_core/include"'


def sourced(shell: str, script: str, **environment: str) -> str:
    """What a strict shell prints after sourcing the environment."""
    path = shutil.which(shell)
    if path is None or not SETUP.exists():
        pytest.skip(f"needs {shell} and {SETUP}")
    base = {"PATH": os.defpath, "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        [path, "-euc", f"source {SETUP}\n{script}"],
        env=base | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
class TestShell:
    """A shell after `source .venv/setup.bash`."""

    def test_sourcing_twice_changes_nothing(self, shell: str) -> None:
        assert sourced(shell, "env | sort") == sourced(shell, f"source {SETUP}; env | sort")

    def test_commands_and_messages_are_there(self, shell: str) -> None:
        script = (
            "command -v rstrack hsi_tracker; python -c 'import remote_sensing_tracking.msg, rclpy, torch'"
        )
        assert "/lib/remote_sensing_tracking/rstrack" in sourced(shell, script)

    def test_another_ros_gives_way(self, shell: str) -> None:
        other = {"AMENT_PREFIX_PATH": "/opt/ros/humble", "PYTHONPATH": "/opt/ros/humble/lib"}
        first = sourced(shell, 'echo "${AMENT_PREFIX_PATH%%:*} $ROS_DISTRO"', **other)
        assert first.split() == [f"{ROOT}/.venv/workspace/install/remote_sensing_tracking", "jazzy"]

    def test_network_settings_stay_the_users(self, shell: str) -> None:
        names = "ROS_DOMAIN_ID|ROS_AUTOMATIC_DISCOVERY_RANGE|RMW_IMPLEMENTATION|FASTDDS"
        assert sourced(shell, f"env | grep -E '^({names})' || true") == ""
        assert sourced(shell, "echo $ROS_DOMAIN_ID", ROS_DOMAIN_ID="7").strip() == "7"
