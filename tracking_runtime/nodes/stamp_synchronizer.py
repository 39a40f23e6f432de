"""Bringing together what belongs to one frame, by its exact stamp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

First = TypeVar("First")
Second = TypeVar("Second")


@dataclass
class _Waiting(Generic[First, Second]):
    first: First | None = None
    second: Second | None = None


class StampPairs(Generic[First, Second]):
    """Pairs two streams by stamp, whichever comes first.

    What began to wait before a pair that is now complete is given up, and so is the oldest of more than
    ``capacity``. It is the order of arrival that counts, so that a recording may be played again and again.

    Attributes:
        unpaired: how many items were given up.
    """

    def __init__(self, capacity: int = 30) -> None:
        self.unpaired = 0
        self._capacity = capacity
        self._waiting: dict[int, _Waiting[First, Second]] = {}

    def add_first(self, stamp_ns: int, item: First) -> tuple[First, Second] | None:
        """Add an item of the first stream; the pair, if this completes it."""
        entry = self._entry(stamp_ns)
        self.unpaired += entry.first is not None
        entry.first = item
        return self._complete(stamp_ns, entry)

    def add_second(self, stamp_ns: int, item: Second) -> tuple[First, Second] | None:
        """Add an item of the second stream; the pair, if this completes it."""
        entry = self._entry(stamp_ns)
        self.unpaired += entry.second is not None
        entry.second = item
        return self._complete(stamp_ns, entry)

    def clear(self) -> None:
        """Give up all that waits."""
        self.unpaired += len(self._waiting)
        self._waiting.clear()

    def _entry(self, stamp_ns: int) -> _Waiting[First, Second]:
        if stamp_ns not in self._waiting and len(self._waiting) >= self._capacity:
            self._give_up_oldest()
        return self._waiting.setdefault(stamp_ns, _Waiting())

    def _complete(self, stamp_ns: int, entry: _Waiting[First, Second]) -> tuple[First, Second] | None:
        if entry.first is None or entry.second is None:
            return None
        while next(iter(self._waiting)) != stamp_ns:
            self._give_up_oldest()
        del self._waiting[stamp_ns]
        return entry.first, entry.second

    def _give_up_oldest(self) -> None:
        del self._waiting[next(iter(self._waiting))]
        self.unpaired += 1
