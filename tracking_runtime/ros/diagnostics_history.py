"""Diagnoses of all running nodes over some seconds, and their parameters."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python

from tracking_runtime.ros.node import diagnostics, qos
from tracking_runtime.ros.session import RosSession, ServiceError

_ANSWER_S = 2.0  # longest wait for the parameters of a node
_ATTEMPTS = 3  # a node that does not know the new client yet sends its answer to nobody


def listen_to_diagnoses(seconds: float) -> list[dict[str, Any]]:
    """Return the diagnoses that arrive within some seconds: stamp, node, level, message and values."""
    with RosSession("rstrack_doctor") as session:
        messages = session.listen(DiagnosticArray, diagnostics.TOPIC, qos.make_track_profile())
        time.sleep(seconds)
        return [entry for message in list(messages) for entry in diagnostics.to_entries(message)]


def read_parameters(nodes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the values of the parameters of running nodes, by node. Nodes that do not answer are left out.

    Args:
        nodes: names of the nodes with their namespaces.
    """
    with RosSession("rstrack_doctor") as session:
        answers = {node: _read_parameters_of(session, node) for node in nodes}
    return {node: values for node, values in answers.items() if values is not None}


def _read_parameters_of(session: RosSession, node: str) -> dict[str, Any] | None:
    """Return the values of a node's parameters; None if the node does not answer."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(ServiceError):
            listed = session.call(
                ListParameters, f"{node}/list_parameters", ListParameters.Request(), _ANSWER_S
            )
            names = list(listed.result.names)
            request = GetParameters.Request(names=names)
            answer = session.call(GetParameters, f"{node}/get_parameters", request, _ANSWER_S)
            return dict(zip(names, map(parameter_value_to_python, answer.values), strict=True))
    return None
