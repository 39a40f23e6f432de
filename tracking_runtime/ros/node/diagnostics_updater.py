"""Updater of a node's diagnostics: its diagnosis with lifecycle state, QoS warnings and last error."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.impl.rcutils_logger import RcutilsLogger

from tracking_runtime.engines.build_progress import BuildProgress
from tracking_runtime.errors import TrackingError
from tracking_runtime.ros.node import diagnostics, qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel, Value
from tracking_runtime.ros.node.executor import TolerantExecutor
from tracking_runtime.ros.node.scoped_lifecycle_node import ScopedLifecycleNode

_LONG_TRANSITION_S = 60.0  # time of a transition from which the operator is warned


class DiagnosticsUpdater:
    """Publisher of a node's state on `/diagnostics`. Its methods may be called from any thread.

    Attributes:
        exit_status: status with which the process is about to end because the node cannot recover; 0 else.
    """

    def __init__(self, node: ScopedLifecycleNode, diagnose: Callable[[], Diagnosis]) -> None:
        """Advertise `/diagnostics` until the node is destroyed.

        Args:
            node: node that the diagnostics are about.
            diagnose: function that returns the state of the node; the updater adds lifecycle state, QoS
                warnings and last error.
        """
        self.exit_status = 0
        self._node = node
        self._diagnose = diagnose
        self._publisher = node.create_publisher(DiagnosticArray, diagnostics.TOPIC, qos.make_track_profile())
        self._last_error = ""
        self._last_error_action = ""
        self._error_until_s = float("inf")
        self._qos_warnings: dict[str, str] = {}
        self._is_building = False

    # Errors and warnings

    def record_error(self, action: str, error: BaseException, shown_s: float = float("inf")) -> None:
        """Log an exception and keep its message for the diagnostics, until the next transition.

        Args:
            action: failed action for the message ("cannot configure").
            error: the exception.
            shown_s: time in which the diagnosis is an error, in seconds.
        """
        self._last_error = f"{action}: {error or type(error).__name__}"
        self._last_error_action = action
        self._error_until_s = time.monotonic() + shown_s
        log_exception(self._node.get_logger(), self._last_error, error)

    def clear_error(self, action: str) -> None:
        """Drop the error of an action that has succeeded since.

        Args:
            action: failed action, as for `record_error`.
        """
        if self._last_error_action == action:
            self.reset_error()

    def reset_error(self) -> None:
        """Drop the last error."""
        self._last_error = ""
        self._last_error_action = ""

    def record_qos_warning(self, topic: str, warning: str) -> None:
        """Log a warning of incompatible QoS and show it from now on.

        Args:
            topic: topic of the warning. A new warning replaces an older one of the same topic.
            warning: one line for the operator.
        """
        self._qos_warnings[topic] = warning
        self._node.get_logger().error(warning)

    # Messages

    def publish(self, state: str | None = None) -> None:
        """Publish the diagnosis now.

        Args:
            state: lifecycle state that the node is about to enter; None: the current state.
        """
        self._publish(self._complete(self._diagnose(), state or self._node.state))

    def publish_build(self, progress: BuildProgress) -> None:
        """Publish the progress of an engine that the node builds. `end_build` must follow."""
        self._is_building = True
        self._publish(diagnostics.make_build_diagnosis(progress))

    def end_build(self) -> None:
        """Record that the node builds no engine any more."""
        self._is_building = False

    def publish_blocked(self, transition: str, silence_s: float) -> None:
        """Publish that the executor of the node runs no callbacks, unless the node builds an engine.

        Args:
            transition: name of the transition that the executor runs; empty outside of transitions.
            silence_s: time since the last callback in seconds.
        """
        values: dict[str, Value] = {"state": self._node.state, "last_error": self._last_error}
        if not transition:
            level = DiagnosticLevel.ERROR
            message = f"no callback has run for {silence_s:.0f} s"
        elif silence_s < _LONG_TRANSITION_S:
            level = DiagnosticLevel.OK
            message = f"{transition} for {silence_s:.0f} s"
        else:
            level = DiagnosticLevel.WARN
            message = f"{transition} for {silence_s:.0f} s, no callback runs meanwhile"
        if not self._is_building:
            self._publish(Diagnosis(level, message, values))

    def wait_until_acknowledged(self, timeout_s: float) -> None:
        """Wait until the readers have received the last diagnosis, at most `timeout_s` seconds."""
        self._publisher.wait_for_all_acked(Duration(nanoseconds=round(timeout_s * 1e9)))

    def _complete(self, diagnosis: Diagnosis, state: str) -> Diagnosis:
        """Add lifecycle state, QoS warning, dropped messages and last error to a diagnosis."""
        level = diagnosis.level
        message = diagnosis.message
        if state != "active" and level == DiagnosticLevel.OK:
            message = state
        if self._qos_warnings:
            level = max(level, DiagnosticLevel.WARN)
            message = next(iter(self._qos_warnings.values()))
        executor = self._node.executor
        if isinstance(executor, TolerantExecutor) and (untaken := executor.describe_untaken()):
            level = DiagnosticLevel.ERROR
            message = untaken
        if self._last_error and time.monotonic() < self._error_until_s:
            level = DiagnosticLevel.ERROR
            message = self._last_error
        values = {"state": state, "last_error": self._last_error, **diagnosis.values}
        if self.exit_status:
            values["exit_status"] = self.exit_status
        return replace(diagnosis, level=level, message=message, values=values)

    def _publish(self, diagnosis: Diagnosis) -> None:
        name = self._node.get_fully_qualified_name()
        stamp = self._node.get_clock().now().to_msg()
        diagnosis = replace(diagnosis, values={**diagnosis.values, "pid": os.getpid()})
        self._publisher.publish(diagnostics.to_message(diagnosis, name, platform.node(), stamp))


def log_exception(logger: RcutilsLogger, message: str, error: BaseException) -> None:
    """Log an exception below a message. Errors that a user can fix have no traceback."""
    if isinstance(error, TrackingError):
        logger.error(message)
    else:
        logger.error(f"{message}\n{''.join(traceback.format_exception(error))}")
