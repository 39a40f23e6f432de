"""Writing a recording beside the work that makes it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from tracking_runtime.bags.metadata import Record, Topic
from tracking_runtime.bags.writer import FLUSH_PERIOD_S, BagWriter


@dataclass(frozen=True)
class Progress:
    """How far a recording is.

    Attributes:
        written: messages by topic that are in the bag; those of the last second may not be on the disk yet.
        dropped: messages by topic that are not, for want of room in the queue or after an error.
        queued_bytes: waiting for the disk.
        error: why nothing more is written; None as long as all is well.
    """

    written: dict[str, int]
    dropped: dict[str, int]
    queued_bytes: int
    error: str | None


class BackgroundWriter:
    """Writes a bag in a thread of its own, so that no caller ever waits for the disk.

    Messages wait in a queue; what does not fit is dropped and counted. Every message put in is either
    written, dropped or waiting.

    Args:
        writer: of the bag; from here on this object's own.
        capacity_bytes: of the queue.
    """

    def __init__(self, writer: BagWriter, *, capacity_bytes: int) -> None:
        self._writer = writer
        self._capacity_bytes = capacity_bytes
        self._changed = threading.Condition()
        self._queue: deque[Topic | Record] = deque()
        self._queued_bytes = 0
        self._written: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._error: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._thread.start()

    def add(self, topic: Topic) -> None:
        """Make a topic known before its first message."""
        with self._changed:
            self._queue.append(topic)
            self._changed.notify()

    def put(self, record: Record) -> bool:
        """Hand over a message; False if it is dropped."""
        size = len(record.data)
        with self._changed:
            if self._error or self._closing or self._queued_bytes + size > self._capacity_bytes:
                self._dropped[record.topic] += 1
                return False
            self._queue.append(record)
            self._queued_bytes += size
            self._changed.notify()
            return True

    def progress(self) -> Progress:
        """How far the recording is now."""
        with self._changed:
            return Progress(dict(self._written), dict(self._dropped), self._queued_bytes, self._error)

    def close(self) -> Progress:
        """Write what is waiting, finish the bag, and say what became of everything."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        return self.progress()

    def _run(self) -> None:
        try:
            while self._step():
                pass
            self._writer.close()
        except OSError as error:
            self._writer.abandon()
            self._give_up(f"cannot write {self._writer.folder}: {error.strerror or error}")

    def _step(self) -> bool:
        """Write one item of the queue, or bring to the disk what was written; False when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, timeout=FLUSH_PERIOD_S)
            if not self._queue and self._closing:
                return False
            item = self._queue[0] if self._queue else None
        if item is None:
            self._writer.flush()
        elif isinstance(item, Topic):
            self._writer.add(item)
            self._done(None)
        else:
            self._writer.write(*item)
            self._done(item)
        return True

    def _done(self, record: Record | None) -> None:
        with self._changed:
            self._queue.popleft()
            if record is not None:
                self._queued_bytes -= len(record.data)
                self._written[record.topic] += 1

    def _give_up(self, reason: str) -> None:
        with self._changed:
            self._error = reason
            self._dropped.update(item.topic for item in self._queue if isinstance(item, Record))
            self._queue.clear()
            self._queued_bytes = 0
