"""Nodes as processes: started with their parameters, logged to files, and surely ended.

Whoever starts one owns it: ``with NodeProcess(...) as process``.
"""

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

from tracking_runtime.ros.shared_memory import shared_memory_environment

_STARTED_BY = "RSTRACK_STARTED_BY"
_PR_SET_PDEATHSIG = 1

# Above 101 the ports of a domain may meet those that Linux gives to clients.
_DOMAINS = range(30, 70)


@contextlib.contextmanager
def free_domain() -> Iterator[int]:
    """A ROS domain id that no other holder of one on this machine uses meanwhile.

    Raises:
        RuntimeError: all are taken.
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
    """Whether somebody is in a domain without holding its lock: from a container, or on their own account."""
    discovery = 7400 + 250 * domain_id  # as DDS maps domains to ports
    for port in (discovery, discovery + 10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return True
    return False


def local_environment(domain_id: int) -> dict[str, str]:
    """Variables that keep a node on this machine, in a domain, with large images through shared memory."""
    return shared_memory_environment() | {
        "ROS_DOMAIN_ID": str(domain_id),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


@contextlib.contextmanager
def set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with some variables set: DDS reads them when a participant is made."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def end_with_parent() -> None:
    """Have this process interrupted when the one that started it as a NodeProcess ends, however it does.

    Does nothing in a process that was started by other means.
    """
    parent = os.environ.pop(_STARTED_BY, "")
    if not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGINT)


@dataclass
class NodeProcess:
    """One node in its own process, from ``with`` to the end of the block.

    A node ends with the thread that started it, even where its process is killed (``end_with_parent``).

    Attributes:
        module: run as ``python -m module``.
        name: the node's, which is also its log's.
        folder: for ``NAME.log`` and ``NAME.yaml``, the parameters it is given.
        parameters: set at the start; values as in YAML.
        remappings: topic or service name -> other name.
        environment: set beside this process's own.
        namespace: of the node.
        started_s: when it was, on the monotonic clock.
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
        """What the process says, both outputs together."""
        return self.folder / f"{self.name}.log"

    @property
    def log(self) -> str:
        """What the process has said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._started().pid

    @property
    def open_files(self) -> set[Path]:
        """What it has open now, but for files that it opens or closes meanwhile."""
        found = set()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.add(descriptor.readlink())
        return found

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; ``stop`` must follow."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.started_s = time.monotonic()
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    _STARTED_BY: str(os.getpid()),
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        self._started().send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Its exit status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        return self._started().wait(timeout_s)

    def stop(self, patience_s: float = 30.0) -> int:
        """End it: by SIGINT, and by SIGKILL, with all its children, if that takes longer than ``patience_s``.

        Returns:
            the exit status; negative: the signal that ended it.
        """
        process = self._started()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                return process.wait(patience_s)
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

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._process

    def _command(self) -> list[str]:
        path = self.folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(self.parameters)}}))
        command = [sys.executable, "-m", self.module, "--ros-args"]
        command += ["-r", f"__node:={self.name}", "-r", f"__ns:={self.namespace}"]
        if self.parameters:
            command += ["--params-file", str(path)]
        for name, other in self.remappings.items():
            command += ["-r", f"{name}:={other}"]
        return command
