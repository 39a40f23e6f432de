"""Black box of a recording: a folder for each incident, with the last messages, diagnoses and logs."""

from __future__ import annotations

import fcntl
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from tracking_runtime.bags import BackgroundWriter
from tracking_runtime.bags.mcap_records import MAGIC
from tracking_runtime.nodes.crash_watch import CrashWatch, Incident
from tracking_runtime.reports.incident_report import write_incident_report
from tracking_runtime.ros.node.diagnostics import to_entries

_PREFIX = "incident_"
_MAX_DIAGNOSES = 3000  # diagnoses of all nodes that are kept
_MAX_CHARACTERS = 20_000  # of one diagnosis; a longer one is left out
_MAX_NAME = 80  # characters of a node's name in the name of a folder
_COPY_TIMEOUT_S = 30.0  # longest wait for the disk


class BlackBox:
    """Folders of the incidents of the watched nodes, inside the folder of a recording.

    Args:
        folder: folder of the recording.
        writer: writer of the recording.
        watch: watch over the nodes.
        keeps_copy: copy the recording into each folder, because its messages are removed later.
        max_incidents: highest number of folders.
        log: function that logs a line.
    """

    def __init__(
        self,
        folder: Path,
        writer: BackgroundWriter,
        watch: CrashWatch,
        *,
        keeps_copy: bool,
        max_incidents: int,
        log: Callable[[str], object],
    ) -> None:
        self.num_incidents = 0
        self._folder = folder
        self._writer = writer
        self._watch = watch
        self._keeps_copy = keeps_copy
        self._max_incidents = max_incidents
        self._log = log
        self._diagnoses: deque[dict[str, Any]] = deque(maxlen=_MAX_DIAGNOSES)
        self._pool = ThreadPoolExecutor(1, "black box")

    def receive(self, message: DiagnosticArray) -> None:
        """Take the diagnoses of a message."""
        for entry in to_entries(message):
            if _count_characters(entry) > _MAX_CHARACTERS:
                continue
            self._diagnoses.append(entry)
            incident = self._watch.receive(entry["node"], entry["values"])
            if incident is not None:
                self.save(incident)

    def check(self) -> None:
        """Find nodes that have fallen silent. Call this once a second."""
        for incident in self._watch.check():
            self.save(incident)

    def save(self, incident: Incident) -> Path | None:
        """Write the folder of an incident in the background.

        Returns:
            path of the folder; None if there are too many incidents already.
        """
        self.num_incidents += 1
        if self.num_incidents > self._max_incidents:
            self._log(f"{incident.node}: {incident.reason}; not saved, {self._max_incidents} incidents are")
            return None
        name = re.sub(r"\W+", "_", incident.node.strip("/"))[:_MAX_NAME] or "node"
        folder = self._folder / f"{_PREFIX}{self.num_incidents:02}_{name}"
        copied = self._writer.copy_to(folder) if self._keeps_copy else None
        future = self._pool.submit(self._write, folder, incident, list(self._diagnoses), copied)
        future.add_done_callback(lambda done: self._report(incident, done))
        return folder

    def close(self) -> None:
        """Finish the folders."""
        self._pool.shutdown()

    def _write(
        self, folder: Path, incident: Incident, diagnoses: list[dict[str, Any]], copied: Future[None] | None
    ) -> Path:
        recording = "." if self._keeps_copy else ".."
        write_incident_report(folder, _describe(incident.node, incident.reason, recording), diagnoses)
        if copied is not None:
            try:
                copied.result(_COPY_TIMEOUT_S)
            except (CancelledError, TimeoutError) as error:
                raise OSError("the recording has stopped") from error
        return folder

    def _report(self, incident: Incident, done: Future[Path]) -> None:
        error = done.exception()
        outcome = f"see {done.result()}" if error is None else f"cannot be saved: {error}"
        self._log(f"{incident.node}: {incident.reason}; {outcome}")


@contextmanager
def lock_recording(folder: Path) -> Iterator[None]:
    """Mark a recording as being written in the block. Linux removes the mark if the process ends.

    Args:
        folder: folder of the recording.

    Raises:
        BlockingIOError: another process writes the recording.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def save_crash_of_recorder(folder: Path) -> list[Path]:
    """Save the incident of each earlier recorder that did not finish its recording.

    Args:
        folder: folder of the new recording. Recorders that were started again wrote to folders of the same
            name with a number at the end.

    Returns:
        folders of the unfinished recordings, each with a new folder of the incident.
    """
    stem = re.sub(r"_\d+$", "", folder.name)
    names = re.compile(rf"{re.escape(stem)}(_\d+)?")
    others = sorted(folder.parent.iterdir()) if folder.parent.is_dir() else []
    crashed = []
    for other in others:
        if names.fullmatch(other.name) and other != folder and _is_unfinished(other):
            reason = "the recorder ended without finishing this recording"
            write_incident_report(other / f"{_PREFIX}00_recorder", _describe("recorder", reason, ".."), [])
            crashed.append(other)
    return crashed


def _count_characters(entry: Mapping[str, Any]) -> int:
    texts = [entry["node"], entry["message"], *entry["values"], *entry["values"].values()]
    return sum(map(len, texts))


def _is_unfinished(recording: Path) -> bool:
    """Return whether a recording has no end, no writer, and no folder of this incident yet."""
    files = sorted(recording.glob("*.mcap"), key=lambda path: path.stat().st_mtime)
    if not files or (recording / f"{_PREFIX}00_recorder").exists():
        return False
    try:
        with lock_recording(recording):
            return _has_no_end(files[-1])
    except OSError:
        return False


def _has_no_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - len(MAGIC), 0))
        return file.read() != MAGIC


def _describe(node: str, reason: str, recording: str) -> dict[str, str]:
    time = datetime.now().astimezone().isoformat(timespec="milliseconds")
    return {"node": node, "reason": reason, "time": time, "recording": recording}
