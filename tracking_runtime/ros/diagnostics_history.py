"""Diagnoses of all running nodes over some seconds."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from tracking_runtime.messages.conversion import read_stamp_ns
from tracking_runtime.ros.node import diagnostics, qos
from tracking_runtime.ros.session import RosSession


def listen_to_diagnoses(seconds: float) -> list[dict[str, Any]]:
    """Return the diagnoses that arrive within some seconds: stamp, node, level, message and values."""
    with RosSession("rstrack_doctor") as session:
        messages = session.listen(DiagnosticArray, diagnostics.TOPIC, qos.make_track_profile())
        time.sleep(seconds)
        return [
            {
                "stamp_ns": read_stamp_ns(message),
                "node": status.name,
                "level": status.level[0],
                "message": status.message,
                "values": {pair.key: pair.value for pair in status.values},
            }
            for message in list(messages)
            for status in message.status
        ]
