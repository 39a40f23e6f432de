"""What a machine that lacks something is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).resolve().parents[2] / "scripts" / "preflight.py"
TOOLS = ("cc", "c++", "cmake", "apt-get", "dpkg-deb")
RUN_WITH_DISK = """
import runpy, shutil, sys, types
script, free_gb = sys.argv[1:]
shutil.disk_usage = lambda folder: types.SimpleNamespace(free=float(free_gb) * 1e9)
runpy.run_path(script, run_name="__main__")
"""


class Machine:
    """A PATH with nothing on it but what is put there, and a folder on a disk to set up in."""

    def __init__(self, root: Path) -> None:
        self.path = root / "bin"
        self.folder = root / "clone"
        self.free_gb = 100.0
        self.path.mkdir()
        self.folder.mkdir()

    def has(self, name: str, says: str = "") -> Machine:
        """Add a program that prints something."""
        program = self.path / name
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)
        return self

    def has_python(self, version: str, *, venv: bool = True, headers: bool = True) -> Machine:
        """Add an interpreter as it describes itself."""
        include = self.folder.parent / f"include-{version}"
        include.mkdir()
        if headers:
            (include / "Python.h").touch()
        major, minor = version.split(".")
        return self.has(f"python{version}", f"{major} {minor} {int(venv)} {include}")

    def complaints(self) -> str:
        """What preflight prints; empty if it is content."""
        done = subprocess.run(
            [sys.executable, "-I", "-c", RUN_WITH_DISK, PREFLIGHT, str(self.free_gb)],
            cwd=self.folder, env={"PATH": str(self.path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == (1 if done.stderr else 0), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def machine(bare: Machine) -> Machine:
    for tool in TOOLS:
        bare.has(tool, "cmake version 3.25.1")
    return bare


def test_content_with_a_complete_machine(machine: Machine) -> None:
    assert machine.has_python("3.11").complaints() == ""


def test_bare_machine_is_told_everything_at_once(bare: Machine) -> None:
    complaints = bare.complaints()
    assert "No supported Python: found none" in complaints
    assert "No C compiler" in complaints
    assert "No CMake" in complaints
    assert "sudo apt-get install python3 python3-venv g++ cmake" in complaints


def test_c_compiler_alone_is_not_enough(machine: Machine) -> None:
    (machine.path / "c++").unlink()
    complaints = machine.has_python("3.12").complaints()
    assert "No C++ compiler" in complaints
    assert "sudo apt-get install g++" in complaints


def test_old_cmake(machine: Machine) -> None:
    complaints = machine.has_python("3.12").has("cmake", "cmake version 3.16.3").complaints()
    assert "is CMake 3.16; 3.20 or newer is needed" in complaints


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_unsupported_python_is_named_with_the_supported(machine: Machine, version: str) -> None:
    machine.has_python(version)
    (machine.path / f"python{version}").rename(machine.path / "python3")
    complaints = machine.complaints()
    assert f"found python{version}" in complaints
    assert "supported are 3.10, 3.11, 3.12, 3.13" in complaints


def test_missing_venv_names_the_package_of_that_python(machine: Machine) -> None:
    complaints = machine.has_python("3.11", venv=False).complaints()
    assert "cannot make virtual environments" in complaints
    assert "sudo apt-get install python3.11-venv" in complaints


def test_python_without_venv_gives_way_to_one_with(machine: Machine) -> None:
    assert machine.has_python("3.13", venv=False).has_python("3.10").complaints() == ""


def test_missing_headers_matter_only_without_apt(machine: Machine) -> None:
    machine.has_python("3.11", headers=False)
    assert machine.complaints() == ""
    (machine.path / "apt-get").unlink()
    complaints = machine.complaints()
    assert "No Python.h" in complaints
    assert "python3.11-dev" in complaints


def test_broken_interpreter_is_passed_over(machine: Machine) -> None:
    machine.has("python3.13", "command not found: python3.13").has_python("3.11")
    assert machine.complaints() == ""


def test_folder_with_a_space(machine: Machine) -> None:
    machine.has_python("3.11")
    machine.folder = machine.folder.rename(machine.folder.parent / "my clone")
    assert "has a space in it" in machine.complaints()


def test_small_disk_is_told_both_figures(machine: Machine) -> None:
    machine.has_python("3.11").free_gb = 3.7
    assert "has 3.7 GB free, set-up needs 4 GB" in machine.complaints()


class TestPlatform:
    """What cannot be staged, asked of the function itself."""

    @pytest.fixture(autouse=True)
    def _import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(PREFLIGHT.parent)

    @pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "arm64")])
    def test_other_platforms_are_sent_to_apt(self, system: str, machine: str) -> None:
        import preflight

        problem = preflight.platform_problem(system, machine)
        assert problem is not None
        assert f"This is {system} on {machine}" in problem.message
        assert "ROS 2 Jazzy from apt" in problem.message

    def test_supported_platform(self) -> None:
        import preflight

        assert preflight.platform_problem("Linux", "x86_64") is None


def test_make_names_the_packages_where_there_is_no_python() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        [make, "setup", "PYTHON=python-that-is-not-there"],
        cwd=PREFLIGHT.parents[1], env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "sudo apt-get install python3 python3-venv" in done.stderr
