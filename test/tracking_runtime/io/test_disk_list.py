"""Sequences on disk behave like lists and need little memory."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.io.disk_list import DiskDict, DiskList, LazySequence, pad_sequence, sort_on_disk

INDICES = st.integers(-12, 12)
SLICES = st.slices(12)


@given(items=st.lists(st.integers()), index=INDICES, part=SLICES, nested_part=SLICES)
def test_sequences_behave_like_a_list(items, index, part, nested_part):
    for sequence in (DiskList(items), LazySequence(len(items), items.__getitem__)):
        assert list(sequence) == items
        assert len(sequence) == len(items)
        assert list(sequence[part]) == items[part]
        assert list(sequence[part][nested_part]) == items[part][nested_part]
        assert list(pickle.loads(pickle.dumps(sequence))) == items
        if -len(items) <= index < len(items):
            assert sequence[index] == items[index]
        else:
            with pytest.raises(IndexError):
                sequence[index]


def test_disk_list_accepts_items_between_reads():
    disk_list = DiskList([np.arange(3)])

    for size in range(4, 50):
        assert len(disk_list[len(disk_list) // 2]) == 3 + len(disk_list) // 2
        disk_list.append(np.arange(size))

    assert [len(item) for item in disk_list] == list(range(3, 50))


def test_disk_list_of_many_megabytes_needs_little_memory():
    tracemalloc.start()

    disk_list = DiskList(np.full(1 << 17, index, np.float64) for index in range(20))
    last_values = [item[-1] for item in disk_list[::-1]]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert last_values == list(range(20))[::-1]
    assert peak_bytes < 6 << 20


def test_disk_dict_keeps_key_order_and_last_values():
    mapping = DiskDict([(3, "a"), (1, "b"), (3, "c")])

    assert dict(mapping) == {3: "c", 1: "b"}
    assert list(mapping) == [3, 1]
    assert mapping.get(2, "none") == "none"
    assert 1 in mapping


def test_pad_sequence_fills_after_the_items():
    assert list(pad_sequence([1, 2], 4, 0)) == [1, 2, 0, 0]
    assert list(pad_sequence([1, 2], 2, 0)) == [1, 2]


@given(seed=st.integers(0, 1000), num_items=st.sampled_from([0, 1, 300, 40_000]))
@settings(max_examples=8, deadline=None)
def test_sort_on_disk_equals_sorted(seed, num_items):
    keys = np.random.default_rng(seed).integers(0, 100, num_items).tolist()
    items = list(zip(keys, range(num_items), strict=True))

    result = sort_on_disk(items, key=lambda item: -item[0])

    assert list(result) == sorted(items, key=lambda item: -item[0])
