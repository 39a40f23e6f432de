"""Services of a node's lifecycle, with room for the requests of many clients at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode

from tracking_runtime.ros.node import qos

_CHANGE_STATE = "change_state"
_SERVICES: dict[str, Any] = {
    _CHANGE_STATE: ChangeState,
    "get_state": GetState,
    "get_available_states": GetAvailableStates,
    "get_available_transitions": GetAvailableTransitions,
    "get_transition_graph": GetAvailableTransitions,
}


def offer_lifecycle_services(node: LifecycleNode, report_rejection: Callable[[str], object]) -> None:
    """Offer the services of a lifecycle node that was created without them.

    rclpy offers these services with queues of 10 requests: of more clients at once, some are never answered.
    In rclpy, the exception of a transition that is not possible would end the process.

    Args:
        node: node that was created with `enable_communication_interface=False`.
        report_rejection: function that is called with the name of a transition that is not possible.
    """
    for name, service_type in _SERVICES.items():
        answer = getattr(node, f"_LifecycleNodeMixin__on_{name}")
        if name == _CHANGE_STATE:
            answer = _answer_rejections(answer, report_rejection)
        node.create_service(service_type, f"~/{name}", answer, qos_profile=qos.make_service_profile())


def _answer_rejections(
    change_state: Callable[[Any, Any], Any], report_rejection: Callable[[str], object]
) -> Callable[[Any, Any], Any]:
    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except rclpy_implementation.RCLError:
            report_rejection(str(request.transition.label or request.transition.id))
            response.success = False
            return response

    return answer
