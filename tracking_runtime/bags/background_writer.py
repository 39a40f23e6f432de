"""Writer of a recording in a background thread."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from tracking_runtime.bags.metadata import Record, Topic
from tracking_runtime.bags.writer import FLUSH_PERIOD_S, BagWriter


@dataclass(frozen=True)
class WriterProgress:
    """The state of a background writer.

    Attributes:
        written: number of messages in the bag by topic. The last second may not be on the disk yet.
        dropped: number of messages by topic dropped because the queue was full or after an error.
        queued_bytes: size of the messages in the queue.
        error: the reason why writing stopped; None without an error.
    """

    written: dict[str, int]
    dropped: dict[str, int]
    queued_bytes: int
    error: str | None


class BackgroundWriter:
    """A thread that writes a bag, so that no caller waits for the disk.

    Messages are put in a queue. Messages that do not fit are dropped and counted.

    Args:
        writer: the bag. Only this object may use it from now on.
        capacity_bytes: capacity of the queue.
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

    def add_topic(self, topic: Topic) -> None:
        """Add a topic before its first message."""
        with self._changed:
            self._queue.append(topic)
            self._changed.notify()

    def put(self, record: Record) -> bool:
        """Queue a message. Return False if it was dropped."""
        size = len(record.data)
        with self._changed:
            if self._error or self._closing or self._queued_bytes + size > self._capacity_bytes:
                self._dropped[record.topic] += 1
                return False
            self._queue.append(record)
            self._queued_bytes += size
            self._changed.notify()
            return True

    def get_progress(self) -> WriterProgress:
        """Return the current state."""
        with self._changed:
            return WriterProgress(dict(self._written), dict(self._dropped), self._queued_bytes, self._error)

    def close(self) -> WriterProgress:
        """Write the queue, finish the bag, and return the final state."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        return self.get_progress()

    def _run(self) -> None:
        try:
            while self._process_next():
                pass
            self._writer.close()
        except OSError as error:
            self._writer.abandon()
            self._drop_queue(f"cannot write {self._writer.folder}: {error.strerror or error}")

    def _process_next(self) -> bool:
        """Write the next item of the queue, or flush if the queue is empty. Return False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, timeout=FLUSH_PERIOD_S)
            if not self._queue and self._closing:
                return False
            item = self._queue[0] if self._queue else None
        if item is None:
            self._writer.flush()
        elif isinstance(item, Topic):
            self._writer.add_topic(item)
            self._finish_item(None)
        else:
            self._writer.write(*item)
            self._finish_item(item)
        return True

    def _finish_item(self, record: Record | None) -> None:
        with self._changed:
            self._queue.popleft()
            if record is not None:
                self._queued_bytes -= len(record.data)
                self._written[record.topic] += 1

    def _drop_queue(self, reason: str) -> None:
        with self._changed:
            self._error = reason
            self._dropped.update(item.topic for item in self._queue if isinstance(item, Record))
            self._queue.clear()
            self._queued_bytes = 0
