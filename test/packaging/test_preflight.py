"""Preflight names everything that a machine lacks, with the packages that fix it."""

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


class FakeMachine:
    """A machine whose PATH contains only the added programs, with a folder to set up in."""

    def __init__(self, root: Path) -> None:
        self.path = root / "bin"
        self.folder = root / "clone"
        self.free_gb = 100.0
        self.path.mkdir()
        self.folder.mkdir()

    def add_program(self, name: str, output: str = "") -> FakeMachine:
        """Add a program that prints a text."""
        program = self.path / name
        program.write_text(f"#!/bin/sh\necho '{output}'\n")
        program.chmod(0o755)
        return self

    def add_python(self, version: str, *, venv: bool = True, headers: bool = True) -> FakeMachine:
        """Add an interpreter that prints its description."""
        include = self.folder.parent / f"include-{version}"
        include.mkdir()
        if headers:
            (include / "Python.h").touch()
        major, minor = version.split(".")
        return self.add_program(f"python{version}", f"{major} {minor} {int(venv)} {include}")

    def run_preflight(self) -> str:
        """Run preflight and return the problems that it prints; empty if there are none."""
        result = subprocess.run(
            [sys.executable, "-I", "-c", RUN_WITH_DISK, PREFLIGHT, str(self.free_gb)],
            cwd=self.folder, env={"PATH": str(self.path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == (1 if result.stderr else 0), result.stderr
        assert "Traceback" not in result.stderr
        return result.stderr


@pytest.fixture
def bare_machine(tmp_path: Path) -> FakeMachine:
    """Return a machine without any program."""
    return FakeMachine(tmp_path)


@pytest.fixture
def machine(bare_machine: FakeMachine) -> FakeMachine:
    """Return a machine with all tools but Python."""
    for tool in TOOLS:
        bare_machine.add_program(tool, "cmake version 3.25.1")
    return bare_machine


def test_complete_machine_has_no_problems(machine: FakeMachine) -> None:
    machine.add_python("3.11")

    assert machine.run_preflight() == ""


def test_bare_machine_gets_all_problems_at_once(bare_machine: FakeMachine) -> None:
    problems = bare_machine.run_preflight()

    assert "No supported Python: found none" in problems
    assert "No C compiler" in problems
    assert "No CMake" in problems
    assert "sudo apt-get install python3 python3-venv g++ cmake" in problems


def test_c_compiler_without_cpp_compiler_is_a_problem(machine: FakeMachine) -> None:
    machine.add_python("3.12")
    (machine.path / "c++").unlink()

    problems = machine.run_preflight()

    assert "No C++ compiler" in problems
    assert "sudo apt-get install g++" in problems


def test_old_cmake_is_a_problem(machine: FakeMachine) -> None:
    machine.add_python("3.12").add_program("cmake", "cmake version 3.16.3")

    assert "is CMake 3.16; 3.20 or newer is needed" in machine.run_preflight()


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_unsupported_python_is_named_with_supported_ones(machine: FakeMachine, version: str) -> None:
    machine.add_python(version)
    (machine.path / f"python{version}").rename(machine.path / "python3")

    problems = machine.run_preflight()

    assert f"found python{version}" in problems
    assert "supported are 3.10, 3.11, 3.12, 3.13" in problems


def test_missing_venv_names_the_package_of_that_python(machine: FakeMachine) -> None:
    machine.add_python("3.11", venv=False)

    problems = machine.run_preflight()

    assert "cannot make virtual environments" in problems
    assert "sudo apt-get install python3.11-venv" in problems


def test_python_with_venv_is_preferred(machine: FakeMachine) -> None:
    machine.add_python("3.13", venv=False).add_python("3.10")

    assert machine.run_preflight() == ""


def test_missing_headers_are_a_problem_only_without_apt(machine: FakeMachine) -> None:
    machine.add_python("3.11", headers=False)
    assert machine.run_preflight() == ""

    (machine.path / "apt-get").unlink()
    problems = machine.run_preflight()
    assert "No Python.h" in problems
    assert "python3.11-dev" in problems


def test_broken_interpreter_is_ignored(machine: FakeMachine) -> None:
    machine.add_program("python3.13", "command not found: python3.13").add_python("3.11")

    assert machine.run_preflight() == ""


def test_folder_with_a_space_is_a_problem(machine: FakeMachine) -> None:
    machine.add_python("3.11")
    machine.folder = machine.folder.rename(machine.folder.parent / "my clone")

    assert "has a space in it" in machine.run_preflight()


def test_small_disk_is_named_with_free_and_needed_space(machine: FakeMachine) -> None:
    machine.add_python("3.11").free_gb = 3.7

    assert "has 3.7 GB free, set-up needs 4 GB" in machine.run_preflight()


class TestPlatform:
    """Other platforms, which the tests cannot fake for a process."""

    @pytest.fixture(autouse=True)
    def _import_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(PREFLIGHT.parent)

    @pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "arm64")])
    def test_other_platform_gets_advice_to_use_apt(self, system: str, machine: str) -> None:
        import preflight

        problem = preflight.check_platform(system, machine)

        assert problem is not None
        assert f"This is {system} on {machine}" in problem.message
        assert "ROS 2 Jazzy from apt" in problem.message

    def test_supported_platform_has_no_problem(self) -> None:
        import preflight

        assert preflight.check_platform("Linux", "x86_64") is None


def test_make_setup_without_python_names_the_packages() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")

    result = subprocess.run(
        [make, "setup", "PYTHON=python-that-does-not-exist"],
        cwd=PREFLIGHT.parents[1], env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert result.returncode != 0
    assert "sudo apt-get install python3 python3-venv" in result.stderr
