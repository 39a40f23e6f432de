"""Writer of a recording in a background thread."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tracking_runtime.bags.metadata import Record, Topic
from tracking_runtime.bags.writer import FLUSH_PERIOD_S, MAX_TIME_NS, BagWriter

_FIRST_RETRY_S = 1.0  # wait before the first attempt to continue after an error
_LONGEST_RETRY_S = 30.0  # longest wait; the wait doubles while the errors follow each other
_HEALTHY_S = 60.0  # time without an error after which the wait is short again
_RESUME_BYTES = 8_000_000  # free space that a new file needs
_CLOSE_TIMEOUT_S = 30.0  # longest wait for a disk that does not answer
_FILES_KEPT = 4  # files that hold the kept time; one more is being written


@dataclass(frozen=True)
class WriterProgress:
    """The state of a background writer.

    Attributes:
        written: number of messages in the bag by topic. The last second may not be on the disk yet.
        dropped: number of messages by topic dropped because the queue was full or after an error.
        refused: number of messages by topic whose times are invalid.
        queued_bytes: size of the messages in the queue.
        error: the reason why nothing is written now; None without an error.
        gaps: times in which nothing could be written, as text for users.
        stalled_s: time in seconds for which the disk has not answered; 0 while it answers.
    """

    written: dict[str, int]
    dropped: dict[str, int]
    refused: dict[str, int]
    queued_bytes: int
    error: str | None
    gaps: tuple[str, ...]
    stalled_s: float


@dataclass(frozen=True)
class _Copy:
    """Request to copy the bag into a folder."""

    folder: Path
    done: Future[None]


class BackgroundWriter:
    """A thread that writes a bag, so that no caller waits for the disk.

    Messages are put in a queue. Messages that do not fit are dropped and counted. After an error of the disk,
    messages are dropped and counted until there is room again. Then the thread continues in a new file of the
    same bag, and the gap is told.

    Args:
        writer: the bag. Only this object may use it from now on.
        capacity_bytes: capacity of the queue.
        keep_s: time of the newest messages that stay in the bag, in seconds; 0: all stay. Older files are
            removed, so that up to a quarter more stays.
    """

    def __init__(self, writer: BagWriter, *, capacity_bytes: int, keep_s: float = 0.0) -> None:
        self._writer = writer
        self._keep_ns = round(keep_s * 1e9)
        self._split_ns = time.time_ns() + self._keep_ns // _FILES_KEPT
        self._capacity_bytes = capacity_bytes
        self._changed = threading.Condition()
        self._queue: deque[Topic | Record | _Copy] = deque()
        self._queued_bytes = 0
        self._written: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._error: str | None = None
        self._gaps: list[str] = []
        self._closing = False
        self._retry_s = _FIRST_RETRY_S
        self._resumed_s = -_HEALTHY_S
        self._busy_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._thread.start()

    def add_topic(self, topic: Topic) -> None:
        """Add a topic before its first message."""
        with self._changed:
            self._queue.append(topic)
            self._changed.notify()

    def put(self, record: Record) -> bool:
        """Queue a message. Return False if it was dropped, or refused because a time of it is invalid."""
        size = len(record.data)
        with self._changed:
            if not (0 <= record.log_time_ns < MAX_TIME_NS and 0 <= record.publish_time_ns < MAX_TIME_NS):
                self._refused[record.topic] += 1
                return False
            if self._error or self._closing or self._queued_bytes + size > self._capacity_bytes:
                self._dropped[record.topic] += 1
                return False
            self._queue.append(record)
            self._queued_bytes += size
            self._changed.notify()
            return True

    def copy_to(self, folder: Path) -> Future[None]:
        """Make a finished bag of the messages put so far, in the background.

        Args:
            folder: folder of the new bag.

        Returns:
            future that raises OSError if the disk is full or missing; canceled if nothing can be written now.
        """
        copy = _Copy(folder, Future())
        with self._changed:
            if self._error or self._closing:
                copy.done.cancel()
            else:
                self._queue.append(copy)
                self._changed.notify()
        return copy.done

    def get_progress(self) -> WriterProgress:
        """Return the current state."""
        with self._changed:
            error = self._error
            if error is None and not self._closing and not self._thread.is_alive():
                error = "the thread of the writer has ended"
            busy_since_s = self._busy_since_s
            return WriterProgress(
                dict(self._written),
                dict(self._dropped),
                dict(self._refused),
                self._queued_bytes,
                error,
                tuple(self._gaps),
                0.0 if busy_since_s is None else time.monotonic() - busy_since_s,
            )

    def close(self) -> WriterProgress:
        """Write the queue, finish the bag, and return the final state. Wait at most 30 s for the disk."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            with self._changed:
                self._error = f"the disk of {self._writer.folder} does not answer: the bag is not finished"
        return self.get_progress()

    def _run(self) -> None:
        is_running = True
        while is_running:
            try:
                is_running = self._process_next()
                if not is_running:
                    self._writer.close()
            except BaseException as error:  # a dead thread would lose all that follows
                is_running = self._recover(error)
            finally:
                self._busy_since_s = None

    def _process_next(self) -> bool:
        """Write the next item of the queue, or flush if the queue is empty. Return False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, timeout=FLUSH_PERIOD_S)
            if not self._queue and self._closing:
                return False
            item = self._queue[0] if self._queue else None
        self._busy_since_s = time.monotonic()
        if item is None:
            self._writer.flush()
        elif isinstance(item, Topic):
            self._writer.add_topic(item)
            self._finish_item(None)
        elif isinstance(item, _Copy):
            self._copy(item)
            self._finish_item(None)
        else:
            self._writer.write(*item)
            self._finish_item(item)
            self._remove_old()
        self._busy_since_s = None
        return True

    def _copy(self, copy: _Copy) -> None:
        if not copy.done.set_running_or_notify_cancel():
            return
        try:
            self._writer.split(time.time_ns())
        except BaseException as error:
            copy.done.set_exception(error)
            raise
        try:
            self._writer.copy_to(copy.folder)
        except OSError as error:
            copy.done.set_exception(error)
        else:
            copy.done.set_result(None)

    def _remove_old(self) -> None:
        """Continue in a new file and remove old ones, so that about the kept time stays."""
        now_ns = time.time_ns()
        is_due = now_ns >= self._split_ns or now_ns < self._split_ns - self._keep_ns  # the clock jumped back
        if self._keep_ns and is_due:
            self._split_ns = now_ns + self._keep_ns // _FILES_KEPT
            self._writer.split(now_ns)
            self._writer.remove_before(now_ns - self._keep_ns)

    def _finish_item(self, record: Record | None) -> None:
        with self._changed:
            self._queue.popleft()
            if record is not None:
                self._queued_bytes -= len(record.data)
                self._written[record.topic] += 1

    def _recover(self, error: BaseException) -> bool:
        """Abandon the file, and continue in a new one when possible. Return False if closed meanwhile."""
        failed_ns = time.time_ns()
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        lost = self._writer.abandon()
        with self._changed:
            dropped_before = self._dropped.total()
            self._error = f"cannot write {self._writer.folder}: {reason}"
            self._written.subtract(lost)
            self._dropped.update(lost)
            self._drop_queue()
        if time.monotonic() - self._resumed_s >= _HEALTHY_S:
            self._retry_s = _FIRST_RETRY_S
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, timeout=self._retry_s):
                    return False
                num_dropped = self._dropped.total() - dropped_before
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
            gap = _describe_gap(failed_ns, time.time_ns(), reason, num_dropped)
            try:
                if shutil.disk_usage(self._writer.folder).free < _RESUME_BYTES:
                    continue
                self._writer.resume(gap)
            except Exception:  # the cause of the first error lasts; it is told already
                continue
            with self._changed:
                self._error = None
                self._gaps.append(gap)
            self._resumed_s = time.monotonic()
            return True

    def _drop_queue(self) -> None:
        """Drop all queued messages. Topics stay queued: they are needed in the next file."""
        self._dropped.update(item.topic for item in self._queue if isinstance(item, Record))
        topics = [item for item in self._queue if isinstance(item, Topic)]
        for item in self._queue:
            if isinstance(item, _Copy):
                item.done.cancel()
        known = {topic.name for topic in self._writer.topics}
        self._queue = deque(topic for topic in topics if topic.name not in known)
        self._queued_bytes = 0


def _describe_gap(start_ns: int, end_ns: int, reason: str, num_dropped: int) -> str:
    start = datetime.fromtimestamp(start_ns / 1e9, tz=timezone.utc)
    return (
        f"{start.isoformat(timespec='seconds')}: {(end_ns - start_ns) / 1e9:.1f} s without recording, "
        f"{num_dropped} messages dropped: {reason}"
    )
