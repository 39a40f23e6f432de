"""Base of all nodes: a lifecycle that reports every failure and leaves no resource behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_policy_name_from_kind

from tracking_runtime.engines.build_progress import BuildProgress
from tracking_runtime.ros.node.build_reporter import report_builds
from tracking_runtime.ros.node.diagnostics import Diagnosis
from tracking_runtime.ros.node.diagnostics_updater import DiagnosticsUpdater
from tracking_runtime.ros.node.lifecycle_services import offer_lifecycle_services
from tracking_runtime.ros.node.parameters import NodeParameters, ParameterServer, find_unknown_overrides
from tracking_runtime.ros.node.process_watchdog import ProcessWatchdog
from tracking_runtime.ros.node.scoped_lifecycle_node import STEADY_CLOCK, ScopedLifecycleNode

P = TypeVar("P", bound=NodeParameters)
_DIAGNOSTICS_PERIOD_S = 1.0
_SHUTDOWN_ACK_S = 1.0  # time that readers have to acknowledge the last diagnostics


class ManagedNode(ScopedLifecycleNode, Generic[P]):
    """Lifecycle node that reports its state and its failures in the log and on `/diagnostics`.

    Subclasses implement the transitions in `load` (configure) and `start` (activate). Both create resources
    by `advertise`, `subscribe`, `offer_service` and `add_timer`, or put them into `scope`. The opposite
    transition releases these in reverse order. They are also released if `load` or `start` raises.

    Attributes:
        diagnostics: updater of the node's diagnostics, which records errors and publishes.
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
        super().__init__(name, **options)
        self._has_stuck_threads = False
        self._parameter_server = ParameterServer(self, specification, lambda: self.state == "unconfigured")
        for warning in self._parameter_server.unknown_warnings:
            self.get_logger().warning(warning)
        offer_lifecycle_services(self, self._report_rejection)
        self.diagnostics = DiagnosticsUpdater(self, self.diagnose)
        self._process_watchdog = ProcessWatchdog(self.diagnostics.publish_blocked)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._beat, clock=STEADY_CLOCK)

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
    def is_build_only(self) -> bool:
        """Build mode: the process ends as soon as the node is configured."""
        return False

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

    def close_thread(self, name: str, close: Callable[[], bool]) -> None:
        """Close a thread, and leave the thread behind if it hangs.

        Args:
            name: description of the thread for the log ("the loader").
            close: function that ends the thread and returns whether the thread has ended.
        """
        if not close():
            self.record_stuck_thread(name)

    # Lifecycle

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        self.diagnostics.reset_error()
        self._scope = self._configured_scope
        try:
            with report_builds(self._publish_build_progress, _DIAGNOSTICS_PERIOD_S):
                return self._run_transition("configure", self.load, self._unload, "inactive", "unconfigured")
        finally:
            self.diagnostics.end_build()

    def on_activate(self, _: LifecycleState) -> TransitionCallbackReturn:
        self.diagnostics.reset_error()
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
        self.diagnostics.wait_until_acknowledged(_SHUTDOWN_ACK_S)

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
            self.diagnostics.record_error(f"cannot {action}", error)
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
            self.diagnostics.record_error(f"cannot {action}", error)
            self.diagnostics.publish(goal_state)
            return TransitionCallbackReturn.ERROR
        finally:
            self._process_watchdog.begin_transition("")
        return self._enter_state(goal_state)

    def _enter_state(self, state: str) -> TransitionCallbackReturn:
        self.diagnostics.publish(state)
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

    def report_incompatible_qos(self, peer: str, topic: str, event: Any) -> None:
        """Log an incompatible QoS policy of a peer, and warn of it in the diagnostics from now on."""
        name = self.resolve_topic_name(topic)
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self.diagnostics.record_qos_warning(
            topic,
            f"incompatible QoS on {name}: {peer} differs in {policy}, so that no message arrives; "
            f"set qos_overrides.{name}.*",
        )

    def _beat(self) -> None:
        self._process_watchdog.beat()
        self.diagnostics.publish()

    def _publish_build_progress(self, progress: BuildProgress) -> None:
        if self.is_build_only:
            self.get_logger().info(f"building {progress}")
        self.diagnostics.publish_build(progress)

    def _report_rejection(self, transition: str) -> None:
        """Report a transition that the state does not allow."""
        self.get_logger().warning(f"transition {transition} is not possible from state {self.state}")
        self.diagnostics.publish()
