"""Makes `.venv`: Python, ROS 2 Jazzy, the libraries and this package.

Each step stores a stamp, the digest of its inputs. A step runs again only if the digest changed.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import preflight

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
LOGS = VENV / "log"
WORKSPACE = VENV / "workspace"
PACKAGE = "remote_sensing_tracking"
REQUIREMENTS = ROOT / "requirements"
CONSTRAINTS = REQUIREMENTS / "constraints.txt"
PYTHON_PACKAGES = ("tracking_runtime", "hsi_tracker_ros", "spax_ros")
PREFIX_MARKER = "# By this file colcon knows a prefix of ROS 2. The set-up is in setup.bash.\n"


class SetupError(Exception):
    """A step failed. The message is the reason and the fix."""


@dataclass(frozen=True)
class Step:
    """A part of the environment.

    Attributes:
        name: name of the stamp and of the log.
        title: description that is printed while the step runs.
        compute_digest: function that returns the digest of all inputs of the step.
        build: function that runs the step.
    """

    name: str
    title: str
    compute_digest: Callable[[], str]
    build: Callable[[], None]


def compute_digest(*parts: str | Path | Iterable[Path]) -> str:
    """Return the digest of strings, of files with their contents, and of lists of paths without contents."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        elif isinstance(part, Path):
            digest.update(str(part.relative_to(ROOT)).encode() + b"\0" + part.read_bytes())
        else:
            digest.update("\0".join(sorted(str(path.relative_to(ROOT)) for path in part)).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def read_stamp(step_name: str) -> str:
    """Return the digest with which a step ran last; empty if it never finished."""
    path = STAMPS / step_name
    return path.read_text() if path.exists() else ""


def run_command(log_name: str, *command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command in `.venv` and append its output to a log.

    Args:
        log_name: name of the log.
        command: program and arguments.
        environment: environment variables. None: those of this process.

    Raises:
        SetupError: the command failed; the message ends with the last lines of its output.
    """
    log = LOGS / f"{log_name}.log"
    with log.open("a") as output:
        output.write(f"$ {' '.join(map(str, command))}\n")
        output.flush()
        arguments = list(map(str, command))
        result = subprocess.run(
            arguments, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=VENV, check=False
        )
    if result.returncode:
        last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise SetupError(f"{last_lines}\n\n{command[0]} failed; its complete output is in {log}")


def get_venv_python() -> Path:
    """Return the path of the environment's interpreter."""
    return VENV / "bin" / "python"


def describe_venv_python() -> preflight.Interpreter:
    """Return the description of the environment's interpreter.

    Raises:
        SetupError: the interpreter does not run.
    """
    interpreter = preflight.describe_interpreter(str(get_venv_python()))
    if interpreter is None:
        raise SetupError(f"{get_venv_python()} does not run. Remove .venv and try again.")
    return interpreter


def check_machine() -> None:
    """Raise SetupError if this machine lacks something that set-up needs."""
    problems = preflight.find_problems(ROOT)
    if problems:
        raise SetupError(preflight.format_problems(problems))


def make_venv() -> None:
    """Make an empty virtual environment of the best interpreter. Remove the previous one."""
    check_machine()
    interpreter = preflight.choose_interpreter(preflight.find_interpreters())
    assert interpreter is not None, "check_machine raises an error without an interpreter"
    for entry in VENV.iterdir():
        if entry != LOGS:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    run_command("venv", interpreter.path, "-m", "venv", VENV)
    run_pip("venv", "install", "--upgrade", "pip>=22.2")  # the first version with --dry-run


def run_pip(log_name: str, *arguments: str | Path) -> None:
    """Run pip in the environment."""
    options = ("--disable-pip-version-check", "--no-input")
    run_command(log_name, get_venv_python(), "-m", "pip", *options, *arguments)


def read_dependencies() -> list[str]:
    """Read the requirements of setup.cfg with all extras."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return [line for text in lists for line in text.split("\n") if line]


def check_disk_for_torch() -> None:
    """Raise SetupError if pip would install torch with CUDA and the disk has too little space for it."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        run_pip("packages", "install", "--dry-run", "--report", plan, "--constraint", CONSTRAINTS, "torch")
        names = {entry["metadata"]["name"] for entry in json.loads(plan.read_text())["install"]}
    if any(name.startswith(("nvidia-", "cuda-")) for name in names):
        problem = preflight.check_disk(VENV, preflight.CUDA_DISK_GB)
        if problem:
            raise SetupError(
                f"{problem.message}\npip would install the build of torch with the CUDA libraries. If "
                f"PIP_EXTRA_INDEX_URL is PyTorch's index of CPU wheels, {preflight.DISK_GB:.0f} GB suffice."
            )


def install_packages() -> None:
    """Install ROS 2, the build tools and all requirements of setup.cfg from wheels."""
    check_disk_for_torch()
    lists = [f"--requirement={REQUIREMENTS / name}" for name in ("ros-jazzy.txt", "build.txt")]
    run_pip("packages", "install", "--constraint", CONSTRAINTS, *lists, *read_dependencies())
    run_pip("packages", "install", "--no-deps", "--requirement", REQUIREMENTS / "no-deps.txt")
    include = install_headers()
    correct_include_paths(include)


def find_include_folder() -> Path:
    """Return the folder of the interpreter's C headers: Python's own, or one in the environment."""
    interpreter = describe_venv_python()
    return interpreter.include if interpreter.has_headers else VENV / "include" / interpreter.name


def install_headers() -> Path:
    """Install Python's C headers in the environment if Python lacks them.

    Debian's package is downloaded and unpacked, which needs no root.

    Returns:
        Folder of the headers.
    """
    include = find_include_folder()
    if (include / "Python.h").is_file():
        return include
    name = describe_venv_python().name
    package = f"lib{name}-dev"
    unpack = f"apt-get download {package} && dpkg-deb -x {package}_*.deb ."
    with tempfile.TemporaryDirectory(dir=VENV) as folder:
        try:
            run_command("packages", "/bin/sh", "-c", f"cd '{folder}' && {unpack}")
        except SetupError as error:
            problem = preflight.Problem(f"No Python.h, and apt does not offer {package}.", (f"{name}-dev",))
            raise SetupError(f"{error}\n\n{preflight.format_problems([problem])}") from error
        unpacked = Path(folder) / "usr" / "include"
        shutil.copytree(unpacked / name, include, dirs_exist_ok=True)
        # The package's pyconfig.h only includes the one of the architecture, by a path below /usr/include.
        (architecture_config,) = unpacked.glob(f"*-linux-gnu/{name}/pyconfig.h")
        shutil.copy(architecture_config, include)
    return include


def correct_include_paths(include: Path) -> None:
    """Replace the build machine's folders in the CMake files of the wheels by this environment's.

    Args:
        include: folder of Python's C headers.
    """
    packages = VENV / "lib" / describe_venv_python().name / "site-packages"
    build_python = r"/opt/python/cp\d+-cp\d+"
    for path in (VENV / "share").rglob("*.cmake"):
        text = path.read_text()
        corrected = re.sub(rf"{build_python}/include/python3\.\d+", str(include), text)
        corrected = re.sub(rf"{build_python}/lib/python3\.\d+/site-packages", str(packages), corrected)
        if corrected != text:
            path.write_text(corrected)


def make_build_environment() -> dict[str, str]:
    """Return this process's environment variables with the ROS 2 of `.venv` and no other."""
    foreign = re.compile(r"(AMENT|COLCON|CMAKE)_PREFIX_PATH|_?ROS_.*|PYTHON.*|LD_LIBRARY_PATH|VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not foreign.fullmatch(name)}
    return environment | {
        "PATH": f"{VENV / 'bin'}:{environment['PATH']}",
        "AMENT_PREFIX_PATH": str(VENV),
        "CMAKE_PREFIX_PATH": str(VENV),
    }


def build_overlay() -> None:
    """Build the messages and install the nodes with colcon. Links make edits of Python files effective."""
    # CMake refuses exports that name folders below the source, as .venv is: colcon gets a link to the source.
    source = WORKSPACE / "src" / PACKAGE
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_symlink():
        source.symlink_to(Path("..", "..", ".."))
    colcon = VENV / "bin" / "colcon"
    install = WORKSPACE / "install"
    python = (
        f"-DPython3_EXECUTABLE={get_venv_python()}",
        f"-DPython3_INCLUDE_DIR={find_include_folder()}",
    )
    run_command(
        "overlay", colcon, "--log-base", WORKSPACE / "log", "build", "--symlink-install",
        "--base-paths", WORKSPACE / "src", "--build-base", WORKSPACE / "build", "--install-base", install,
        "--event-handlers", "console_direct+", "--cmake-args", *python,
        environment=make_build_environment(),
    )  # fmt: skip
    # Remove the links to files that were deleted or moved since the last build.
    for path in install.rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()


def copy_shell_setup() -> None:
    """Copy the file that a shell sources into the environment, and mark the environment for colcon."""
    shutil.copy(ROOT / "scripts" / "setup.bash", VENV / "setup.bash")
    for shell in ("bash", "sh", "zsh"):
        (VENV / f"local_setup.{shell}").write_text(PREFIX_MARKER)


def list_files(*folders: str) -> list[Path]:
    """Return all files in folders of the repository, except compiled Python files."""
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def compute_venv_digest() -> str:
    """Return the digest of the repository's path, because environments cannot be moved."""
    return compute_digest(str(ROOT), "runs" if get_venv_python().exists() else "gone")


def compute_packages_digest() -> str:
    """Return the digest of all requirements."""
    return compute_digest(read_stamp("venv"), *sorted(REQUIREMENTS.glob("*.txt")), *read_dependencies())


def compute_overlay_digest() -> str:
    """Return the digest of the build's files with contents, and of the names of the linked files."""
    build_files = [ROOT / name for name in ("CMakeLists.txt", "package.xml", "setup.cfg", "setup.py")]
    linked_files = list_files(*PYTHON_PACKAGES, "config", "launch", "models")
    return compute_digest(read_stamp("packages"), *build_files, *sorted(list_files("msgs")), linked_files)


def compute_shell_setup_digest() -> str:
    """Return the digest of the files that are written."""
    return compute_digest(read_stamp("venv"), ROOT / "scripts" / "setup.bash", PREFIX_MARKER)


STEPS = (
    Step("venv", "virtual environment", compute_venv_digest, make_venv),
    Step("packages", "ROS 2 Jazzy and libraries, minutes", compute_packages_digest, install_packages),
    Step("overlay", "messages and nodes, with colcon", compute_overlay_digest, build_overlay),
    Step("shell", "shell set-up", compute_shell_setup_digest, copy_shell_setup),
)


def update_step(step: Step) -> bool:
    """Run a step if its inputs changed. Return whether the step ran."""
    if read_stamp(step.name) == step.compute_digest():
        return False
    print(f"set-up: {step.title} (log: .venv/log/{step.name}.log)", flush=True)
    (LOGS / f"{step.name}.log").unlink(missing_ok=True)
    (STAMPS / step.name).unlink(missing_ok=True)
    step.build()
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / step.name).write_text(step.compute_digest())
    return True


def main() -> int:
    """Update `.venv` and return the exit status."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            has_run = [update_step(step) for step in STEPS]
        except SetupError as error:
            print(error, file=sys.stderr)
            return 1
    if any(has_run):
        print("set-up: done; to use it in a shell: source .venv/setup.bash")
    return 0


if __name__ == "__main__":
    sys.exit(main())
