"""Selection of a target by a program: a box, or the first box of the ground truth on a topic."""

from __future__ import annotations

import time
from typing import Any

from numpy.typing import ArrayLike
from remote_sensing_tracking.msg import TrackArray
from remote_sensing_tracking.srv import SetTarget

from tracking_runtime.boxes import as_boxes
from tracking_runtime.ros.clients import RequestRefusedError
from tracking_runtime.ros.conversions.track_messages import to_box
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.session import RosSession
from tracking_runtime.ros.waiting import wait_for

_FRAME_S = 1.0  # longest time from the truth of a frame until the frame is tracked, in seconds
_RETRY_S = 0.05


def set_target_by_box(session: RosSession, node: str, box: ArrayLike, label: str = "") -> str:
    """Set a target in the newest frame and return the answer of the tracker.

    Args:
        session: session of this program.
        node: name of the tracker with its namespace, for example `/hsi_tracker`.
        box: x, y, width, height in pixels of the source image.
        label: text that the tracks of the target carry.

    Raises:
        RequestRefusedError: the tracker refused the target; the message has its reason.
        ServiceError: the tracker does not answer.
    """
    return _request(session, node, SetTarget.Request(box=to_box(as_boxes(box)[0]), label=label))


def set_target_by_truth(
    session: RosSession, node: str, topic: str = "/ground_truth", timeout_s: float = 20.0, label: str = ""
) -> str:
    """Set the first object of the ground truth as target, in the frame of the truth, and return the answer.

    Args:
        session: session of this program.
        node: name of the tracker with its namespace, for example `/hsi_tracker`.
        topic: topic of the ground truth.
        timeout_s: longest time to wait for a truth whose frame the tracker has, in seconds.
        label: text that the tracks of the target carry.

    Raises:
        RequestRefusedError: the tracker refused the target until the timeout; the message has its reason.
        ServiceError: the tracker does not answer.
        WaitTimeoutError: no truth with an object arrived.
    """
    messages = session.listen(TrackArray, topic, qos.make_track_profile())
    deadline_s = time.monotonic() + timeout_s
    while True:
        messages.clear()
        left_s = max(deadline_s - time.monotonic(), 0.0)
        truth = wait_for(
            lambda: _find_object(messages), left_s, f"an object on {topic}; is the player active?"
        )
        request = SetTarget.Request(
            box=to_box(as_boxes(truth.boxes)[0]), stamp=truth.header.stamp, label=label
        )
        frame_deadline_s = time.monotonic() + _FRAME_S
        while True:
            try:
                return _request(session, node, request)
            except RequestRefusedError:
                if time.monotonic() > deadline_s:
                    raise
                if time.monotonic() > frame_deadline_s:
                    break
                time.sleep(_RETRY_S)


def _find_object(messages: list[Any]) -> Any:
    return next((message for message in reversed(list(messages)) if len(message.ids)), None)


def _request(session: RosSession, node: str, request: Any) -> str:
    response = session.call(SetTarget, f"{node}/set_target", request)
    if response is None or not response.success:
        reason = "no answer" if response is None else response.message
        raise RequestRefusedError(f"{node} refused the target: {reason}")
    return str(response.message)
