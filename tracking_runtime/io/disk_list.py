"""Long sequences of which memory holds an item at a time: on disk, made when asked for, or sorted there."""

from __future__ import annotations

import heapq
import pickle
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import Any, Generic, TypeVar, overload

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

_IN_MEMORY_BYTES = 1 << 20
_RUN = 1 << 14
_BATCH = 1 << 8


class _FetchedItems(Sequence[Item], ABC, Generic[Item]):
    """Items that are fetched each time they are asked for; a slice's when they are."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        """One item, or those of a slice. Raises IndexError."""
        chosen = range(len(self))[index]
        if isinstance(chosen, int):
            return self._item(chosen)
        return Made(len(chosen), lambda number: self._item(chosen[number]))

    def __reduce__(self) -> tuple[Any, ...]:
        """As another process gets it: with its items."""
        return Spool, (list(self),)

    @abstractmethod
    def _item(self, index: int) -> Item:
        """That of an index from 0, which is within."""


class Made(_FetchedItems[Item]):
    """Items that are made each time they are asked for; a slice is made when its items are.

    Args:
        count: how many there are.
        make: the item of an index from 0.
    """

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def _item(self, index: int) -> Item:
        return self._make(index)


class Spool(_FetchedItems[Item]):
    """A list on disk, to which items are added at its end, and which reads one anew each time it is asked.

    Its file is nameless, goes with it, and lies where ``TMPDIR`` says. Less than a megabyte stays in memory.

    Args:
        items: to begin with.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._file = SpooledTemporaryFile(_IN_MEMORY_BYTES)
        self._ends = array("q", [0])
        self._lock = Lock()
        self._last: tuple[int, Item] | None = None
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        """Add an item that can be pickled. Raises OSError, where the disk is full."""
        with self._lock:
            self._file.seek(self._ends[-1])
            pickle.dump(item, self._file, protocol=4)
            self._ends.append(self._file.tell())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ends) - 1

    def _item(self, index: int) -> Item:
        """An item from the file, but for one that is asked for again."""
        with self._lock:
            if self._last is None or self._last[0] != index:
                self._file.seek(self._ends[index])
                content = self._file.read(self._ends[index + 1] - self._ends[index])
                self._last = index, pickle.loads(content)
            return self._last[1]


class SpooledMapping(Mapping[Key, Item], Generic[Key, Item]):
    """A dictionary whose values are on disk.

    Args:
        items: keys, in whose order it iterates, and values, of which the last of a key counts.
    """

    def __init__(self, items: Iterable[tuple[Key, Item]]) -> None:
        self._values: Spool[Item] = Spool()
        self._places: dict[Key, int] = {}
        for key, value in items:
            self._places[key] = len(self._values)
            self._values.append(value)

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._places)

    def __iter__(self) -> Iterator[Key]:
        """The keys."""
        return iter(self._places)

    def __getitem__(self, key: Key) -> Item:
        """The value of a key. Raises KeyError."""
        return self._values[self._places[key]]


def padded(items: Sequence[Item], count: int, filler: Item) -> Sequence[Item]:
    """So many items, the filler where there are no more."""
    return Made(count, lambda index: items[index] if index < len(items) else filler)


def sorted_on_disk(items: Iterable[Item], key: Callable[[Item], Any]) -> Iterator[Item]:
    """Items in the order of their keys, those with equal keys as they came, sorted in parts on disk."""
    parts: Spool[list[Item]] = Spool()
    starts = [0]
    for run in _batches(items, _RUN):
        for part in _batches(sorted(run, key=key), _BATCH):
            parts.append(part)
        starts.append(len(parts))
    runs = [chain.from_iterable(parts[start:stop]) for start, stop in pairwise(starts)]
    return heapq.merge(*runs, key=key)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
