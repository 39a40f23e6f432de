"""Items made ahead come as they would without."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.io.prefetch import read_ahead


@given(st.lists(st.integers()), st.integers(1, 5))
def test_same_items_in_order(items, depth):
    assert list(read_ahead(items, depth)) == items


def test_next_item_is_made_before_it_is_asked_for():
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in count():
            made.release()
            yield number

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 0
    assert all(made.acquire(timeout=10) for _ in range(3))
    ahead.close()


def test_error_comes_in_its_place():
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="two"):
        next(ahead)
