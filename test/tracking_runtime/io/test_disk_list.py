"""Sequences kept on disk are as lists are, whatever is asked of them, and hold no memory."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.io.disk_list import Made, Spool, SpooledMapping, padded, sorted_on_disk

INDICES = st.integers(-12, 12)
SLICES = st.slices(12)


@given(items=st.lists(st.integers()), index=INDICES, part=SLICES, again=SLICES)
def test_a_spool_is_as_its_list(items, index, part, again):
    for sequence in (Spool(items), Made(len(items), items.__getitem__)):
        assert list(sequence) == items and len(sequence) == len(items)
        assert list(sequence[part]) == items[part]
        assert list(sequence[part][again]) == items[part][again]
        assert list(pickle.loads(pickle.dumps(sequence))) == items
        if -len(items) <= index < len(items):
            assert sequence[index] == items[index]
        else:
            with pytest.raises(IndexError):
                sequence[index]


def test_items_are_added_between_readings():
    spool = Spool([np.arange(3)])
    for size in range(4, 50):
        assert len(spool[len(spool) // 2]) == 3 + len(spool) // 2
        spool.append(np.arange(size))
    assert [len(item) for item in spool] == list(range(3, 50))


def test_a_spool_of_many_megabytes_holds_none_in_memory():
    tracemalloc.start()
    spool = Spool(np.full(1 << 17, index, np.float64) for index in range(20))
    assert [item[-1] for item in spool[::-1]] == list(range(20))[::-1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 << 20


def test_a_mapping_keeps_the_order_of_its_keys_and_their_last_values():
    mapping = SpooledMapping([(3, "a"), (1, "b"), (3, "c")])
    assert dict(mapping) == {3: "c", 1: "b"}
    assert (list(mapping), mapping.get(2, "none"), 1 in mapping) == ([3, 1], "none", True)


def test_padding_goes_on_after_the_items():
    assert list(padded([1, 2], 4, 0)) == [1, 2, 0, 0]
    assert list(padded([1, 2], 2, 0)) == [1, 2]


@given(seed=st.integers(0, 1000), count=st.sampled_from([0, 1, 300, 40_000]))
@settings(max_examples=8, deadline=None)
def test_sorted_on_disk_as_in_memory(seed, count):
    keys = np.random.default_rng(seed).integers(0, 100, count).tolist()
    items = list(zip(keys, range(count), strict=True))
    ranked = sorted_on_disk(items, key=lambda item: -item[0])
    assert list(ranked) == sorted(items, key=lambda item: -item[0])
