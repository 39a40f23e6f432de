"""Nodes from the outside, as a program uses them: transitions, parameters and the trackers' services."""

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
from tracking_runtime.messages.conversion import stamp_ns
from tracking_runtime.ros.node import diagnostics
from tracking_runtime.ros.node.diagnostics import Diagnosis
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

_SETTLED = {"unconfigured", "inactive", "active", "finalized"}


class RequestRefused(RuntimeError):
    """A node did not do what it was asked to. The message gives its reason."""


def set_parameters(session: RosSession, node: str, **values: Any) -> None:
    """Set parameters of a node, all or none. Raises RequestRefused with the node's reason."""
    request = SetParametersAtomically.Request(
        parameters=[Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    )
    result = session.call(SetParametersAtomically, f"{node}/set_parameters_atomically", request).result
    if not result.successful:
        raise RequestRefused(f"{node} did not set {', '.join(values)}: {result.reason}")


class LifecycleClient:
    """The lifecycle of one node, asked and changed.

    A transition returns once the node is in the new state. Should the response be lost, the diagnoses tell
    how it went: DDS sends none to a client that the server has not discovered within 100 ms, which happens
    while processes start (ros2/rmw_fastrtps#390).
    """

    def __init__(
        self, session: RosSession, node: str, timeout_s: float = 180.0, response_lost_s: float = 10.0
    ) -> None:
        """Follow a node.

        Args:
            session: to speak through.
            node: its name with namespace, as ``/hsi_tracker``.
            timeout_s: for each transition; configuring loads a model.
            response_lost_s: how long after a request the node's diagnoses count instead of its response.
        """
        self._session = session
        self._node = node
        self._timeout_s = timeout_s
        self._response_lost_s = response_lost_s
        self._diagnosis: Diagnosis | None = None
        self._diagnosis_stamp_ns = 0
        self._diagnosis_came_s = 0.0
        session.node.create_subscription(DiagnosticArray, diagnostics.TOPIC, self._note, 100)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """What the node last said of itself; values are text."""
        return self._diagnosis

    @property
    def diagnosis_stamp_ns(self) -> int:
        """When it said so, on its clock; 0 if it has not."""
        return self._diagnosis_stamp_ns

    def state(self) -> str:
        """The node's state: unconfigured, inactive, active or finalized."""
        response = self._ask(GetState, "get_state", GetState.Request())
        return str(response.current_state.label) if response else self._settled_state

    def configure(self) -> None:
        """Unconfigured -> inactive. Raises RequestRefused."""
        self._change("configure", Transition.TRANSITION_CONFIGURE, "inactive")

    def activate(self) -> None:
        """Inactive -> active. Raises RequestRefused."""
        self._change("activate", Transition.TRANSITION_ACTIVATE, "active")

    def deactivate(self) -> None:
        """Active -> inactive. Raises RequestRefused."""
        self._change("deactivate", Transition.TRANSITION_DEACTIVATE, "inactive")

    def cleanup(self) -> None:
        """Inactive -> unconfigured. Raises RequestRefused."""
        self._change("clean up", Transition.TRANSITION_CLEANUP, "unconfigured")

    def start(self) -> None:
        """Unconfigured -> active. Raises RequestRefused."""
        self.configure()
        self.activate()

    def _change(self, what: str, transition: int, reached: str) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        self._diagnosis = None
        response = self._ask(ChangeState, "change_state", request)
        succeeded = response.success if response else self._settled_state == reached
        if not succeeded:
            reason = self._reason() or f"not possible from state {self.state()}"
            raise RequestRefused(f"{self._node} did not {what}: {reason}")

    def _ask(self, service_type: Any, service: str, request: Any) -> Any:
        """The response; None if it is lost, and the diagnosis is from after the request was dealt with."""

        def is_lost(asked_s: float) -> bool:
            dealt_with = self._diagnosis_came_s > asked_s + self._response_lost_s
            return dealt_with and bool(self._settled_state)

        return self._session.call(service_type, f"{self._node}/{service}", request, self._timeout_s, is_lost)

    @property
    def _settled_state(self) -> str:
        """The state that the node last said to be in; empty if it has not, or is about to leave it."""
        state = str(self._diagnosis.values.get("state", "")) if self._diagnosis else ""
        return state if state in _SETTLED else ""

    def _reason(self) -> str:
        diagnosis = wait_for(lambda: self._diagnosis, what=f"a diagnosis of {self._node}")
        return str(diagnosis.values.get("last_error", "")) if diagnosis else ""

    def _note(self, message: DiagnosticArray) -> None:
        diagnosis = diagnostics.from_message(message, self._node)
        if diagnosis is not None:
            self._diagnosis, self._diagnosis_stamp_ns = diagnosis, stamp_ns(message)
            self._diagnosis_came_s = time.monotonic()


class TrackerClient:
    """The services that both trackers have."""

    def __init__(self, session: RosSession, node: str, timeout_s: float = 30.0) -> None:
        """Speak to the tracker of this name, with namespace, as ``/spax_tracker``."""
        self._session = session
        self._node = node
        self._timeout_s = timeout_s

    def reset(self) -> None:
        """Forget everything seen; a new epoch begins. Raises RequestRefused."""
        self._ask(Trigger, "reset", Trigger.Request())

    def reload_model(self, model: str = "") -> None:
        """Replace the network, by the same one read anew if no other is named. Raises RequestRefused."""
        self._ask(ReloadModel, "reload_model", ReloadModel.Request(model=model))

    def _ask(self, service_type: Any, service: str, request: Any) -> Any:
        response = self._session.call(service_type, f"{self._node}/{service}", request, self._timeout_s)
        if not response.success:
            raise RequestRefused(f"{self._node} refused {service}: {response.message}")
        return response


class HsiTrackerClient(TrackerClient):
    """The services of the hyperspectral tracker."""

    def set_target(self, box: ArrayLike, *, stamp_ns: int = 0, target_id: int = 0, label: str = "") -> int:
        """Follow what is in a box; its id.

        Args:
            box: x, y, width, height in pixels of the source image.
            stamp_ns: of the frame that the box was drawn on; 0: the newest.
            target_id: of the target to set anew; 0: a new one.
            label: comes back in the tracks.

        Raises:
            RequestRefused: with the tracker's reason.
        """
        x, y, width, height = map(float, as_boxes(box)[0])
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        request = SetTarget.Request(
            box=BoundingBox(x=x, y=y, width=width, height=height),
            stamp=Time(sec=seconds, nanosec=nanoseconds),
            id=target_id,
            label=label,
        )
        return int(self._ask(SetTarget, "set_target", request).id)

    def clear_target(self, target_id: int = 0) -> None:
        """Stop following a target, or all. Raises RequestRefused."""
        self._ask(ClearTarget, "clear_target", ClearTarget.Request(id=target_id))
