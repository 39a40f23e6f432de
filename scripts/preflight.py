"""Checks, before anything is installed, that this machine can build and run the project.

Standard library only, and readable by old interpreters: it also runs where the Python is not a supported one.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUPPORTED_PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))
MINIMUM_CMAKE = (3, 20)
DISK_GB = 4.0  # .venv is 2.2 GB with the CPU build of torch; the rest is for downloads
CUDA_DISK_GB = 12.0  # the same with the CUDA build and the libraries it brings


@dataclass(frozen=True)
class Problem:
    """Something this machine lacks.

    Attributes:
        message: what is wrong, and what to do unless ``packages`` says it all.
        packages: Debian packages that put it right.
    """

    message: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interpreter:
    """A Python found on this machine.

    Attributes:
        path: of its executable.
        version: major and minor.
        makes_environments: whether it has the modules venv and ensurepip.
        include: folder of its C headers.
        has_headers: whether they are there.
    """

    path: str
    version: tuple[int, int]
    makes_environments: bool
    include: Path
    has_headers: bool

    @property
    def name(self) -> str:
        """As it is called, and as Debian's packages are: ``python3.11``."""
        return "python{}.{}".format(*self.version)

    @property
    def supported(self) -> bool:
        """Whether ROS 2 wheels exist for it."""
        return self.version in SUPPORTED_PYTHONS


_DESCRIBE = """
import importlib.util, sys, sysconfig
modules = all(importlib.util.find_spec(m) for m in ("venv", "ensurepip"))
print(sys.version_info[0], sys.version_info[1], int(modules), sysconfig.get_path("include"))
"""


def describe(executable: str) -> Interpreter | None:
    """What an executable is; None if it is no working Python 3."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _DESCRIBE], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        major, minor, makes_environments, include = answer.split(maxsplit=3)
        version = (int(major), int(minor))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    folder = Path(include.strip())
    return Interpreter(
        executable, version, makes_environments == "1", folder, (folder / "Python.h").is_file()
    )


def interpreters() -> list[Interpreter]:
    """Every Python on the PATH, the one given in ``$PYTHON`` first."""
    named = [f"python{major}.{minor}" for major, minor in reversed(SUPPORTED_PYTHONS)]
    names = [os.environ.get("PYTHON", "python3"), *named, "python3"]
    paths = dict.fromkeys(path for path in map(shutil.which, names) if path)
    found = map(describe, paths)
    return [interpreter for interpreter in found if interpreter]


def best(candidates: list[Interpreter]) -> Interpreter | None:
    """The first if it is usable, else the newest that is, one with its C headers before one without."""
    usable = [c for c in candidates if c.supported and c.makes_environments]
    return max(usable, key=lambda c: (c == candidates[0], c.has_headers, c.version), default=None)


def platform_problem(system: str, machine: str) -> Problem | None:
    """ROS 2 wheels exist for one platform."""
    if system == "Linux" and machine in {"x86_64", "AMD64"}:
        return None
    return Problem(
        f"This is {system} on {machine}, and the ROS 2 wheels exist for Linux on x86-64 only. Install "
        "ROS 2 Jazzy from apt (Ubuntu 24.04) and build with rosdep and colcon: README.md, 'On a robot'."
    )


def python_problem(candidates: list[Interpreter]) -> Problem | None:
    """A supported Python that can make virtual environments."""
    if best(candidates):
        return None
    supported = [c for c in candidates if c.supported]
    if supported:
        return Problem(
            f"{supported[0].path} cannot make virtual environments: no module venv or ensurepip.",
            (f"{supported[0].name}-venv",),
        )
    found = ", ".join(f"{c.name} ({c.path})" for c in candidates) or "none"
    versions = ", ".join("{}.{}".format(*version) for version in SUPPORTED_PYTHONS)
    return Problem(
        f"No supported Python: found {found}, supported are {versions}. Debian 12, Ubuntu 22.04 and 24.04 "
        "bring one; another can be named: make setup PYTHON=/path/to/python3.11",
        ("python3", "python3-venv"),
    )


def headers_problem(interpreter: Interpreter | None) -> Problem | None:
    """Python's C headers, which the message types are compiled with; set-up can take them from apt."""
    if interpreter is None or interpreter.has_headers:
        return None
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        return None
    return Problem(f"No Python.h in {interpreter.include}.", (f"{interpreter.name}-dev",))


def compiler_problem() -> Problem | None:
    """A C and a C++ compiler, which the message types are compiled with."""
    wanted = {"C": (os.environ.get("CC"), "cc", "gcc"), "C++": (os.environ.get("CXX"), "c++", "g++")}
    for language, names in wanted.items():
        if not any(shutil.which(shlex.split(name)[0]) for name in names if name):
            return Problem(f"No {language} compiler ({names[1]}, {names[2]}) on the PATH.", ("g++",))
    return None


def cmake_problem() -> Problem | None:
    """CMake, new enough."""
    wanted = "{}.{}".format(*MINIMUM_CMAKE)
    cmake = shutil.which("cmake")
    if cmake is None:
        return Problem(f"No CMake on the PATH ({wanted} or newer).", ("cmake",))
    answer = subprocess.run([cmake, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(\d+)\.(\d+)", answer)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < MINIMUM_CMAKE:
        return Problem(
            "{} is CMake {}.{}; {} or newer is needed.".format(cmake, *version, wanted), ("cmake",)
        )
    return None


def folder_problem(folder: Path) -> Problem | None:
    """A place that build tools can name."""
    if re.search(r"\s", str(folder)):
        return Problem(f"The path {str(folder)!r} has a space in it, which no script's #! can name: move it.")
    return None


def disk_problem(folder: Path, needed_gb: float) -> Problem | None:
    """Room for the environment."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb >= needed_gb:
        return None
    return Problem(
        f"{folder} has {free_gb:.1f} GB free, set-up needs {needed_gb:.0f} GB: free some, or clone elsewhere."
    )


def problems(folder: Path) -> list[Problem]:
    """Everything that keeps the project from being set up in a folder, in the order to solve it."""
    candidates = interpreters()
    found = (
        platform_problem(platform.system(), platform.machine()),
        python_problem(candidates),
        headers_problem(best(candidates)),
        compiler_problem(),
        cmake_problem(),
        folder_problem(folder),
        disk_problem(folder, DISK_GB),
    )
    return [problem for problem in found if problem]


def report(found: list[Problem]) -> str:
    """The problems as people read them, with one command that installs what is missing."""
    lines = ["This machine lacks something:"]
    lines += [f"  - {problem.message}" for problem in found]
    packages = dict.fromkeys(package for problem in found for package in problem.packages)
    if packages:
        lines += ["On Debian and Ubuntu this installs it:", f"    sudo apt-get install {' '.join(packages)}"]
    return "\n".join(lines)


def main() -> int:
    """Print what is missing; 0 if nothing is."""
    found = problems(Path.cwd())
    if found:
        print(report(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
