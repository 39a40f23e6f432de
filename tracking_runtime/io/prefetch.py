"""Having the next items ready before they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")

_END: Any = object()


def read_ahead(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The same items, up to ``depth`` of them made beforehand in a thread, which ends when the iterator does.

    An item that cannot be made raises in its place.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="read ahead")
    try:
        pending = deque(pool.submit(next, iterator, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(next, iterator, _END))
            yield item
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
