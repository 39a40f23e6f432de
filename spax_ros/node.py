"""Node `spax_tracker`: tracks every moving object in the images of a satellite camera."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from remote_sensing_tracking import msg
from sensor_msgs.msg import CompressedImage, Image

from spax_ros.inference import EngineInference
from spax_ros.preprocessing import MIN_BANDS, MIN_SIDE_PX, is_cube
from spax_ros.profiles import PROFILES, make_profile_settings
from spax_ros.sparse.tile_budget import list_bucket_sizes
from spax_ros.tracker import PreparedImage, SpaxTracker, TrackingResult, load_tracker
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.messages.image_encodings import decode_image
from tracking_runtime.ros.conversions import image_messages, track_messages
from tracking_runtime.ros.conversions.detection_messages import Detections2DPublisher, TrackedObject
from tracking_runtime.ros.conversions.track_messages import FrameMetadata
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Value
from tracking_runtime.ros.node.parameters import Change, parameter
from tracking_runtime.ros.node.run import run_node
from tracking_runtime.ros.tracker_node.background_loader import SingleThreadExecutor
from tracking_runtime.ros.tracker_node.image_stream import ImageFormat
from tracking_runtime.ros.tracker_node.node import TrackerNode
from tracking_runtime.ros.tracker_node.parameters import TrackerNodeParameters
from tracking_runtime.tracking.ground_scale import MAX_GROUND_SAMPLE_DISTANCE_M


@dataclass(frozen=True)
class SpaxTrackerParameters(TrackerNodeParameters):
    """Parameters of the node `spax_tracker`."""

    model: str = parameter("spax_small", "name of a model, or path of its manifest", is_path=True)
    precision: str = parameter(
        "auto",
        "precision of the network's arithmetic; auto: float16 on TensorRT, bfloat16 on CPUs that multiply in "
        "it, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    threads: int = parameter(
        0,
        "threads of the network on a CPU; 0: one for each core, at most OMP_NUM_THREADS",
        minimum=0,
    )
    profile: str = parameter(
        "satellite",
        "kind of camera; satellite: drifts and jitters; drone: turns, zooms and moves; fixed: stands still",
        choices=PROFILES,
    )
    ground_sample_distance: float = parameter(
        0.0,
        "[m/px] size of a pixel on the ground, for the speeds in the diagnostics; 0: unknown",
        minimum=0.0,
        maximum=MAX_GROUND_SAMPLE_DISTANCE_M,
        change=Change.ALWAYS,
    )


class _LookAhead:
    """Thread that prepares the image that waits for the tracker, one at a time.

    Args:
        name: name of the thread, which starts with the first image.
    """

    def __init__(self, name: str) -> None:
        self._executor = SingleThreadExecutor(name)
        self._newest: tuple[NDArray[np.uint8], Future[PreparedImage | None]] | None = None

    def submit(self, data: Any, prepare: Callable[[], PreparedImage | None]) -> None:
        """Prepare an image, unless another one is still being prepared.

        Args:
            data: bytes of the image.
            prepare: function that returns the prepared image, a view of these bytes.
        """
        newest = self._newest
        if newest is None or newest[1].done():
            self._newest = np.frombuffer(data, np.uint8), self._executor.submit(prepare)

    def take(self, frame: NDArray[Any]) -> PreparedImage | None:
        """Return the prepared image of a frame; None if it was not prepared, or with an error.

        The caller finds the cause of an error itself when it uses the frame.
        """
        newest = self._newest
        if newest is None or not np.may_share_memory(frame, newest[0]):
            return None
        with suppress(Exception, CancelledError):
            return newest[1].result()
        return None

    def close(self) -> bool:
        """Wait for the image in hand. Return whether the thread has ended."""
        return self._executor.close()


class SpaxTrackerNode(TrackerNode[SpaxTrackerParameters, SpaxTracker, TrackingResult]):
    """Node that tracks every moving object in the images of `image`."""

    def __init__(self) -> None:
        super().__init__("spax_tracker", SpaxTrackerParameters)

    def load(self) -> None:
        """Load the model, create the publishers and offer the services."""
        self._result: TrackingResult | None = None
        self._engine_executor = SingleThreadExecutor(f"{self.get_name()}_engines")
        self.scope.callback(self.close_thread, "the thread that builds engines", self._engine_executor.close)
        self._look_ahead = _LookAhead(f"{self.get_name()}_look_ahead")
        self.scope.callback(self.close_thread, "the thread that prepares images", self._look_ahead.close)
        super().load()
        self._tracks = self.advertise(msg.TrackArray, "~/tracks", qos.make_track_profile())
        self._detections_2d = Detections2DPublisher(self)
        self._detections = self.advertise(msg.DetectionArray, "~/detections", qos.make_track_profile())
        self._motion_mask = self.advertise(Image, "~/motion_mask", qos.make_sensor_profile())

    def open_tracker(self, model: str) -> SpaxTracker:
        """Load a model and return its tracker, warmed up; with `build_only`, build all its engines."""
        tracker = load_tracker(
            model,
            self.parameters.engine,
            make_profile_settings(self.parameters.profile),
            times=self.times,
            engine_settings=EngineSettings(
                precision=self.parameters.precision,
                threads=self.parameters.threads,
                permits_bfloat16=True,
            ),
            executor=self._engine_executor,
        )
        if isinstance(tracker.inference, EngineInference):
            if self.is_build_only:
                tracker.inference.prepare_engines(list_bucket_sizes())
            else:
                tracker.inference.load_ladder()
        tracker.warm_up()
        return tracker

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """Return a cube, or the image with one channel, or with blue, green, red and perhaps a fourth.

        Raises:
            FrameRefusedError: the number of channels does not fit.
        """
        if image.ndim == 3 and image.shape[2] not in (3, 4) and not is_cube(image):
            raise FrameRefusedError(
                f"images must have 1, 3, 4 or at least {MIN_BANDS} channels: got encoding {encoding}"
            )
        return image[..., ::-1] if encoding == "rgb8" else image

    def check_frame(self, frame: NDArray[Any], image_format: ImageFormat) -> None:
        """Raise FrameRefusedError if a side of the image has fewer than `MIN_SIDE_PX` pixels."""
        if min(frame.shape[:2]) < MIN_SIDE_PX:
            raise FrameRefusedError(
                f"both sides of the image must be at least {MIN_SIDE_PX} pixels: "
                f"got {image_format.width} x {image_format.height}"
            )

    def look_ahead(self, message: Image | CompressedImage) -> None:
        """Register an image beside the engine, which runs on the frame before."""
        if isinstance(message, Image):
            self._look_ahead.submit(message.data, lambda: self._prepare(message))

    def _prepare(self, message: Image) -> PreparedImage | None:
        image, encoding = decode_image(message)
        return self.tracker.prepare(self.decode(image, encoding))

    def track(self, frame: NDArray[Any], stamp_ns: int) -> TrackingResult:
        """Track in a frame."""
        prepared = self._look_ahead.take(frame)
        return self.tracker.track(frame if prepared is None else prepared.image, stamp_ns, prepared)

    def publish(self, metadata: FrameMetadata, frame: NDArray[Any], result: TrackingResult) -> None:
        """Publish the tracks. Publish detections and motion mask if they have subscribers."""
        self._result = result
        names = self.tracker.class_names
        tracks = result.tracks
        self._tracks.publish(track_messages.to_tracks(metadata, names, tracks))
        rows = zip(tracks.ids, tracks.boxes, tracks.scores, tracks.class_ids, strict=True)
        self._detections_2d.publish(
            metadata.header,
            (
                TrackedObject(int(track_id), box, float(score), names[class_id])
                for track_id, box, score, class_id in rows
            ),
        )
        if self._detections.get_subscription_count():
            self._detections.publish(track_messages.to_detections(metadata, names, result.detections))
        if self._motion_mask.get_subscription_count():
            mask = result.motion_mask.astype(np.uint8) * 255
            self._motion_mask.publish(image_messages.make_image_message(mask, "mono8", metadata.header))

    def begin_epoch(self) -> None:
        """Reset the trackers and begin a new epoch."""
        super().begin_epoch()
        self._result = None

    def describe_tracker(self) -> dict[str, Value]:
        """Return the engine, and the newest frame's activity, detections and warning."""
        result = self._result
        values: dict[str, Value] = {
            "engine": self.tracker.engine_description,
            "active_share": round(result.active_fraction, 5) if result else 0.0,
            "saturated": result.is_saturated if result else False,
            "detections": len(result.detections) if result else 0,
            "remark": result.warning if result else "",
        }
        meters_per_pixel = self.parameters.ground_sample_distance
        if meters_per_pixel and result:
            speeds_px = np.linalg.norm(result.tracks.velocities[result.tracks.is_confirmed], axis=1)
            median_px = float(np.median(speeds_px)) if len(speeds_px) else 0.0
            values["median_speed_m_s"] = round(meters_per_pixel * median_px, 3)
        return values


def main() -> int:
    """Run the node."""
    return run_node(SpaxTrackerNode)


if __name__ == "__main__":
    sys.exit(main())
