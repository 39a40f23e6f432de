"""Set-up runs only the steps whose inputs changed; the shell gets the complete environment once."""

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
    """Import the script with its environment, stamps and logs in a temporary folder."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_environment as module

    (tmp_path / "log").mkdir()
    monkeypatch.setattr(module, "VENV", tmp_path)
    monkeypatch.setattr(module, "LOGS", tmp_path / "log")
    monkeypatch.setattr(module, "STAMPS", tmp_path / "stamps")
    yield module
    sys.modules.pop("make_environment")


def test_step_runs_again_only_if_its_input_changes(make_environment: ModuleType) -> None:
    builds: list[str] = []
    source = ["one"]
    step = make_environment.Step("overlay", "", lambda: source[0], lambda: builds.append(source[0]))

    assert make_environment.update_step(step)
    assert not make_environment.update_step(step)
    source[0] = "two"
    assert make_environment.update_step(step)

    assert builds == ["one", "two"]


def test_shell_setup_marks_the_environment_for_colcon(make_environment: ModuleType, tmp_path: Path) -> None:
    make_environment.copy_shell_setup()

    assert (tmp_path / "setup.bash").read_text() == (ROOT / "scripts/setup.bash").read_text()
    for shell in ("bash", "sh"):
        script = f'before=$(env | sort); . {tmp_path}/local_setup.{shell}; test "$before" = "$(env | sort)"'
        subprocess.run([shell, "-euc", script], check=True)


def test_failed_step_runs_again(make_environment: ModuleType) -> None:
    def fail() -> None:
        make_environment.run_command("overlay", "sh", "-c", "echo why; exit 3")

    step = make_environment.Step("overlay", "", lambda: "same", fail)

    for _ in range(2):
        with pytest.raises(make_environment.SetupError, match="why"):
            make_environment.update_step(step)


def test_digest_includes_contents_of_files_but_not_of_lists(make_environment: ModuleType) -> None:
    compute_digest = make_environment.compute_digest
    makefile = ROOT / "Makefile"
    license_file = ROOT / "LICENSE"

    assert compute_digest(makefile) != compute_digest([makefile])
    assert compute_digest([makefile, license_file]) == compute_digest([license_file, makefile])
    assert compute_digest("ab", "c") != compute_digest("a", "bc")


def test_dependencies_include_every_extra(make_environment: ModuleType) -> None:
    names = {requirement.split(">")[0] for requirement in make_environment.read_dependencies()}

    assert {"torch", "openvino", "pytest", "ruff"} <= names


def test_include_paths_of_the_wheels_are_corrected(make_environment: ModuleType, tmp_path: Path) -> None:
    exports = tmp_path / "share" / "std_msgs" / "cmake" / "export.cmake"
    exports.parent.mkdir(parents=True)
    build_python = "/opt/python/cp311-cp311"
    numpy_include = f"{build_python}/lib/python3.11/site-packages/numpy/_core/include"
    exports.write_text(f'INTERFACE_INCLUDE_DIRECTORIES "{build_python}/include/python3.11;{numpy_include}"')
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)

    make_environment.correct_include_paths(Path("/headers"))

    name = "python{}.{}".format(*sys.version_info)
    packages = tmp_path / "lib" / name / "site-packages"
    assert exports.read_text() == f'INTERFACE_INCLUDE_DIRECTORIES "/headers;{packages}/numpy/_core/include"'


def run_in_environment(shell: str, script: str, **environment: str) -> str:
    """Source the environment in a strict shell, run a script and return its output."""
    path = shutil.which(shell)
    if path is None or not SETUP.exists():
        pytest.skip(f"needs {shell} and {SETUP}")
    base = {"PATH": os.defpath, "HOME": os.environ.get("HOME", "/")}
    result = subprocess.run(
        [path, "-euc", f"source {SETUP}\n{script}"],
        env=base | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
class TestShell:
    """A shell after `source .venv/setup.bash`."""

    def test_sourcing_twice_changes_nothing(self, shell: str) -> None:
        once = run_in_environment(shell, "env | sort")
        twice = run_in_environment(shell, f"source {SETUP}; env | sort")

        assert once == twice

    @pytest.mark.slow
    def test_commands_and_messages_are_found(self, shell: str) -> None:
        script = (
            "command -v rstrack hsi_tracker; python -c 'import remote_sensing_tracking.msg, rclpy, torch'"
        )

        output = run_in_environment(shell, script)

        assert "/lib/remote_sensing_tracking/rstrack" in output

    def test_another_ros_comes_after_this_one(self, shell: str) -> None:
        other = {"AMENT_PREFIX_PATH": "/opt/ros/humble", "PYTHONPATH": "/opt/ros/humble/lib"}

        output = run_in_environment(shell, 'echo "${AMENT_PREFIX_PATH%%:*} $ROS_DISTRO"', **other)

        assert output.split() == [f"{ROOT}/.venv/workspace/install/remote_sensing_tracking", "jazzy"]

    def test_network_settings_are_not_changed(self, shell: str) -> None:
        names = "ROS_DOMAIN_ID|ROS_AUTOMATIC_DISCOVERY_RANGE|RMW_IMPLEMENTATION|FASTDDS"

        assert run_in_environment(shell, f"env | grep -E '^({names})' || true") == ""
        assert run_in_environment(shell, "echo $ROS_DOMAIN_ID", ROS_DOMAIN_ID="7").strip() == "7"
