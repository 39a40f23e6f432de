"""Waiting for something to become true, instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_s: float = 30.0, what: str = "the condition") -> T:
    """The first true value of ``condition``, asked every 5 ms.

    Raises:
        TimeoutError: it stayed false; the message says ``what`` did not come.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout_s:g} s")
        time.sleep(0.005)
    return value
