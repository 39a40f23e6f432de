"""Clients of the nodes for other programs: transitions, parameters and the trackers' services."""

from __future__ import annotations

import time
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import ArrayLike
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from remote_sensing_tracking.msg import BoundingBox
from remote_sensing_tracking.srv import ClearTarget, ReloadModel, SetTarget
from std_srvs.srv import Trigger

from tracking_runtime.boxes import as_boxes
from tracking_runtime.errors import TrackingError
from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.ros.node import diagnostics
from tracking_runtime.ros.node.diagnostics import Diagnosis
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

_PRIMARY_STATES = {"unconfigured", "inactive", "active", "finalized"}


class RequestRefusedError(TrackingError, RuntimeError):
    """A request that a node refused. The message has the node's reason."""


def set_parameters(session: RosSession, node: str, **values: Any) -> None:
    """Set parameters of a node, all or none, and wait until the node has answered.

    Args:
        session: session of this program.
        node: name of the node with its namespace, for example `/hsi_tracker`.
        values: value of each parameter by name.

    Raises:
        RequestRefusedError: the node refused the values; the message has its reason.
        ServiceError: the node does not run, or does not answer within 10 s.
    """
    request = SetParametersAtomically.Request(
        parameters=[Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    )
    result = session.call(SetParametersAtomically, f"{node}/set_parameters_atomically", request).result
    if not result.successful:
        raise RequestRefusedError(f"{node} did not set {', '.join(values)}: {result.reason}")


class LifecycleClient:
    """Client of the lifecycle of one node.

    A transition returns when the node is in the new state. If the response is lost, the diagnostics of the
    node decide. DDS loses a response to a client that the server has not discovered within 100 ms, which
    happens while processes start (ros2/rmw_fastrtps#390). All methods raise ServiceError if the node does not
    run, or does not answer in time.
    """

    def __init__(
        self, session: RosSession, node: str, timeout_s: float = 180.0, response_lost_s: float = 10.0
    ) -> None:
        """Subscribe to the diagnostics of a node.

        Args:
            session: session of this program.
            node: name of the node with its namespace, for example `/hsi_tracker`.
            timeout_s: longest time of each transition in seconds. Configuring loads a model.
            response_lost_s: time after a request from which the diagnostics count instead of the response,
                in seconds.
        """
        self._session = session
        self._node = node
        self._timeout_s = timeout_s
        self._response_lost_s = response_lost_s
        self._diagnosis: Diagnosis | None = None
        self._diagnosis_stamp_ns = 0
        self._diagnosis_received_s = 0.0
        session.node.create_subscription(DiagnosticArray, diagnostics.TOPIC, self._store_diagnosis, 100)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """Newest diagnosis of the node, its values as text; None before the first."""
        return self._diagnosis

    @property
    def diagnosis_stamp_ns(self) -> int:
        """Stamp of the newest diagnosis on the clock of the node, in nanoseconds; 0 before the first."""
        return self._diagnosis_stamp_ns

    def state(self) -> str:
        """Request the state of the node: unconfigured, inactive, active or finalized."""
        response = self._request(GetState, "get_state", GetState.Request())
        return str(response.current_state.label) if response else self._reported_state

    def configure(self) -> None:
        """Change from unconfigured to inactive. Raise RequestRefusedError if the node refuses."""
        self._change("configure", Transition.TRANSITION_CONFIGURE, "inactive")

    def activate(self) -> None:
        """Change from inactive to active. Raise RequestRefusedError if the node refuses."""
        self._change("activate", Transition.TRANSITION_ACTIVATE, "active")

    def deactivate(self) -> None:
        """Change from active to inactive. Raise RequestRefusedError if the node refuses."""
        self._change("deactivate", Transition.TRANSITION_DEACTIVATE, "inactive")

    def cleanup(self) -> None:
        """Change from inactive to unconfigured. Raise RequestRefusedError if the node refuses."""
        self._change("clean up", Transition.TRANSITION_CLEANUP, "unconfigured")

    def start(self) -> None:
        """Change from unconfigured to active. Raise RequestRefusedError if the node refuses."""
        self.configure()
        self.activate()

    def _change(self, action: str, transition: int, goal_state: str) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        self._diagnosis = None
        response = self._request(ChangeState, "change_state", request)
        is_changed = response.success if response else self._reported_state == goal_state
        if not is_changed:
            reason = self._wait_for_error() or f"not possible from state {self.state()}"
            raise RequestRefusedError(f"{self._node} did not {action}: {reason}")

    def _request(self, service_type: Any, service: str, request: Any) -> Any:
        """Call a service and return its response; None if it is lost and a later diagnosis has a state."""

        def is_lost(request_s: float) -> bool:
            is_later = self._diagnosis_received_s > request_s + self._response_lost_s
            return is_later and bool(self._reported_state)

        return self._session.call(service_type, f"{self._node}/{service}", request, self._timeout_s, is_lost)

    @property
    def _reported_state(self) -> str:
        """State in the newest diagnosis; empty without one, or during a transition."""
        state = str(self._diagnosis.values.get("state", "")) if self._diagnosis else ""
        return state if state in _PRIMARY_STATES else ""

    def _wait_for_error(self) -> str:
        """Wait for a diagnosis and return its last error, or an empty text."""
        diagnosis = wait_for(lambda: self._diagnosis, description=f"a diagnosis of {self._node}")
        return str(diagnosis.values.get("last_error", "")) if diagnosis else ""

    def _store_diagnosis(self, message: DiagnosticArray) -> None:
        diagnosis = diagnostics.from_message(message, self._node)
        if diagnosis is not None:
            self._diagnosis = diagnosis
            self._diagnosis_stamp_ns = read_stamp_ns(message)
            self._diagnosis_received_s = time.monotonic()


class TrackerClient:
    """Client of the services that both trackers have.

    All methods raise ServiceError if the node does not run, or does not answer in time.
    """

    def __init__(self, session: RosSession, node: str, timeout_s: float = 30.0) -> None:
        """Create the client.

        Args:
            session: session of this program.
            node: name of the node with its namespace, for example `/spax_tracker`.
            timeout_s: longest time of each call in seconds.
        """
        self._session = session
        self._node = node
        self._timeout_s = timeout_s

    def reset(self) -> None:
        """Delete all targets or tracks and begin a new epoch. Raise RequestRefusedError if refused."""
        self._request(Trigger, "reset", Trigger.Request())

    def reload_model(self, model: str = "") -> None:
        """Replace the model of the tracker.

        Args:
            model: name of a model, or path of its manifest; empty: the current model, read again.

        Raises:
            RequestRefusedError: the model cannot be loaded; the old model stays.
        """
        self._request(ReloadModel, "reload_model", ReloadModel.Request(model=model))

    def _request(self, service_type: Any, service: str, request: Any) -> Any:
        response = self._session.call(service_type, f"{self._node}/{service}", request, self._timeout_s)
        if not response.success:
            raise RequestRefusedError(f"{self._node} refused {service}: {response.message}")
        return response


class HsiTrackerClient(TrackerClient):
    """Client of the services of the hyperspectral tracker."""

    def set_target(self, box: ArrayLike, *, stamp_ns: int = 0, target_id: int = 0, label: str = "") -> int:
        """Select a target and return its id.

        Args:
            box: box of the target in pixels of the source image: x, y, width, height.
            stamp_ns: stamp of the frame that the box was drawn on, in nanoseconds; 0: the newest frame.
            target_id: id of the target to replace; 0: a new target.
            label: text that the tracks of the target carry.

        Raises:
            RequestRefusedError: the tracker refused the target; the message has its reason.
        """
        x, y, width, height = map(float, as_boxes(box)[0])
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        request = SetTarget.Request(
            box=BoundingBox(x=x, y=y, width=width, height=height),
            stamp=Time(sec=seconds, nanosec=nanoseconds),
            id=target_id,
            label=label,
        )
        return int(self._request(SetTarget, "set_target", request).id)

    def clear_target(self, target_id: int = 0) -> None:
        """Remove a target; 0 removes all. Raise RequestRefusedError if the tracker refuses."""
        self._request(ClearTarget, "clear_target", ClearTarget.Request(id=target_id))
