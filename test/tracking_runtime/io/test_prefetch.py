"""Prefetched items are the same as without prefetching."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.io.prefetch import prefetch


@given(st.lists(st.integers()), st.integers(1, 5))
def test_prefetch_yields_the_items_in_order(items, depth):
    assert list(prefetch(items, depth)) == items


def test_prefetch_computes_items_in_advance():
    computed = threading.Semaphore(0)

    def generate_items() -> Iterator[int]:
        for number in count():
            computed.release()
            yield number

    items = prefetch(generate_items(), 2)

    assert next(items) == 0
    assert all(computed.acquire(timeout=10) for _ in range(3))
    items.close()


def test_prefetch_raises_an_error_when_its_item_is_due():
    def generate_items() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    items = prefetch(generate_items(), 3)

    assert next(items) == 1
    with pytest.raises(ValueError, match="two"):
        next(items)
