"""Sequences larger than memory: on disk (`DiskList`), lazy (`LazySequence`), sorted on disk.

Items are pickled, because they are of any type: arrays of varying length, tuples, None. The file has no name
and belongs to one process, so that nobody else can change what is unpickled.
"""

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

_MAX_MEMORY_BYTES = 1 << 20  # a smaller list stays in memory
_ITEMS_PER_RUN = 1 << 14  # items that are sorted in memory at once
_ITEMS_PER_BATCH = 1 << 8  # items of a sorted run that are read at once


class _RandomAccessSequence(Sequence[Item], ABC, Generic[Item]):
    """A sequence that gets each item again on every access, also the items of its slices."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        """Return an item, or a lazy sequence of a slice's items.

        Raises:
            IndexError: the index is out of range.
        """
        selected = range(len(self))[index]
        if isinstance(selected, int):
            return self._get_item(selected)
        return LazySequence(len(selected), lambda position: self._get_item(selected[position]))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the items. Another process gets them as a `DiskList`."""
        return DiskList, (list(self),)

    @abstractmethod
    def _get_item(self, index: int) -> Item:
        """Return the item of an index in 0 .. length - 1."""


class LazySequence(_RandomAccessSequence[Item]):
    """Items that are computed on every access.

    Args:
        length: number of items.
        compute_item: function from an index, from 0, to the item.
    """

    def __init__(self, length: int, compute_item: Callable[[int], Item]) -> None:
        self._length = length
        self._compute_item = compute_item

    def __len__(self) -> int:
        """Return the number of items."""
        return self._length

    def _get_item(self, index: int) -> Item:
        return self._compute_item(index)


class DiskList(_RandomAccessSequence[Item]):
    """A list in a temporary file. Items are appended at its end and read on every access.

    The file is in the folder `TMPDIR` and is deleted with the list. A list below a megabyte stays in memory.

    Args:
        items: first items of the list.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._file = SpooledTemporaryFile(_MAX_MEMORY_BYTES)  # noqa: SIM115 - open as long as the list
        self._end_offsets = array("q", [0])
        self._lock = Lock()
        self._last_read: tuple[int, Item] | None = None
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        """Append an item.

        Args:
            item: item to append; pickle must support its type.

        Raises:
            OSError: the disk is full.
        """
        with self._lock:
            self._file.seek(self._end_offsets[-1])
            pickle.dump(item, self._file, protocol=4)
            self._end_offsets.append(self._file.tell())

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._end_offsets) - 1

    def _get_item(self, index: int) -> Item:
        """Read an item from the file, unless it is the one read last."""
        with self._lock:
            if self._last_read is None or self._last_read[0] != index:
                self._file.seek(self._end_offsets[index])
                content = self._file.read(self._end_offsets[index + 1] - self._end_offsets[index])
                self._last_read = index, pickle.loads(content)
            return self._last_read[1]


class DiskDict(Mapping[Key, Item], Generic[Key, Item]):
    """A dictionary with its keys in memory and its values on disk.

    Args:
        items: keys and values. The order of the keys is kept; the last value of a key counts.
    """

    def __init__(self, items: Iterable[tuple[Key, Item]]) -> None:
        self._values: DiskList[Item] = DiskList()
        self._indices: dict[Key, int] = {}
        for key, value in items:
            self._indices[key] = len(self._values)
            self._values.append(value)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._indices)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys."""
        return iter(self._indices)

    def __getitem__(self, key: Key) -> Item:
        """Return the value of a key.

        Raises:
            KeyError: the key is unknown.
        """
        return self._values[self._indices[key]]


def pad_sequence(items: Sequence[Item], length: int, fill_item: Item) -> Sequence[Item]:
    """Return a lazy sequence of the items, cut or filled to a length.

    Args:
        items: items of the sequence.
        length: number of items of the result.
        fill_item: item of every index beyond `items`.
    """
    return LazySequence(length, lambda index: items[index] if index < len(items) else fill_item)


def sort_on_disk(items: Iterable[Item], key: Callable[[Item], Any]) -> Iterator[Item]:
    """Sort items by an external merge sort. Items with equal keys keep their order.

    Args:
        items: items to sort; read once.
        key: function from an item to its sort key.
    """
    # Step 1: sort runs that fit in memory and store them in batches.
    batches: DiskList[list[Item]] = DiskList()
    run_starts = [0]
    for run in _split_into_batches(items, _ITEMS_PER_RUN):
        for batch in _split_into_batches(sorted(run, key=key), _ITEMS_PER_BATCH):
            batches.append(batch)
        run_starts.append(len(batches))
    # Step 2: merge the runs, with one batch of each in memory.
    runs = [chain.from_iterable(batches[start:stop]) for start, stop in pairwise(run_starts)]
    return heapq.merge(*runs, key=key)


def _split_into_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
