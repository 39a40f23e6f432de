"""Node `visualizer`: draws tracks on their frames, and publishes RViz markers."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from remote_sensing_tracking.msg import TargetTrackArray, TrackArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import ImageMarker, MarkerArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.frames import Frame
from tracking_runtime.messages.conversion import (
    duration_to_ms,
    read_image,
    read_stamp_ns,
    read_truth,
    serialize_image,
)
from tracking_runtime.messages.track_drawings import make_target_drawing, make_track_drawing
from tracking_runtime.nodes.pairing_watch import PairingWatch
from tracking_runtime.nodes.stamp_synchronizer import StampSynchronizer
from tracking_runtime.nodes.track_markers import TrackMarkers, make_image_marker
from tracking_runtime.overlay import TrackDrawing, Trails, draw_overlay, limit_size, to_bgr
from tracking_runtime.ros.conversions.image_messages import make_jpeg_message
from tracking_runtime.ros.conversions.track_messages import to_time
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, DiagnosticLevel, make_stage_values
from tracking_runtime.ros.node.managed_node import ManagedNode
from tracking_runtime.ros.node.parameters import Change, NodeParameters, parameter
from tracking_runtime.ros.node.run import run_node
from tracking_runtime.timing import StageTimes

_TRACKERS = {"hsi": (TargetTrackArray, make_target_drawing), "satellite": (TrackArray, make_track_drawing)}
_SUBSCRIBER_CHECK_PERIOD_S = 0.1
_MAX_WAITING_FRAMES = 30
_RECENTLY_S = 5.0  # time that a refusal stays in the diagnosis


@dataclass(frozen=True)
class VisualizerParameters(NodeParameters):
    """Parameters of the node `visualizer`."""

    tracker: str = parameter(
        "satellite", "tracker whose tracks are shown; selects the message type", choices=tuple(_TRACKERS)
    )
    scale: int = parameter(1, "magnification of the overlay", minimum=1, maximum=8, change=Change.ALWAYS)
    jpeg_quality: int = parameter(
        80, "JPEG quality of ~/overlay/compressed", minimum=1, maximum=100, change=Change.ALWAYS
    )
    preview_rate: float = parameter(
        1.0, "[Hz] highest image rate on ~/preview", minimum=0.01, change=Change.ALWAYS
    )
    preview_side: int = parameter(
        320, "[px] longer side of ~/preview", minimum=32, maximum=4096, change=Change.ALWAYS
    )
    preview_quality: int = parameter(
        50, "JPEG quality of ~/preview", minimum=1, maximum=100, change=Change.ALWAYS
    )
    trail: int = parameter(30, "[frames] length of the trails", minimum=1, maximum=1000)
    truth: bool = parameter(True, "draw ground truth if it is published", change=Change.ALWAYS)
    pixel_size: float = parameter(0.01, "[m] size of a pixel in the markers", minimum=1e-6)
    marker_frame: str = parameter("image", "frame_id of the markers, the fixed frame of RViz")


@dataclass(frozen=True)
class _FrameTracks:
    """The tracks of one frame as a drawing, and their latency."""

    drawing: TrackDrawing
    latency_ms: float


class Visualizer(ManagedNode[VisualizerParameters]):
    """Publisher of `~/overlay`, `~/markers` and `~/annotations`, each only while it has subscribers."""

    def __init__(self) -> None:
        super().__init__("visualizer", VisualizerParameters)
        self._times = StageTimes()
        self._image_subscription: Subscription | None = None
        self._synchronizer: StampSynchronizer[Frame, _FrameTracks] = StampSynchronizer(_MAX_WAITING_FRAMES)
        self._truth: deque[tuple[int, Boxes]] = deque(maxlen=_MAX_WAITING_FRAMES)
        self._num_drawn = 0
        self._num_refused = 0
        self._last_refusal = ""
        self._refused_s = -float("inf")
        self._pairing_watch = PairingWatch()

    def load(self) -> None:
        """Create the publishers."""
        self._overlay = self.advertise(Image, "~/overlay", QoSProfile(depth=5))
        self._compressed = self.advertise(CompressedImage, "~/overlay/compressed", QoSProfile(depth=5))
        self._preview = self.advertise(CompressedImage, "~/preview", QoSProfile(depth=5))
        self._markers = self.advertise(MarkerArray, "~/markers", QoSProfile(depth=5))
        self._annotations = self.advertise(ImageMarker, "~/annotations", QoSProfile(depth=5))

    def start(self) -> None:
        """Subscribe to the tracks. Images are subscribed to when the overlay has a subscriber."""
        message_type, self._make_drawing = _TRACKERS[self.parameters.tracker]
        self._trails = Trails(self.parameters.trail)
        self._track_markers = TrackMarkers(self.parameters.pixel_size, self.parameters.marker_frame)
        self._epoch: int | None = None
        self._preview_due_s = 0.0
        self._synchronizer.clear()
        self._pairing_watch.clear()
        self._image_subscription = None
        self.subscribe(message_type, "tracks", self._handle_tracks, qos.make_track_profile())
        self.subscribe(TrackArray, "ground_truth", self._handle_truth, qos.make_track_profile())
        self.add_timer(_SUBSCRIBER_CHECK_PERIOD_S, self._update_image_subscription)

    def diagnose(self) -> Diagnosis:
        """Return the number of drawn, unpaired and refused frames."""
        values = {
            "drawn": self._num_drawn,
            "unpaired": self._synchronizer.num_unpaired,
            "refused": self._num_refused,
            "last_refusal": self._last_refusal,
            **make_stage_values(self._times.summarize()),
        }
        now_s = time.monotonic()
        if now_s - self._refused_s < _RECENTLY_S:
            return Diagnosis(DiagnosticLevel.WARN, f"cannot be shown: {self._last_refusal}", values)
        if waiting := self._pairing_watch.find_waiting(now_s):
            return Diagnosis(DiagnosticLevel.WARN, self._describe_waiting(waiting), values)
        return Diagnosis(DiagnosticLevel.OK, "showing", values)

    def _describe_waiting(self, streams: set[str]) -> str:
        """Return why no overlay is drawn although messages arrive on these topics."""
        if len(streams) == 2:
            return "no overlay: images and tracks have different stamps; publish tracks of these images"
        (arriving,) = streams
        missing = "tracks" if arriving == "image" else "image"
        return f"no overlay: messages arrive on {arriving}, but none of their stamp on {missing}"

    @property
    def on_demand_topics(self) -> tuple[str, ...]:
        """The images, which are subscribed to while an overlay has a subscriber."""
        return ("image",)

    def _update_image_subscription(self) -> None:
        """Subscribe to the images while an overlay has a subscriber, else unsubscribe."""
        publishers = (self._overlay, self._compressed, self._preview)
        is_needed = any(publisher.get_subscription_count() for publisher in publishers)
        if is_needed and self._image_subscription is None:
            self._image_subscription = self.subscribe(
                Image, "image", self._handle_image, qos.make_sensor_profile()
            )
        elif not is_needed and self._image_subscription is not None:
            self.destroy_subscription(self._image_subscription)
            self._image_subscription = None
            self._synchronizer.clear()
            self._pairing_watch.clear()

    def _handle_image(self, message: Image) -> None:
        try:
            frame = read_image(message)
        except FrameRefusedError as refusal:
            self._record_refusal("image", refusal)
            return
        self._pairing_watch.add("image", time.monotonic())
        self._draw(self._synchronizer.add_first(frame.stamp_ns, frame))

    def _handle_truth(self, message: TrackArray) -> None:
        try:
            self._truth.append((read_stamp_ns(message), read_truth(message).boxes))
        except FrameRefusedError as refusal:
            self._record_refusal("ground_truth", refusal)

    def _record_refusal(self, topic: str, refusal: FrameRefusedError) -> None:
        self._num_refused += 1
        self._refused_s = time.monotonic()
        self._last_refusal = f"{topic}: {refusal}"
        self.get_logger().warning(f"{topic} refused: {refusal}", throttle_duration_sec=5.0)

    def _handle_tracks(self, message: Any) -> None:
        try:
            marks = self._make_drawing(message)
        except FrameRefusedError as refusal:
            self._record_refusal("tracks", refusal)
            return
        if self._epoch not in (None, message.epoch):
            self._trails.clear()
            if self._markers.get_subscription_count():
                self._markers.publish(self._track_markers.make_delete_all())
        self._epoch = message.epoch
        self._trails.update(marks)
        if self._markers.get_subscription_count():
            with self._times.measure("markers"):
                size = message.image_width, message.image_height
                self._markers.publish(
                    self._track_markers.make_markers(marks, self._trails, message.header.stamp, size)
                )
        if self._annotations.get_subscription_count():
            self._annotations.publish(make_image_marker(marks, message.header))
        if self._image_subscription is not None:
            latency_ms = duration_to_ms(message.latency)
            self._pairing_watch.add("tracks", time.monotonic())
            self._draw(self._synchronizer.add_second(read_stamp_ns(message), _FrameTracks(marks, latency_ms)))

    def _draw(self, pair: tuple[Frame, _FrameTracks] | None) -> None:
        """Draw and publish the overlay of a frame, if a publisher has subscribers."""
        if pair is None:
            return
        self._pairing_watch.clear()
        due = [publish for publish, is_due in self._list_outputs() if is_due]
        if not due:
            return
        frame, tracks = pair
        with self._times.measure("draw"):
            overlay = draw_overlay(
                to_bgr(frame.image, frame.encoding),
                tracks.drawing,
                trails=self._trails,
                truth=self._find_truth(frame.stamp_ns),
                caption=f"{len(tracks.drawing.ids)} tracked   {tracks.latency_ms:.0f} ms",
                scale=self.parameters.scale,
            )
        with self._times.measure("publish"):
            for publish in due:
                publish(overlay, frame)
        self._num_drawn += 1

    def _list_outputs(self) -> list[tuple[Callable[[NDArray[np.uint8], Frame], None], bool]]:
        """Return the publishing method of each output, and whether the output is due."""
        is_preview_time = time.monotonic() >= self._preview_due_s
        return [
            (self._publish_overlay, bool(self._overlay.get_subscription_count())),
            (self._publish_compressed, bool(self._compressed.get_subscription_count())),
            (self._publish_preview, is_preview_time and bool(self._preview.get_subscription_count())),
        ]

    def _publish_overlay(self, overlay: NDArray[np.uint8], frame: Frame) -> None:
        image = Frame(frame.stamp_ns, overlay, "bgr8", frame.frame_id)
        self._overlay.publish(serialize_image(image))

    def _publish_compressed(self, overlay: NDArray[np.uint8], frame: Frame) -> None:
        quality = self.parameters.jpeg_quality
        self._compressed.publish(make_jpeg_message(overlay, quality, _make_header(frame)))

    def _publish_preview(self, overlay: NDArray[np.uint8], frame: Frame) -> None:
        preview = limit_size(overlay, self.parameters.preview_side)
        quality = self.parameters.preview_quality
        self._preview.publish(make_jpeg_message(preview, quality, _make_header(frame)))
        self._preview_due_s = time.monotonic() + 1 / self.parameters.preview_rate

    def _find_truth(self, stamp_ns: int) -> Boxes | None:
        if not self.parameters.truth:
            return None
        return next((boxes for truth_stamp_ns, boxes in self._truth if truth_stamp_ns == stamp_ns), None)


def _make_header(frame: Frame) -> Header:
    return Header(stamp=to_time(frame.stamp_ns), frame_id=frame.frame_id)


def main() -> int:
    """Run the node until it is shut down."""
    return run_node(Visualizer)


if __name__ == "__main__":
    sys.exit(main())
