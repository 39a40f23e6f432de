"""Synchronizer of two streams by exact stamp. Stamps may jump back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

First = TypeVar("First")
Second = TypeVar("Second")


@dataclass
class _Entry(Generic[First, Second]):
    first: First | None = None
    second: Second | None = None


class StampSynchronizer(Generic[First, Second]):
    """Pairs of items of two streams with equal stamps, in any order of arrival.

    A complete pair drops all items that arrived before it, and a full synchronizer drops the oldest item. The
    order of arrival counts, not the stamp, so that a recording can be played repeatedly.

    Args:
        capacity: largest number of stamps that wait for their pair.

    Attributes:
        num_unpaired: number of dropped items.
    """

    def __init__(self, capacity: int = 30) -> None:
        self.num_unpaired = 0
        self._capacity = capacity
        self._entries: dict[int, _Entry[First, Second]] = {}

    def add_first(self, stamp_ns: int, item: First) -> tuple[First, Second] | None:
        """Add an item of the first stream. Return the pair if it is complete."""
        entry = self._find_or_add_entry(stamp_ns)
        self.num_unpaired += entry.first is not None
        entry.first = item
        return self._take_pair(stamp_ns, entry)

    def add_second(self, stamp_ns: int, item: Second) -> tuple[First, Second] | None:
        """Add an item of the second stream. Return the pair if it is complete."""
        entry = self._find_or_add_entry(stamp_ns)
        self.num_unpaired += entry.second is not None
        entry.second = item
        return self._take_pair(stamp_ns, entry)

    def clear(self) -> None:
        """Drop all items."""
        self.num_unpaired += len(self._entries)
        self._entries.clear()

    def _find_or_add_entry(self, stamp_ns: int) -> _Entry[First, Second]:
        if stamp_ns not in self._entries and len(self._entries) >= self._capacity:
            self._drop_oldest()
        return self._entries.setdefault(stamp_ns, _Entry())

    def _take_pair(self, stamp_ns: int, entry: _Entry[First, Second]) -> tuple[First, Second] | None:
        if entry.first is None or entry.second is None:
            return None
        while next(iter(self._entries)) != stamp_ns:
            self._drop_oldest()
        del self._entries[stamp_ns]
        return entry.first, entry.second

    def _drop_oldest(self) -> None:
        del self._entries[next(iter(self._entries))]
        self.num_unpaired += 1
