"""Executor that survives messages which cannot be taken."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger

_LOG_PERIOD_S = 5.0
_MEMORY_WINDOW_S = 10.0  # time in which takes may run out of memory
_MAX_MEMORY_ERRORS = 10  # takes out of memory in this time, after which the process has to end
_SPARE_BYTES = 64 << 20  # memory that a node needs to take messages; without it, memory is exhausted
_RECENTLY_S = 5.0  # time that a message which could not be taken stays in the diagnosis


class TolerantExecutor(SingleThreadedExecutor):
    """Executor that drops a message or request that rclpy cannot take, and goes on.

    In rclpy an exception in a take (no memory, text that is not UTF-8) leaves the callback group locked, so
    that no other callback of the group ever runs.

    Attributes:
        num_untaken: number of messages and requests that could not be taken.
    """

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context=context)
        self.num_untaken = 0
        self._memory_errors_s: deque[float] = deque(maxlen=_MAX_MEMORY_ERRORS)
        self._last_log_s = -float("inf")
        self._untaken = ""
        self._untaken_s = -float("inf")

    def describe_untaken(self) -> str:
        """Return which message could not be taken in the last 5 s, and why; empty without one."""
        return self._untaken if time.monotonic() - self._untaken_s < _RECENTLY_S else ""

    def _take_subscription(self, sub: Any) -> Any:
        return self._take(super()._take_subscription, sub, "a message on", lambda: sub.topic_name)

    def _take_client(self, client: Any) -> Any:
        return self._take(super()._take_client, client, "a response of", lambda: client.srv_name)

    def _take_service(self, srv: Any) -> Any:
        return self._take(super()._take_service, srv, "a request of", lambda: srv.srv_name)

    def _take_waitable(self, waitable: Any) -> Any:
        return self._take(super()._take_waitable, waitable, "an event of", lambda: type(waitable).__name__)

    def _take(self, take: Callable[[Any], Any], entity: Any, kind: str, name: Callable[[], str]) -> Any:
        """Take from an entity. Return None, which rclpy skips, if that fails.

        Raises:
            MemoryError: memory has run out in many takes.
        """
        try:
            return take(entity)
        except Exception as error:
            self.num_untaken += 1
            now_s = time.monotonic()
            is_exhausted = isinstance(error, MemoryError) or _is_memory_exhausted()
            reason = "memory is exhausted" if is_exhausted else f"{type(error).__name__}: {error}"
            self._untaken = f"{kind} {name()} is dropped: it cannot be taken: {reason}"
            self._untaken_s = now_s
            if now_s - self._last_log_s > _LOG_PERIOD_S:
                self._last_log_s = now_s
                get_logger("executor").error(self._untaken)
            if is_exhausted:
                self._memory_errors_s.append(now_s)
                is_full = len(self._memory_errors_s) == _MAX_MEMORY_ERRORS
                if is_full and now_s - self._memory_errors_s[0] < _MEMORY_WINDOW_S:
                    raise MemoryError(self._untaken) from error
            return None


def _is_memory_exhausted() -> bool:
    """Return whether the process cannot get the memory of a large message.

    Without memory, rclpy raises errors of several types for a message that it cannot convert.
    """
    try:
        bytearray(_SPARE_BYTES)
    except MemoryError:
        return True
    return False
