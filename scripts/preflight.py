"""Checks, before anything is installed, that this machine can build and run the project.

The script uses only the standard library, and syntax of old interpreters, so that it also runs on an
unsupported Python and can say so.
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
MIN_CMAKE = (3, 20)
DISK_GB = 4.0  # .venv needs 2.2 GB with the CPU build of torch; the rest is for downloads
CUDA_DISK_GB = 12.0  # the same with the CUDA build of torch and its libraries


@dataclass(frozen=True)
class Problem:
    """Something that this machine lacks.

    Attributes:
        message: description of the problem, and the fix unless `packages` is the fix.
        packages: Debian packages that fix the problem; empty if there are none.
    """

    message: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter of this machine.

    Attributes:
        path: path of the executable.
        version: major and minor version.
        can_make_environments: True if the modules venv and ensurepip are installed.
        include: folder of the C headers.
        has_headers: True if the C headers are installed.
    """

    path: str
    version: tuple[int, int]
    can_make_environments: bool
    include: Path
    has_headers: bool

    @property
    def name(self) -> str:
        """Name of the command and prefix of Debian's packages, for example `python3.11`."""
        return "python{}.{}".format(*self.version)

    @property
    def is_supported(self) -> bool:
        """True if wheels of ROS 2 exist for this version."""
        return self.version in SUPPORTED_PYTHONS


_DESCRIBE = """
import importlib.util, sys, sysconfig
modules = all(importlib.util.find_spec(m) for m in ("venv", "ensurepip"))
print(sys.version_info[0], sys.version_info[1], int(modules), sysconfig.get_path("include"))
"""


def describe_interpreter(executable: str) -> Interpreter | None:
    """Run an executable and return its description; None if it is not a working Python 3."""
    try:
        output = subprocess.run(
            [executable, "-I", "-c", _DESCRIBE], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        major, minor, has_modules, include = output.split(maxsplit=3)
        version = (int(major), int(minor))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    folder = Path(include.strip())
    return Interpreter(executable, version, has_modules == "1", folder, (folder / "Python.h").is_file())


def find_interpreters() -> list[Interpreter]:
    """Find all Python interpreters on the PATH. The one in `$PYTHON` comes first."""
    versioned_names = [f"python{major}.{minor}" for major, minor in reversed(SUPPORTED_PYTHONS)]
    names = [os.environ.get("PYTHON", "python3"), *versioned_names, "python3"]
    paths = dict.fromkeys(path for path in map(shutil.which, names) if path)
    interpreters = map(describe_interpreter, paths)
    return [interpreter for interpreter in interpreters if interpreter]


def choose_interpreter(candidates: list[Interpreter]) -> Interpreter | None:
    """Choose the first interpreter if usable, else the newest usable one, preferably with C headers."""
    usable = [c for c in candidates if c.is_supported and c.can_make_environments]
    return max(usable, key=lambda c: (c == candidates[0], c.has_headers, c.version), default=None)


def check_platform(system: str, machine: str) -> Problem | None:
    """Check that wheels of ROS 2 exist for this platform."""
    if system == "Linux" and machine in {"x86_64", "AMD64"}:
        return None
    return Problem(
        f"This is {system} on {machine}, and the ROS 2 wheels exist for Linux on x86-64 only. Install "
        "ROS 2 Jazzy from apt (Ubuntu 24.04) and build with rosdep and colcon: README.md, 'On a robot'."
    )


def check_python(candidates: list[Interpreter]) -> Problem | None:
    """Check that a supported Python can make virtual environments."""
    if choose_interpreter(candidates):
        return None
    supported = [c for c in candidates if c.is_supported]
    if supported:
        return Problem(
            f"{supported[0].path} cannot make virtual environments: no module venv or ensurepip.",
            (f"{supported[0].name}-venv",),
        )
    found = ", ".join(f"{c.name} ({c.path})" for c in candidates) or "none"
    versions = ", ".join("{}.{}".format(*version) for version in SUPPORTED_PYTHONS)
    return Problem(
        f"No supported Python: found {found}, supported are {versions}. Debian 12, Ubuntu 22.04 and 24.04 "
        "have one; to use another: make setup PYTHON=/path/to/python3.11",
        ("python3", "python3-venv"),
    )


def check_headers(interpreter: Interpreter | None) -> Problem | None:
    """Check that Python's C headers, needed to build the messages, are installed or can be downloaded."""
    if interpreter is None or interpreter.has_headers:
        return None
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        return None
    return Problem(f"No Python.h in {interpreter.include}.", (f"{interpreter.name}-dev",))


def check_compilers() -> Problem | None:
    """Check that a C and a C++ compiler, needed to build the messages, are installed."""
    compilers = {"C": (os.environ.get("CC"), "cc", "gcc"), "C++": (os.environ.get("CXX"), "c++", "g++")}
    for language, names in compilers.items():
        if not any(shutil.which(shlex.split(name)[0]) for name in names if name):
            return Problem(f"No {language} compiler ({names[1]}, {names[2]}) on the PATH.", ("g++",))
    return None


def check_cmake() -> Problem | None:
    """Check that CMake is installed and new enough."""
    min_version = "{}.{}".format(*MIN_CMAKE)
    cmake = shutil.which("cmake")
    if cmake is None:
        return Problem(f"No CMake on the PATH ({min_version} or newer).", ("cmake",))
    output = subprocess.run([cmake, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(\d+)\.(\d+)", output)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version < MIN_CMAKE:
        return Problem(
            "{} is CMake {}.{}; {} or newer is needed.".format(cmake, *version, min_version), ("cmake",)
        )
    return None


def check_folder(folder: Path) -> Problem | None:
    """Check that the path of the folder has no spaces."""
    if re.search(r"\s", str(folder)):
        return Problem(
            f"The path {str(folder)!r} has a space in it, which the first line (#!) of a script cannot name: "
            "move the folder."
        )
    return None


def check_disk(folder: Path, needed_gb: float) -> Problem | None:
    """Check that the disk of a folder has enough free space.

    Args:
        folder: folder on the disk.
        needed_gb: free space that set-up needs, in gigabytes.
    """
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb >= needed_gb:
        return None
    return Problem(
        f"{folder} has {free_gb:.1f} GB free, set-up needs {needed_gb:.0f} GB: "
        "free disk space, or clone to another disk."
    )


def find_problems(folder: Path) -> list[Problem]:
    """Return the problems that prevent set-up in a folder, in the order in which to fix them."""
    candidates = find_interpreters()
    results = (
        check_platform(platform.system(), platform.machine()),
        check_python(candidates),
        check_headers(choose_interpreter(candidates)),
        check_compilers(),
        check_cmake(),
        check_folder(folder),
        check_disk(folder, DISK_GB),
    )
    return [problem for problem in results if problem]


def format_problems(problems: list[Problem]) -> str:
    """Format problems for users, with one command that installs all missing packages."""
    lines = ["This machine lacks something:"]
    lines += [f"  - {problem.message}" for problem in problems]
    packages = dict.fromkeys(package for problem in problems for package in problem.packages)
    if packages:
        lines += ["Fix on Debian and Ubuntu:", f"    sudo apt-get install {' '.join(packages)}"]
    return "\n".join(lines)


def main() -> int:
    """Print the problems and return the exit status: 0 if there are none, else 1."""
    problems = find_problems(Path.cwd())
    if problems:
        print(format_problems(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
