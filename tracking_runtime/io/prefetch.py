"""Iteration in a background thread, a bounded number of items ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()  # marks the end of the iterator


def prefetch(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yield the same items; a thread computes up to `depth` of them in advance.

    An error of an item is raised when that item is due. The thread ends with the generator.

    Args:
        items: items to yield. Only the thread iterates over them.
        depth: number of items computed in advance, from 1. More use more memory.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        pending = deque(pool.submit(next, iterator, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(next, iterator, _END))
            yield item
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
