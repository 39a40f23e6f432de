"""Single-slot mailbox between two threads; a newer item replaces an older one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Mailbox with one slot. A new item replaces an item that no thread has taken yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._num_replaced = 0
        self._is_woken = False
        self._is_closed = False

    @property
    def num_replaced(self) -> int:
        """Number of items that were put and never taken."""
        with self._changed:
            return self._num_replaced

    @property
    def is_closed(self) -> bool:
        """Closed state: the mailbox accepts no more items."""
        with self._changed:
            return self._is_closed

    def put(self, item: T) -> None:
        """Leave an item for `take`. An item for a closed mailbox counts as replaced."""
        with self._changed:
            if self._is_closed or self._item is not None:
                self._num_replaced += 1
            if not self._is_closed:
                self._item = item
                self._changed.notify_all()

    def take(self, timeout_s: float | None = None, on_take: Callable[[], object] = lambda: None) -> T | None:
        """Wait for an item and return it. Return None when woken, closed, or after `timeout_s`.

        Args:
            timeout_s: longest wait in seconds; None: without limit.
            on_take: function that is called for an item, before another thread can see that it is gone.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._item is not None or self._is_woken or self._is_closed, timeout_s
            )
            self._is_woken = False
            item, self._item = self._item, None
            if item is not None:
                on_take()
            return item

    def wake(self) -> None:
        """Make the current or the next `take` return at once."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Discard the waiting item, accept no more, and make every `take` return at once."""
        with self._changed:
            if self._item is not None:
                self._num_replaced += 1
                self._item = None
            self._is_closed = True
            self._changed.notify_all()
