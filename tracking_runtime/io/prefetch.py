"""Iteration in a background thread, a bounded number of items ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()  # marks the end of the iterator


def prefetch(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yield the same items; a thread computes up to `depth` of them in advance.

    An error of an item is raised when that item is due. The thread ends with the generator. It has the
    context variables of the caller, so that notes reach their collector.

    Args:
        items: items to yield. Only the thread iterates over them.
        depth: number of items computed in advance, from 1. More use more memory.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    context = copy_context()

    def find_next() -> Any:
        return context.run(next, iterator, _END)

    try:
        pending = deque(pool.submit(find_next) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(find_next))
            yield item
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
