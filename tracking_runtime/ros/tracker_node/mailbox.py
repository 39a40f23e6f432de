"""A hand-over between two threads in which only the newest item counts."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most one item: putting a newer one pushes out the one that nobody has taken yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._pushed_out = 0
        self._woken = False
        self._closed = False

    @property
    def pushed_out(self) -> int:
        """How many items were put and never taken."""
        with self._changed:
            return self._pushed_out

    @property
    def closed(self) -> bool:
        """Whether nothing can be put any more."""
        with self._changed:
            return self._closed

    def put(self, item: T) -> None:
        """Leave an item for ``take``; into a closed mailbox it counts as pushed out."""
        with self._changed:
            if self._closed or self._item is not None:
                self._pushed_out += 1
            if not self._closed:
                self._item = item
                self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> T | None:
        """The item, once there is one; None when woken, closed, or after ``timeout_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._woken or self._closed, timeout_s)
            self._woken = False
            item, self._item = self._item, None
            return item

    def wake(self) -> None:
        """Let the current or the next ``take`` return at once."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Push out what is left, take nothing more, and let ``take`` return at once from now on."""
        with self._changed:
            if self._item is not None:
                self._pushed_out += 1
                self._item = None
            self._closed = True
            self._changed.notify_all()
