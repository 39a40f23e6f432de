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
            if isinstance(error, MemoryError):
                self._memory_errors_s.append(now_s)
                is_full = len(self._memory_errors_s) == _MAX_MEMORY_ERRORS
                if is_full and now_s - self._memory_errors_s[0] < _MEMORY_WINDOW_S:
                    raise
            if now_s - self._last_log_s > _LOG_PERIOD_S:
                self._last_log_s = now_s
                reason = f"{type(error).__name__}: {error}"
                get_logger("executor").error(f"{kind} {name()} is dropped: it cannot be taken: {reason}")
            return None
