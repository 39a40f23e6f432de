"""Shows tracks on the frames they were found in, and as RViz markers."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from remote_sensing_tracking.msg import TargetTrackArray, TrackArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from visualization_msgs.msg import ImageMarker, MarkerArray

from tracking_runtime.boxes import Boxes
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.frames import Frame
from tracking_runtime.messages.conversion import read_image, read_truth, serialize_image, stamp_ns
from tracking_runtime.nodes.stamp_synchronizer import StampPairs
from tracking_runtime.nodes.track_drawings import marks_of_targets, marks_of_tracks
from tracking_runtime.nodes.track_markers import TrackMarkers, to_image_marker
from tracking_runtime.overlay import Marks, Trails, draw_overlay, reduced, to_bgr
from tracking_runtime.ros.conversions.image_messages import compress
from tracking_runtime.ros.conversions.track_messages import to_time
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Diagnosis, Level, stage_values
from tracking_runtime.ros.node.managed_node import TrackingNode, run_node
from tracking_runtime.ros.node.parameters import Change, NodeParameters, parameter
from tracking_runtime.timing import StageTimes

_TRACKERS = {"hsi": (TargetTrackArray, marks_of_targets), "satellite": (TrackArray, marks_of_tracks)}
_LISTENERS_PERIOD_S = 0.1
_WAITING_FRAMES = 30


@dataclass(frozen=True)
class VisualizerParameters(NodeParameters):
    """Parameters of the visualizer."""

    tracker: str = parameter(
        "satellite", "whose tracks to show: its messages' type", choices=tuple(_TRACKERS)
    )
    scale: int = parameter(
        1, "how many times to enlarge the overlay", minimum=1, maximum=8, change=Change.ALWAYS
    )
    jpeg_quality: int = parameter(80, "of ~/overlay/compressed", minimum=1, maximum=100, change=Change.ALWAYS)
    preview_rate: float = parameter(
        1.0, "[Hz] pictures a second on ~/preview at most", minimum=0.01, change=Change.ALWAYS
    )
    preview_side: int = parameter(
        320, "[px] longer side of ~/preview", minimum=32, maximum=4096, change=Change.ALWAYS
    )
    preview_quality: int = parameter(
        50, "of ~/preview, as jpeg_quality", minimum=1, maximum=100, change=Change.ALWAYS
    )
    trail: int = parameter(30, "[frames] length of the trails", minimum=1, maximum=1000)
    truth: bool = parameter(True, "draw ground truth, where it is published", change=Change.ALWAYS)
    pixel_size: float = parameter(0.01, "[m] of a pixel in the markers", minimum=1e-6)
    marker_frame: str = parameter("image", "frame_id of the markers, RViz's fixed frame")


@dataclass(frozen=True)
class _Tracked:
    """What there is to say of one frame's tracks."""

    marks: Marks
    latency_ms: float


class Visualizer(TrackingNode[VisualizerParameters]):
    """Publishes ``~/overlay``, ``~/markers`` and ``~/annotations``, each only while somebody subscribes."""

    def __init__(self) -> None:
        super().__init__("visualizer", VisualizerParameters)
        self._times = StageTimes()
        self._images: Subscription | None = None
        self._pairs: StampPairs[Frame, _Tracked] = StampPairs(_WAITING_FRAMES)
        self._truth: deque[tuple[int, Boxes]] = deque(maxlen=_WAITING_FRAMES)
        self._drawn = 0
        self._refused = 0
        self._last_refusal = ""

    def load(self) -> None:
        """Advertise."""
        self._overlay = self.advertise(Image, "~/overlay", QoSProfile(depth=5))
        self._compressed = self.advertise(CompressedImage, "~/overlay/compressed", QoSProfile(depth=5))
        self._preview = self.advertise(CompressedImage, "~/preview", QoSProfile(depth=5))
        self._markers = self.advertise(MarkerArray, "~/markers", QoSProfile(depth=5))
        self._annotations = self.advertise(ImageMarker, "~/annotations", QoSProfile(depth=5))

    def start(self) -> None:
        """Subscribe to the tracks; to the images only once somebody wants the overlay."""
        message_type, self._read_marks = _TRACKERS[self.parameters.tracker]
        self._trails = Trails(self.parameters.trail)
        self._track_markers = TrackMarkers(self.parameters.pixel_size, self.parameters.marker_frame)
        self._epoch: int | None = None
        self._preview_due_s = 0.0
        self._pairs.clear()
        self._images = None
        self.subscribe(message_type, "tracks", self._take_tracks, qos.track())
        self.subscribe(TrackArray, "ground_truth", self._take_truth, qos.track())
        self.repeat(_LISTENERS_PERIOD_S, self._follow_listeners)

    def diagnose(self) -> Diagnosis:
        """What was shown."""
        values = {
            "drawn": self._drawn,
            "unpaired": self._pairs.unpaired,
            "refused": self._refused,
            "last_refusal": self._last_refusal,
            **stage_values(self._times.summary()),
        }
        if self._refused:
            return Diagnosis(Level.WARN, f"cannot be shown: {self._last_refusal}", values)
        return Diagnosis(Level.OK, "showing", values)

    def _follow_listeners(self) -> None:
        """Receive images for as long as somebody looks at them."""
        pictures = (self._overlay, self._compressed, self._preview)
        wanted = any(each.get_subscription_count() for each in pictures)
        if wanted and self._images is None:
            self._images = self.subscribe(Image, "image", self._take_image, qos.sensor())
        elif not wanted and self._images is not None:
            self.destroy_subscription(self._images)
            self._images = None
            self._pairs.clear()

    def _take_image(self, message: Image) -> None:
        try:
            frame = read_image(message)
        except FrameRefusedError as refusal:
            self._refuse("image", refusal)
            return
        self._draw(self._pairs.add_first(frame.stamp_ns, frame))

    def _take_truth(self, message: TrackArray) -> None:
        try:
            self._truth.append((stamp_ns(message), read_truth(message).boxes))
        except FrameRefusedError as refusal:
            self._refuse("ground_truth", refusal)

    def _refuse(self, topic: str, refusal: FrameRefusedError) -> None:
        self._refused += 1
        self._last_refusal = f"{topic}: {refusal}"
        self.get_logger().warning(f"{topic} refused: {refusal}", throttle_duration_sec=5.0)

    def _take_tracks(self, message: Any) -> None:
        if self._epoch not in (None, message.epoch):
            self._trails.clear()
            if self._markers.get_subscription_count():
                self._markers.publish(self._track_markers.clear())
        self._epoch = message.epoch
        marks = self._read_marks(message)
        self._trails.update(marks)
        if self._markers.get_subscription_count():
            with self._times.stage("markers"):
                size = message.image_width, message.image_height
                self._markers.publish(
                    self._track_markers.build(marks, self._trails, message.header.stamp, size)
                )
        if self._annotations.get_subscription_count():
            self._annotations.publish(to_image_marker(marks, message.header))
        if self._images is not None:
            latency_ms = message.latency.sec * 1e3 + message.latency.nanosec / 1e6
            self._draw(self._pairs.add_second(stamp_ns(message), _Tracked(marks, latency_ms)))

    def _draw(self, pair: tuple[Frame, _Tracked] | None) -> None:
        if pair is None:
            return
        overlay, compressed = (
            bool(each.get_subscription_count()) for each in (self._overlay, self._compressed)
        )
        preview = time.monotonic() >= self._preview_due_s and bool(self._preview.get_subscription_count())
        if not (overlay or compressed or preview):
            return
        frame, tracked = pair
        with self._times.stage("draw"):
            picture = draw_overlay(
                to_bgr(frame.image, frame.encoding),
                tracked.marks,
                trails=self._trails,
                truth=self._truth_of(frame.stamp_ns),
                caption=f"{len(tracked.marks.ids)} tracked   {tracked.latency_ms:.0f} ms",
                scale=self.parameters.scale,
            )
        with self._times.stage("publish"):
            if overlay:
                shown = Frame(frame.stamp_ns, picture, "bgr8", frame.frame_id)
                self._overlay.publish(serialize_image(shown))
            header = Header(stamp=to_time(frame.stamp_ns), frame_id=frame.frame_id)
            if compressed:
                self._compressed.publish(compress(picture, self.parameters.jpeg_quality, header))
            if preview:
                small = reduced(picture, self.parameters.preview_side)
                self._preview.publish(compress(small, self.parameters.preview_quality, header))
                self._preview_due_s = time.monotonic() + 1 / self.parameters.preview_rate
        self._drawn += 1

    def _truth_of(self, stamp: int) -> Boxes | None:
        if not self.parameters.truth:
            return None
        return next((boxes for stamp_of_truth, boxes in self._truth if stamp_of_truth == stamp), None)


def main() -> int:
    """Run the node until it is told to end."""
    return run_node(Visualizer)


if __name__ == "__main__":
    sys.exit(main())
