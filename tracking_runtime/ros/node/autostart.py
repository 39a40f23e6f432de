"""Start of a node without an operator: attempts until one succeeds."""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.timer import Timer

from tracking_runtime.ros.node.managed_node import ManagedNode

_FIRST_DELAY_S = 2.0  # from the first attempt to the second
_MAX_DELAY_S = 300.0  # between two later attempts; a failing attempt may compile for minutes
_STEADY_CLOCK = Clock(clock_type=ClockType.STEADY_TIME)


class Autostart:
    """Configure and activate a node, and try again while it stays unconfigured.

    A disk that is mounted late, a full disk or too many open files can end a first attempt. On board, nobody
    is there for a second one. The time between two attempts doubles each time. The attempts end once the node
    has left the state unconfigured, also by a request of somebody else.

    Args:
        node: node to start.
    """

    def __init__(self, node: ManagedNode[Any]) -> None:
        self._node = node
        self._delay_s = _FIRST_DELAY_S
        self._timer: Timer | None = None

    def attempt(self) -> None:
        """Start the node if it is unconfigured, and plan the next attempt if that fails."""
        self._cancel_timer()
        if self._node.state != "unconfigured":
            return
        self._node.autostart()
        if self._node.state != "unconfigured":
            return
        self._node.get_logger().info(f"next attempt to configure in {self._delay_s:g} s")
        self._timer = self._node.create_timer(self._delay_s, self.attempt, clock=_STEADY_CLOCK)
        self._delay_s = min(2 * self._delay_s, _MAX_DELAY_S)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
