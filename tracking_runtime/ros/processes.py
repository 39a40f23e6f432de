"""Nodes as child processes: started with parameters, logged to files, and ended in any case."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from tracking_runtime.ros.shared_memory import make_shared_memory_environment

_STARTED_BY = "RSTRACK_STARTED_BY"  # environment variable with the process id of the parent
_PR_SET_PDEATHSIG = 1  # option of prctl(2)

# Domains to reserve. Above 101 the ports of a domain may collide with those that Linux gives to clients.
_DOMAINS = range(30, 70)


@contextlib.contextmanager
def reserve_domain() -> Iterator[int]:
    """Reserve a ROS domain id that nobody else on this machine uses, until the block ends.

    Raises:
        RuntimeError: all domains are taken.
    """
    folder = Path(tempfile.gettempdir()) / f"rstrack-domains-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for domain_id in _DOMAINS:
        with (folder / str(domain_id)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _has_participants(domain_id):
                continue
            yield domain_id
            return
    raise RuntimeError(f"all ROS domains {_DOMAINS.start}..{_DOMAINS.stop - 1} are taken; see {folder}")


def _has_participants(domain_id: int) -> bool:
    """Return whether a domain has participants that did not reserve it: in a container, or of other users."""
    discovery_port = 7400 + 250 * domain_id  # mapping of domains to ports in the DDS standard
    for port in (discovery_port, discovery_port + 10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return True
    return False


def make_local_environment(domain_id: int) -> dict[str, str]:
    """Return environment variables that keep a node on this machine, in a domain, with shared memory."""
    return make_shared_memory_environment() | {
        "ROS_DOMAIN_ID": str(domain_id),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


@contextlib.contextmanager
def set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables in the block. DDS reads them when it creates a participant."""
    previous = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(previous)


def interrupt_with_parent() -> None:
    """Make Linux interrupt this process when its parent ends, however the parent ends.

    Has no effect in a process that is not started as a NodeProcess.
    """
    parent = os.environ.pop(_STARTED_BY, "")
    if not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != int(parent):  # the parent ended before prctl
        os.kill(os.getpid(), signal.SIGINT)


@dataclass
class NodeProcess:
    """Node in a process of its own, for a `with` block.

    A node ends with the thread that started it, even if the process of this thread is killed
    (`interrupt_with_parent`).

    Attributes:
        module: Python module of the node, run as `python -m module`.
        name: name of the node and of its files.
        folder: folder of `NAME.log` and of the parameter file `NAME.yaml`.
        parameters: parameters at the start; values as in YAML.
        remappings: topic or service name -> other name.
        environment: environment variables, in addition to those of this process.
        namespace: namespace of the node.
        started_s: monotonic time of the start in seconds; 0 before the start.
    """

    module: str
    name: str
    folder: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    namespace: str = "/"
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    started_s: float = field(default=0.0, init=False, repr=False)

    @property
    def log_path(self) -> Path:
        """Path of the log: standard output and error of the process."""
        return self.folder / f"{self.name}.log"

    @property
    def log(self) -> str:
        """Text of the log so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        """Id of the running process."""
        return self._started_process.pid

    @property
    def open_files(self) -> set[Path]:
        """Files that the process has open, with pipes and sockets, which `psutil` leaves out."""
        files = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since the folder was listed
                files.add(descriptor.readlink())
        return files

    @property
    def is_running(self) -> bool:
        """Running state: the process is started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process. `stop` must follow."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.started_s = time.monotonic()
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            _STARTED_BY: str(os.getpid()),
            **self.environment,
        }
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self._make_command(),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def interrupt(self) -> None:
        """Send SIGINT to the process, as Ctrl-C does."""
        self._started_process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end of the process and return its exit status.

        Raises:
            subprocess.TimeoutExpired: the process has not ended within `timeout_s`.
        """
        return self._started_process.wait(timeout_s)

    def stop(self, timeout_s: float = 30.0) -> int:
        """End the process by SIGINT. After the timeout, kill the process and all its children.

        Args:
            timeout_s: time between SIGINT and SIGKILL, in seconds.

        Returns:
            exit status; a negative number is the signal that ended the process.
        """
        process = self._started_process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def __enter__(self) -> NodeProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _started_process(self) -> subprocess.Popen[bytes]:
        """Process of the node. Raises RuntimeError before the start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started: call start first")
        return self._process

    def _make_command(self) -> list[str]:
        """Write the parameter file and return the command line of the process."""
        path = self.folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(self.parameters)}}))
        command = [sys.executable, "-m", self.module, "--ros-args"]
        command += ["-r", f"__node:={self.name}", "-r", f"__ns:={self.namespace}"]
        if self.parameters:
            command += ["--params-file", str(path)]
        for name, remapped_name in self.remappings.items():
            command += ["-r", f"{name}:={remapped_name}"]
        return command
