"""Waiting for a condition, with a timeout."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tracking_runtime.errors import TrackingError

T = TypeVar("T")

_POLL_PERIOD_S = 0.005


class WaitTimeoutError(TrackingError, TimeoutError):
    """A condition that did not become true in time. The message describes the condition."""


def wait_for(condition: Callable[[], T], timeout_s: float = 30.0, description: str = "the condition") -> T:
    """Call a condition every 5 ms until its value is true, and return this value.

    Args:
        condition: function without arguments.
        timeout_s: longest time to wait, in seconds.
        description: description of the condition for the message ("the first tracks").

    Raises:
        WaitTimeoutError: the condition is still false after the timeout.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline_s:
            raise WaitTimeoutError(f"timed out after {timeout_s:g} s waiting for {description}")
        time.sleep(_POLL_PERIOD_S)
    return value
