"""The base of all nodes: a lifecycle in which nothing fails silently and nothing stays behind."""

from __future__ import annotations

import gc
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import (
    InvalidHandle,
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.task import Future

from tracking_runtime.engines.build_progress import BuildProgress, followed
from tracking_runtime.ros.node import diagnostics, qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, Level
from tracking_runtime.ros.node.parameters import NodeParameters, ParameterServer
from tracking_runtime.ros.processes import end_with_parent
from tracking_runtime.ros.shared_memory import free_abandoned_memory

P = TypeVar("P", bound=NodeParameters)
_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_SAME_REQUEST_S = (
    3.0  # systemd and terminals send a signal to launch and to its nodes, and launch to these again
)
_DIAGNOSTICS_PERIOD_S = 1.0
_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


class TrackingNode(LifecycleNode, Generic[P]):
    """A lifecycle node that says what it does, and what went wrong, in its log and on ``/diagnostics``.

    Subclasses say what the transitions mean in ``load`` (configure) and ``start`` (activate). What they make
    there by ``advertise``, ``subscribe`` and ``serve``, or put into ``scope``, is undone by the opposite
    transition, in reverse order, and when ``load`` or ``start`` raises.
    """

    def __init__(self, name: str, specification: type[P], **options: Any) -> None:
        """Create the node, unconfigured.

        Args:
            name: of the node unless remapped.
            specification: of its parameters.
            options: of ``rclpy.node.Node``.

        Raises:
            ValueError: a parameter's value at the start is not allowed.
        """
        super().__init__(name, **options)
        self._loaded, self._started = ExitStack(), ExitStack()
        self._scope = self._loaded
        self._last_error = ""
        self._incompatible: dict[str, str] = {}
        self._parameter_server = ParameterServer(self, specification, lambda: self.state == "unconfigured")
        for line in self._parameter_server.unknown:
            self.get_logger().warning(line)
        self._refuse_wrong_transitions()
        self._diagnostics = self.create_publisher(DiagnosticArray, diagnostics.TOPIC, qos.track())
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self.report, clock=_STEADY)

    # What subclasses fill in

    def load(self) -> None:
        """Configure: load and warm the model, advertise. Raise to stay unconfigured."""

    def start(self) -> None:
        """Activate: subscribe. Raise to stay inactive."""

    def stop(self) -> None:
        """Deactivate, before ``start``'s scope is closed."""

    def unload(self) -> None:
        """Clean up, before ``load``'s scope is closed."""

    def diagnose(self) -> Diagnosis:
        """How the node is; the base class adds its state and last error."""
        return Diagnosis()

    # What they use

    @property
    def parameters(self) -> P:
        """The current values of all parameters, a consistent set."""
        return self._parameter_server.values

    @property
    def state(self) -> str:
        """The lifecycle's: unconfigured, inactive, active, finalized, or a transition's in between."""
        return str(self._state_machine.current_state[1])

    @property
    def build_only(self) -> bool:
        """Whether to end as soon as the node is configured."""
        return False

    @property
    def scope(self) -> ExitStack:
        """Closed by the transition opposite to the current one."""
        return self._scope

    def advertise(self, message_type: Any, topic: str, profile: QoSProfile) -> Publisher:
        """A publisher whose QoS users may override, for as long as the current scope."""

        def note(event: Any) -> None:
            self._note_incompatible("a subscriber", topic, event)

        publisher = self.create_publisher(
            message_type,
            topic,
            profile,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=PublisherEventCallbacks(incompatible_qos=note),
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
        """A subscription whose QoS users may override, for as long as the current scope."""

        def note(event: Any) -> None:
            self._note_incompatible("the publisher", topic, event)

        subscription = self.create_subscription(
            message_type,
            topic,
            callback,
            profile,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=note),
            callback_group=group,
        )
        self._scope.callback(self.destroy_subscription, subscription)
        return subscription

    def serve(
        self,
        service_type: Any,
        name: str,
        answer: Callable[[Any, Any], Any],
        group: CallbackGroup | None = None,
    ) -> None:
        """A service, for as long as the current scope."""
        service = self.create_service(service_type, name, answer, callback_group=group)
        self._scope.callback(self.destroy_service, service)

    def repeat(self, period_s: float, function: Callable[[], None]) -> None:
        """Call a function again and again, for as long as the current scope.

        Time is that of a steady clock: where ``use_sim_time`` is set, the node's own may stand still, or jump
        back with a recording that begins anew.
        """
        timer = self.create_timer(period_s, function, clock=_STEADY)
        self._scope.callback(self.destroy_timer, timer)

    def note_error(self, doing: str, error: BaseException) -> None:
        """Log an exception with its traceback and keep its message for the diagnostics."""
        self._last_error = f"{doing}: {error or type(error).__name__}"
        self.log_exception(self._last_error, error)

    def log_exception(self, line: str, error: BaseException) -> None:
        """Log an exception with its traceback, below a line that says what it means."""
        self.get_logger().error(f"{line}\n{''.join(traceback.format_exception(error))}")

    def report(self, state: str | None = None) -> None:
        """Publish the diagnosis now; ``state`` if the node is about to enter another one."""
        self._publish_diagnosis(self._full_diagnosis(state or self.state))

    def _publish_diagnosis(self, diagnosis: Diagnosis) -> None:
        name, stamp = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics.to_message(diagnosis, name, platform.node(), stamp))

    # The lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._last_error = ""
        self._scope = self._loaded
        with self._build_reported():
            return self._attempt("configure", self.load, self._unload, "inactive", "unconfigured")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._last_error = ""
        self._scope = self._started
        return self._attempt("activate", self.start, self._stop, "active", "inactive")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._release("deactivate", self._stop, "inactive")

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._release("clean up", self._unload, "unconfigured")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release("shut down", self._stop_and_unload, "finalized")
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release("recover", self._stop_and_unload, "unconfigured")
        return TransitionCallbackReturn.SUCCESS

    def autostart(self) -> None:
        """Configure and activate; a failure leaves the node as far as it came, and is reported."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def shut_down(self) -> None:
        """End the lifecycle, whatever its state, and let the last diagnosis reach its readers."""
        if self.state != "finalized":
            self.trigger_shutdown()
        self._diagnostics.wait_for_all_acked(Duration(seconds=1))

    @contextmanager
    def _build_reported(self) -> Iterator[None]:
        """Tell in the diagnostics how far the engines are, while the executor waits for them."""
        told: list[BuildProgress] = []
        news, ended = threading.Event(), threading.Event()

        def tell(progress: BuildProgress) -> None:
            told.append(progress)
            news.set()

        def report() -> None:
            while not ended.is_set():
                if told:
                    self._publish_diagnosis(diagnostics.building(told[-1]))
                news.wait(_DIAGNOSTICS_PERIOD_S)
                news.clear()

        reporter = threading.Thread(target=report, name="build progress", daemon=True)
        reporter.start()
        try:
            with followed(tell):
                yield
        finally:
            ended.set()
            news.set()
            reporter.join()

    def _attempt(
        self, what: str, do: Callable[[], None], undo: Callable[[], None], reached: str, stayed: str
    ) -> TransitionCallbackReturn:
        try:
            do()
        except Exception as error:
            self.note_error(f"cannot {what}", error)
            self._release(f"undo {what}", undo, stayed)
            return TransitionCallbackReturn.FAILURE
        return self._arrive(reached)

    def _release(self, what: str, undo: Callable[[], None], reached: str) -> TransitionCallbackReturn:
        try:
            undo()
        except Exception as error:
            self.note_error(f"cannot {what}", error)
            self.report(reached)
            return TransitionCallbackReturn.ERROR
        return self._arrive(reached)

    def _arrive(self, state: str) -> TransitionCallbackReturn:
        self.report(state)
        self.get_logger().info(state)
        return TransitionCallbackReturn.SUCCESS

    def _stop(self) -> None:
        with self._started.pop_all():
            self.stop()

    def _unload(self) -> None:
        with self._loaded.pop_all():
            self.unload()

    def _stop_and_unload(self) -> None:
        try:
            self._stop()
        finally:
            self._unload()

    def _full_diagnosis(self, state: str) -> Diagnosis:
        diagnosis = self.diagnose()
        level, message = diagnosis.level, diagnosis.message
        if state != "active" and level == Level.OK:
            message = state
        if self._incompatible:
            level, message = max(level, Level.WARN), next(iter(self._incompatible.values()))
        if self._last_error:
            level, message = Level.ERROR, self._last_error
        values = {"state": state, "last_error": self._last_error, **diagnosis.values}
        return replace(diagnosis, level=level, message=message, values=values)

    def _note_incompatible(self, other: str, topic: str, event: Any) -> None:
        name = self.resolve_topic_name(topic)
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        line = (
            f"incompatible QoS on {name}: {other} differs in {policy}, nothing will come through; "
            f"set qos_overrides.{name}.*"
        )
        self._incompatible[topic] = line
        self.get_logger().error(line)

    def _refuse_wrong_transitions(self) -> None:
        """Answer a transition that the state does not allow; rclpy lets the exception end the process."""
        service = self._service_change_state
        change_state = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except rclpy_implementation.RCLError:
                wanted = request.transition.label or request.transition.id
                self.get_logger().warning(f"no transition {wanted} from state {self.state}")
                self.report()
                response.success = False
                return response

        service.callback = answer


def run_node(make: Callable[[], TrackingNode[Any]]) -> int:
    """Run one node until SIGINT or SIGTERM, then shut it down; a later signal ends the process at once.

    Returns:
        the exit status: 0, 1 if it should only be built and cannot be, or 2 if a parameter's value at the
        start is not allowed.
    """
    signalled = Future()
    threading.Thread(
        target=_await_signals, args=[_signal_pipe(), signalled], name="signals", daemon=True
    ).start()
    gc.freeze()  # what the imports left stays: to look through it takes a tenth of a second, between frames
    end_with_parent()
    free_abandoned_memory()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        try:
            node = make()
        except (ValueError, InvalidParameterTypeException, InvalidParameterValueException) as error:
            print(error, file=sys.stderr)
            return 2
        if node.build_only:
            built = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            node.shut_down()
            return 0 if built else 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.parameters.autostart:
            node.autostart()
        while not signalled.done():
            try:
                executor.spin_until_future_complete(signalled)
            except InvalidHandle:
                node.get_logger().warning("a request stays without answer: its service ended meanwhile")
            except Exception as error:
                node.note_error("callback failed", error)
        node.shut_down()
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
        for number in _SIGNALS:  # Python would let them end the process while it exits
            signal.signal(number, signal.SIG_IGN)
    return 0


def _signal_pipe() -> int:
    """The end of a pipe from which each signal can be read as a byte, whichever thread it interrupts."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    return reading


def _await_signals(pipe: int, first: Future) -> None:
    os.read(pipe, 1)
    first.set_result(None)
    asked_s = time.monotonic()
    while True:
        number = os.read(pipe, 1)[0]
        if time.monotonic() - asked_s > _SAME_REQUEST_S:
            os._exit(128 + number)
