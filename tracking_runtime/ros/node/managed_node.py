"""Base of all nodes: a lifecycle that reports every failure and leaves no resource behind."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Generic, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from tracking_runtime.engines.build_progress import BuildProgress
from tracking_runtime.errors import TrackingError
from tracking_runtime.ros.node import diagnostics, qos
from tracking_runtime.ros.node.build_reporter import report_builds
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel
from tracking_runtime.ros.node.lifecycle_services import offer_lifecycle_services
from tracking_runtime.ros.node.parameters import NodeParameters, ParameterServer, find_unknown_overrides
from tracking_runtime.ros.node.process_watchdog import ProcessWatchdog

P = TypeVar("P", bound=NodeParameters)
_DIAGNOSTICS_PERIOD_S = 1.0
_LONG_TRANSITION_S = 60.0  # time of a transition from which the operator is warned
_SHUTDOWN_ACK_S = 1  # time that readers have to acknowledge the last diagnostics
_STEADY_CLOCK = Clock(clock_type=ClockType.STEADY_TIME)


class ManagedNode(LifecycleNode, Generic[P]):
    """Lifecycle node that reports its state and its failures in the log and on `/diagnostics`.

    Subclasses implement the transitions in `load` (configure) and `start` (activate). Both create resources
    by `advertise`, `subscribe`, `offer_service` and `add_timer`, or put them into `scope`. The opposite
    transition releases these in reverse order. They are also released if `load` or `start` raises.
    """

    def __init__(self, name: str, specification: type[P], **options: Any) -> None:
        """Create the node, unconfigured.

        Args:
            name: name of the node unless it is remapped.
            specification: dataclass of the node's parameters.
            options: options of `rclpy.node.Node`.

        Raises:
            ValueError: a parameter has an invalid value at the start.
        """
        super().__init__(name, enable_communication_interface=False, **options)
        self._configured_scope = ExitStack()
        self._active_scope = ExitStack()
        self._scope = self._configured_scope
        self._last_error = ""
        self._last_error_action = ""
        self._error_until_s = float("inf")
        self._has_stuck_threads = False
        self._is_building = False
        self._qos_warnings: dict[str, str] = {}
        self._parameter_server = ParameterServer(self, specification, lambda: self.state == "unconfigured")
        for warning in self._parameter_server.unknown_warnings:
            self.get_logger().warning(warning)
        offer_lifecycle_services(self, self._report_rejection)
        self._diagnostics_publisher = self.create_publisher(
            DiagnosticArray, diagnostics.TOPIC, qos.make_track_profile()
        )
        self._process_watchdog = ProcessWatchdog(self._report_blocked)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._beat, clock=_STEADY_CLOCK)

    # Methods that subclasses implement

    def load(self) -> None:
        """Configure: load and warm up the model, advertise. An exception keeps the node unconfigured."""

    def start(self) -> None:
        """Activate: subscribe. An exception keeps the node inactive."""

    def stop(self) -> None:
        """Deactivate, before the resources of `start` are released."""

    def unload(self) -> None:
        """Clean up, before the resources of `load` are released."""

    def diagnose(self) -> Diagnosis:
        """Return the state of the node. The base class adds lifecycle state and last error."""
        return Diagnosis()

    @property
    def on_demand_topics(self) -> Sequence[str]:
        """Topics that the active node subscribes to only while they are needed."""
        return ()

    # Methods that subclasses use

    @property
    def parameters(self) -> P:
        """Current values of all parameters, a consistent set."""
        return self._parameter_server.values

    @property
    def state(self) -> str:
        """Lifecycle state: unconfigured, inactive, active, finalized, or the name of a transition state."""
        return str(self._state_machine.current_state[1])

    @property
    def is_build_only(self) -> bool:
        """Build mode: the process ends as soon as the node is configured."""
        return False

    @property
    def scope(self) -> ExitStack:
        """Resources that the opposite of the current transition releases."""
        return self._scope

    def advertise(self, message_type: Any, topic: str, profile: QoSProfile) -> Publisher:
        """Create a publisher in the current scope. Users may override its QoS."""

        def warn(event: Any) -> None:
            self._warn_of_qos("a subscriber", topic, event)

        publisher = self.create_publisher(
            message_type,
            topic,
            profile,
            qos_overriding_options=QoSOverridingOptions(qos.OVERRIDABLE_POLICIES),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=warn),
        )
        self._scope.callback(self.destroy_publisher, publisher)
        return publisher

    def subscribe(
        self,
        message_type: Any,
        topic: str,
        callback: Callable[..., Any],
        profile: QoSProfile,
        group: CallbackGroup | None = None,
    ) -> Subscription:
        """Create a subscription in the current scope. Users may override its QoS."""

        def warn(event: Any) -> None:
            self._warn_of_qos("the publisher", topic, event)

        subscription = self.create_subscription(
            message_type,
            topic,
            callback,
            profile,
            qos_overriding_options=QoSOverridingOptions(qos.OVERRIDABLE_POLICIES),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=warn),
            callback_group=group,
        )
        self._scope.callback(self.destroy_subscription, subscription)
        return subscription

    def offer_service(
        self,
        service_type: Any,
        name: str,
        answer: Callable[[Any, Any], Any],
        group: CallbackGroup | None = None,
    ) -> None:
        """Create a service in the current scope.

        Args:
            service_type: type of the service.
            name: name of the service.
            answer: function that fills in a response for a request and returns the response.
            group: callback group; None: the node's default group.
        """
        service = self.create_service(
            service_type, name, answer, qos_profile=qos.make_service_profile(), callback_group=group
        )
        self._scope.callback(self.destroy_service, service)

    def add_timer(self, period_s: float, function: Callable[[], None]) -> None:
        """Call a function periodically in the current scope.

        The timer uses a steady clock. With `use_sim_time` the clock of the node may stand still, or jump back
        when a recording starts again.
        """
        timer = self.create_timer(period_s, function, clock=_STEADY_CLOCK)
        self._scope.callback(self.destroy_timer, timer)

    @property
    def process_watchdog(self) -> ProcessWatchdog:
        """Watchdog of the executor that runs this node."""
        return self._process_watchdog

    @property
    def has_stuck_threads(self) -> bool:
        """True if threads of the node hang, so that Python cannot end the process by itself."""
        return self._has_stuck_threads

    def record_stuck_thread(self, name: str) -> None:
        """Log a thread that hangs and was left behind.

        Args:
            name: description of the thread for the log ("the worker").
        """
        self._has_stuck_threads = True
        self.get_logger().error(f"{name} hangs and is left behind")

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
        self.log_exception(self._last_error, error)

    def clear_error(self, action: str) -> None:
        """Drop the error of an action that has succeeded since.

        Args:
            action: failed action, as for `record_error`.
        """
        if self._last_error_action == action:
            self._reset_error()

    def log_exception(self, message: str, error: BaseException) -> None:
        """Log an exception below a message. Errors that a user can fix have no traceback."""
        if isinstance(error, TrackingError):
            self.get_logger().error(message)
        else:
            self.get_logger().error(f"{message}\n{''.join(traceback.format_exception(error))}")

    def _reset_error(self) -> None:
        self._last_error = ""
        self._last_error_action = ""

    def publish_diagnostics(self, state: str | None = None) -> None:
        """Publish the diagnosis now.

        Args:
            state: lifecycle state that the node is about to enter; None: the current state.
        """
        self._publish_diagnosis(self._make_diagnosis(state or self.state))

    def _publish_diagnosis(self, diagnosis: Diagnosis) -> None:
        name = self.get_fully_qualified_name()
        stamp = self.get_clock().now().to_msg()
        diagnosis = replace(diagnosis, values={**diagnosis.values, "pid": os.getpid()})
        self._diagnostics_publisher.publish(diagnostics.to_message(diagnosis, name, platform.node(), stamp))

    # Lifecycle

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        self._reset_error()
        self._scope = self._configured_scope
        try:
            with report_builds(self._publish_build_progress, _DIAGNOSTICS_PERIOD_S):
                return self._run_transition("configure", self.load, self._unload, "inactive", "unconfigured")
        finally:
            self._is_building = False

    def on_activate(self, _: LifecycleState) -> TransitionCallbackReturn:
        self._reset_error()
        self._scope = self._active_scope
        result = self._run_transition("activate", self.start, self._stop, "active", "inactive")
        if result == TransitionCallbackReturn.SUCCESS:
            topics = [self.resolve_topic_name(topic) for topic in self.on_demand_topics]
            for warning in find_unknown_overrides(self, topics):
                self.get_logger().warning(warning)
        return result

    def on_deactivate(self, _: LifecycleState) -> TransitionCallbackReturn:
        return self._release("deactivate", self._stop, "inactive")

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        return self._release("clean up", self._unload, "unconfigured")

    def on_shutdown(self, _: LifecycleState) -> TransitionCallbackReturn:
        self._release("shut down", self._stop_and_unload, "finalized")
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _: LifecycleState) -> TransitionCallbackReturn:
        self._release("recover", self._stop_and_unload, "unconfigured")
        return TransitionCallbackReturn.SUCCESS

    def autostart(self) -> None:
        """Configure and activate the node once. After a failure the node stays in the state it reached."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def shut_down(self) -> None:
        """Shut the node down from any state and wait until its last diagnostics are acknowledged."""
        if self.state != "finalized":
            self.trigger_shutdown()
        self.wait_for_diagnostics(_SHUTDOWN_ACK_S)

    def wait_for_diagnostics(self, timeout_s: float) -> None:
        """Wait until the readers have received the last diagnosis, at most `timeout_s` seconds."""
        self._diagnostics_publisher.wait_for_all_acked(Duration(nanoseconds=round(timeout_s * 1e9)))

    def _run_transition(
        self,
        action: str,
        activate: Callable[[], None],
        rollback: Callable[[], None],
        goal_state: str,
        fallback_state: str,
    ) -> TransitionCallbackReturn:
        """Run a transition that acquires resources. Release them if the transition fails.

        Args:
            action: name of the transition for messages.
            activate: function that acquires the resources.
            rollback: function that releases them.
            goal_state: state after a success.
            fallback_state: state after a failure.
        """
        self._process_watchdog.begin_transition(action)
        try:
            activate()
        except Exception as error:
            self.record_error(f"cannot {action}", error)
            self._release(f"undo {action}", rollback, fallback_state)
            return TransitionCallbackReturn.FAILURE
        finally:
            self._process_watchdog.begin_transition("")
        return self._enter_state(goal_state)

    def _release(self, action: str, release: Callable[[], None], goal_state: str) -> TransitionCallbackReturn:
        """Run a transition that releases resources."""
        self._process_watchdog.begin_transition(action)
        try:
            release()
        except Exception as error:
            self.record_error(f"cannot {action}", error)
            self.publish_diagnostics(goal_state)
            return TransitionCallbackReturn.ERROR
        finally:
            self._process_watchdog.begin_transition("")
        return self._enter_state(goal_state)

    def _enter_state(self, state: str) -> TransitionCallbackReturn:
        self.publish_diagnostics(state)
        self.get_logger().info(state)
        return TransitionCallbackReturn.SUCCESS

    def _stop(self) -> None:
        with self._active_scope.pop_all():
            self.stop()

    def _unload(self) -> None:
        with self._configured_scope.pop_all():
            self.unload()

    def _stop_and_unload(self) -> None:
        try:
            self._stop()
        finally:
            self._unload()

    # Diagnostics

    def _beat(self) -> None:
        self._process_watchdog.beat()
        self.publish_diagnostics()

    def _report_blocked(self, silence_s: float) -> None:
        """Publish the diagnosis of a node whose executor runs no callbacks. For the watchdog's thread."""
        values: dict[str, diagnostics.Value] = {"state": self.state, "last_error": self._last_error}
        transition = self._process_watchdog.transition
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
            self._publish_diagnosis(Diagnosis(level, message, values))

    def _publish_build_progress(self, progress: BuildProgress) -> None:
        self._is_building = True
        if self.is_build_only:
            self.get_logger().info(f"building {progress}")
        self._publish_diagnosis(diagnostics.make_build_diagnosis(progress))

    def _make_diagnosis(self, state: str) -> Diagnosis:
        """Add lifecycle state, QoS warning and last error to the diagnosis of the subclass."""
        diagnosis = self.diagnose()
        level = diagnosis.level
        message = diagnosis.message
        if state != "active" and level == DiagnosticLevel.OK:
            message = state
        if self._qos_warnings:
            level = max(level, DiagnosticLevel.WARN)
            message = next(iter(self._qos_warnings.values()))
        if self._last_error and time.monotonic() < self._error_until_s:
            level = DiagnosticLevel.ERROR
            message = self._last_error
        values = {"state": state, "last_error": self._last_error, **diagnosis.values}
        return replace(diagnosis, level=level, message=message, values=values)

    def _warn_of_qos(self, peer: str, topic: str, event: Any) -> None:
        """Log an incompatible QoS policy of a peer and keep the warning for the diagnostics."""
        name = self.resolve_topic_name(topic)
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        warning = (
            f"incompatible QoS on {name}: {peer} differs in {policy}, so that no message arrives; "
            f"set qos_overrides.{name}.*"
        )
        self._qos_warnings[topic] = warning
        self.get_logger().error(warning)

    def _report_rejection(self, transition: str) -> None:
        """Report a transition that the state does not allow."""
        self.get_logger().warning(f"transition {transition} is not possible from state {self.state}")
        self.publish_diagnostics()
