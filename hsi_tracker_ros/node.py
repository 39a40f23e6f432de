"""Node `hsi_tracker`: tracks targets that users choose in the images of a hyperspectral camera."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray
from remote_sensing_tracking import msg
from remote_sensing_tracking.srv import ClearTarget, SetTarget
from sensor_msgs.msg import Image

from hsi_tracker_ros.box_contrast import MIN_CONTRAST, compute_contrast
from hsi_tracker_ros.camera import RGB, ActiveCamera
from hsi_tracker_ros.cubes.decoder import decode_color_image
from hsi_tracker_ros.frame_cache import CachedFrame, FrameCache
from hsi_tracker_ros.tracker import (
    CameraNotSpecifiedError,
    HsiTracker,
    TargetState,
    UninitializedTracker,
    load_rgb_tracker,
    load_tracker,
)
from tracking_runtime.engines import PRECISIONS, EngineSettings
from tracking_runtime.errors import FrameRefusedError, ModelError, SourceError, TargetRefusedError
from tracking_runtime.messages.conversion import read_spectral_info
from tracking_runtime.ros.conversions import image_messages, track_messages
from tracking_runtime.ros.conversions.detection_messages import Detections2DPublisher, TrackedObject
from tracking_runtime.ros.conversions.track_messages import FrameMetadata
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Value
from tracking_runtime.ros.node.parameters import Change, parameter
from tracking_runtime.ros.node.process_memory import free_unused_memory
from tracking_runtime.ros.node.run import run_node
from tracking_runtime.ros.node.service_response import fill_response
from tracking_runtime.ros.tracker_node.image_stream import ImageFormat
from tracking_runtime.ros.tracker_node.node import TrackerNode
from tracking_runtime.ros.tracker_node.parameters import TrackerNodeParameters
from tracking_runtime.spectral_info import SpectralInfo

AnyTracker = HsiTracker | UninitializedTracker

_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_KEPT_BATCH = 8  # number of targets whose engines are kept when targets are cleared
_MIN_SIDE_PX = 8  # shortest side of a cube
_MAX_LABEL_LENGTH = 128  # characters of a target's label, which each message of tracks carries
_BUILD_ONLY_BATCHES = (2, 4, 8)  # numbers of targets whose engines build_only builds beside the one for 1


@dataclass(frozen=True)
class HsiTrackerParameters(TrackerNodeParameters):
    """Parameters of the node `hsi_tracker`."""

    model: str = parameter("hanet_edge_vis16", "name of a model, or path of its manifest", is_path=True)
    precision: str = parameter(
        "auto",
        "precision of the network's arithmetic; auto: float16 on TensorRT, else float32; int8: calibrate "
        "first, by rstrack engine build",
        choices=PRECISIONS,
    )
    camera: str = parameter(
        "",
        "name of a camera, or path of a camera file; rgb: a color camera, for the model's RGB branch only; "
        "empty: bands from spectral_info, else from the model",
        is_path=True,
    )
    dark_field: str = parameter(
        "",
        "file of an image without light, of the shape of the camera's images, to subtract; empty: none",
        is_path=True,
    )
    flat_field: str = parameter(
        "",
        "file of an image of an evenly lit white surface, to divide by; needs dark_field; empty: none",
        is_path=True,
    )
    start_box: tuple[float, ...] = parameter(
        _NO_BOX, "[px] x, y, width, height of a target in the first frame of each epoch; zeros: no target"
    )
    max_targets: int = parameter(
        32,
        "highest number of targets; each takes memory and time in every frame",
        minimum=1,
        maximum=1024,
        change=Change.ALWAYS,
    )
    frame_cache: int = parameter(
        16, "number of newest frames that ~/set_target can refer to by stamp", minimum=1, maximum=256
    )

    def check(self) -> None:
        """Raise ValueError if values do not fit together."""
        if len(self.start_box) != 4:
            raise ValueError(f"parameter start_box must have 4 numbers: got {len(self.start_box)}")
        if self.camera == RGB and self.dark_field:
            raise ValueError(f"parameter dark_field must be empty with camera: rgb: got {self.dark_field}")
        if self.flat_field and not self.dark_field:
            raise ValueError("parameter flat_field needs dark_field: got an empty dark_field; set both")


class HsiTrackerNode(TrackerNode[HsiTrackerParameters, AnyTracker, list[TargetState]]):
    """Node that tracks the targets of `~/set_target` in the images of `image`."""

    def __init__(self) -> None:
        super().__init__("hsi_tracker", HsiTrackerParameters)
        self._states: list[TargetState] = []
        self._frames = FrameCache(self.parameters.frame_cache)

    def load(self) -> None:
        """Open the camera, load the model, advertise, and offer the services."""
        parameters = self.parameters
        self._states = []
        self._frames = FrameCache(parameters.frame_cache)
        self._camera = ActiveCamera.open(parameters.camera, parameters.dark_field, parameters.flat_field)
        super().load()
        self._tracks = self.advertise(msg.TargetTrackArray, "~/tracks", qos.make_track_profile())
        self._detections_2d = Detections2DPublisher(self)
        self._false_color = self.advertise(Image, "~/false_color", qos.make_sensor_profile())
        self._response = self.advertise(Image, "~/response", qos.make_sensor_profile())
        self.offer_service(SetTarget, "~/set_target", self._answer_set_target, self.request_group)
        self.offer_service(ClearTarget, "~/clear_target", self._answer_clear_target, self.request_group)
        if not parameters.camera:
            self.subscribe(
                msg.SpectralInfo,
                "spectral_info",
                self._receive_spectral_info,
                qos.make_info_profile(),
                self.loading_group,
            )

    def unload(self) -> None:
        """Free the model and the cached frames."""
        super().unload()
        self._frames.clear()

    def open_tracker(self, model: str) -> AnyTracker:
        """Load a model for the current camera and return its tracker, warmed up."""
        return self._open_tracker_for(model, self._camera)

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """Convert an image to a cube of the tracker's bands, or to BGR if the tracker has no bands.

        Raises:
            FrameRefusedError: the encoding or the number of bands does not fit.
        """
        tracker = self._initialized_tracker
        if tracker.camera is None:
            return decode_color_image(image, encoding)
        cube = self._camera.decoder.decode(image, encoding)
        if cube.shape[2] != tracker.channels:
            raise FrameRefusedError(
                f"the image must have {tracker.channels} bands: got {cube.shape[2]} bands; set the parameter "
                f"camera, publish spectral_info, or use another model than {self.model}"
            )
        return cube

    def check_frame(self, frame: NDArray[Any], image_format: ImageFormat) -> None:
        """Raise FrameRefusedError if a side of the frame is shorter than `_MIN_SIDE_PX`."""
        if min(frame.shape[:2]) < _MIN_SIDE_PX:
            raise FrameRefusedError(
                f"both sides of the frame must be at least {_MIN_SIDE_PX} pixels: got {frame.shape[1]} x "
                f"{frame.shape[0]}, from an image of {image_format.width} x {image_format.height} pixels"
            )

    def track(self, frame: NDArray[Any], stamp_ns: int) -> list[TargetState]:
        """Track all targets in a cube. Set the target of `start_box` in the first frame of an epoch."""
        if not self._frames and any(self.parameters.start_box):
            self._set_start_box(frame, stamp_ns)
        return self._initialized_tracker.track(frame, stamp_ns)

    def publish(self, metadata: FrameMetadata, frame: NDArray[Any], result: list[TargetState]) -> None:
        """Publish the tracks, and false color and response if they have subscribers. Cache the frame."""
        self._states = result
        self._frames.add(CachedFrame(track_messages.to_nanoseconds(metadata.header.stamp), frame))
        self._tracks.publish(track_messages.to_target_tracks(metadata, result))
        self._detections_2d.publish(
            metadata.header,
            (TrackedObject(state.id, state.box, state.score, state.label) for state in result),
        )
        if self._false_color.get_subscription_count():
            image = self._initialized_tracker.render_false_color(frame)
            self._false_color.publish(image_messages.make_image_message(image, "bgr8", metadata.header))
        response = self._initialized_tracker.response
        if response is not None and self._response.get_subscription_count():
            self._response.publish(image_messages.make_image_message(response, "32FC1", metadata.header))

    def begin_epoch(self) -> None:
        """Delete the targets and the cached frames, and begin a new epoch."""
        super().begin_epoch()
        self._frames.clear()
        self._states = []
        self._release_memory()

    def describe_work(self) -> str:
        """Return the number of targets, which determines the work of a frame."""
        return f"{len(self._states)} targets"

    def describe_tracker(self) -> dict[str, Value]:
        """Return engine, camera and targets for the diagnostics."""
        if isinstance(self.tracker, UninitializedTracker):
            return {"engine": f"none yet: {self.tracker.reason}", "camera": "unknown", "targets": 0}
        targets = {
            f"target.{state.id}": f"{state.state.name} {state.score:.2f} {state.label}".rstrip()
            for state in self._states
        }
        return {
            "engine": self.tracker.model.description,
            "camera": self._camera.name,
            "batch": self.tracker.model.max_batch,
            "targets": len(targets),
            **targets,
        }

    # Trackers and camera

    @property
    def _initialized_tracker(self) -> HsiTracker:
        """Tracker at work. Raises FrameRefusedError while the camera is unknown."""
        if isinstance(self.tracker, UninitializedTracker):
            raise FrameRefusedError(self.tracker.reason)
        return self.tracker

    @property
    def _initialized_trackers(self) -> list[HsiTracker]:
        """Trackers whose camera is known."""
        return [tracker for tracker in self.trackers if isinstance(tracker, HsiTracker)]

    def _open_tracker_for(self, model: str, camera: ActiveCamera) -> AnyTracker:
        """Load a model for a camera and return its tracker, warmed up."""
        engine = self.parameters.engine
        settings = EngineSettings(precision=self.parameters.precision)
        try:
            if camera.is_rgb:
                tracker = load_rgb_tracker(model, engine, engine_settings=settings, times=self.times)
            else:
                bands = camera.decoder.cube_camera
                tracker = load_tracker(model, engine, bands, engine_settings=settings, times=self.times)
        except CameraNotSpecifiedError:
            topic = self.resolve_topic_name("spectral_info")
            reason = (
                f"model {model} is made for any camera, and the camera is unknown: publish {topic}, "
                "or set the parameter camera"
            )
            if self.is_build_only:
                raise ModelError(reason) from None
            return UninitializedTracker(reason)
        tracker.warm_up()
        if self.is_build_only:
            for batch in _BUILD_ONLY_BATCHES:
                tracker.model.compile_for_batch(batch)
        return tracker

    async def _receive_spectral_info(self, message: msg.SpectralInfo) -> None:
        """Load the model for a camera that describes itself, before the next frame."""
        action = "spectral_info is ignored"
        try:
            camera = self._camera.with_spectral_info(_read_camera(message))
            if camera == self._camera:
                self.diagnostics.clear_error(action)
                return

            def load() -> Sequence[AnyTracker]:
                return self.open_trackers(self.model, lambda model: self._open_tracker_for(model, camera))

            def install(trackers: Sequence[AnyTracker]) -> None:
                self._camera = camera
                self.use_trackers(trackers, self.model)

            await self.jobs.load_before_next_frame(load, install)
        except Exception as error:
            self.diagnostics.record_error(action, error)
        else:
            self.diagnostics.clear_error(action)

    # Targets

    def _set_start_box(self, cube: NDArray[Any], stamp_ns: int) -> None:
        action = "start_box is not tracked"
        try:
            self._set_target_on_trackers(CachedFrame(stamp_ns, cube), self.parameters.start_box)
        except TargetRefusedError as error:
            self.diagnostics.record_error(action, error)
        else:
            self.diagnostics.clear_error(action)

    async def _answer_set_target(
        self, request: SetTarget.Request, response: SetTarget.Response
    ) -> SetTarget.Response:
        with fill_response(self, "set the target", response):
            response.id, remark = await self.jobs.run_in_worker(lambda: self._set_target(request))
            response.message = f"target {response.id}{remark}"
        return response

    def _set_target(self, request: SetTarget.Request) -> tuple[int, str]:
        """Set a target in the frame of the request and track it through the newer frames.

        Returns:
            id of the target, and a remark if its box holds nothing distinct.
        """
        if not self._frames:
            topic = self.resolve_topic_name(self.image_topic)
            raise TargetRefusedError(
                f"no frame on {topic} yet: a target is set in a frame; publish images first"
            )
        if len(request.label) > _MAX_LABEL_LENGTH:
            raise TargetRefusedError(
                f"label must have at most {_MAX_LABEL_LENGTH} characters: got {len(request.label)}"
            )
        self._check_number_of_targets(request.id)
        frame, *newer_frames = self._frames.get_frames_since(track_messages.to_nanoseconds(request.stamp))
        box = track_messages.from_box(request.box)
        target_id = self._set_target_on_trackers(frame, box, request.label, request.id or None)
        for newer_frame in newer_frames:
            self._initialized_tracker.track(newer_frame.cube, newer_frame.stamp_ns, target_ids=[target_id])
        contrast = compute_contrast(frame.cube, box)
        if contrast >= MIN_CONTRAST:
            return target_id, f", contrast {min(contrast, 99.0):.1f}"
        remark = f": the box holds nothing distinct from its surroundings, contrast {contrast:.1f}"
        self.get_logger().warning(f"target {target_id}{remark}; was it drawn on another frame?")
        return target_id, f"{remark}; draw it on the frame whose stamp you give"

    def _check_number_of_targets(self, requested_id: int) -> None:
        """Raise TargetRefusedError if one more target is too many. A known id replaces its target."""
        target_ids = self._initialized_tracker.target_ids
        max_targets = self.parameters.max_targets
        if requested_id not in target_ids and len(target_ids) >= max_targets:
            raise TargetRefusedError(
                f"{len(target_ids)} targets are tracked already, parameter max_targets is {max_targets}: "
                "clear a target first, or raise the parameter"
            )

    def _set_target_on_trackers(
        self, frame: CachedFrame, box: ArrayLike, label: str = "", requested_id: int | None = None
    ) -> int:
        """Set a target on the tracker at work, then with the same id on the others, and return the id.

        Raises:
            TargetRefusedError: the box cannot be tracked.
            FrameRefusedError: the frame cannot be used, or the camera is unknown.
        """
        target_id = self._initialized_tracker.set_target(
            frame.cube, box, stamp_ns=frame.stamp_ns, label=label, target_id=requested_id
        )
        for tracker in self._initialized_trackers:
            if tracker is not self.tracker:
                tracker.set_target(frame.cube, box, stamp_ns=frame.stamp_ns, label=label, target_id=target_id)
        for tracker in self._initialized_trackers:
            self.jobs.submit_background(
                "build the engine that searches for all targets", tracker.prepare_batch
            )
        return target_id

    async def _answer_clear_target(
        self, request: ClearTarget.Request, response: ClearTarget.Response
    ) -> ClearTarget.Response:
        with fill_response(self, "clear the target", response):
            num_cleared = await self.jobs.run_in_worker(lambda: self._clear_target(request.id or None))
            if request.id and not num_cleared:
                raise TargetRefusedError(f"no target {request.id}")
            response.message = f"{num_cleared} cleared"
        return response

    def _clear_target(self, target_id: int | None) -> int:
        """Clear a target, or all with None, on all trackers, and return the number of cleared targets."""
        num_cleared = max(
            (tracker.clear_target(target_id) for tracker in self._initialized_trackers), default=0
        )
        self._release_memory()
        return num_cleared

    def _release_memory(self) -> None:
        """Free the engines for more targets than there are, and give freed memory back to the system."""
        for tracker in self._initialized_trackers:
            tracker.model.release_batches(max(len(tracker.target_ids), _KEPT_BATCH))
        free_unused_memory()


def _read_camera(message: msg.SpectralInfo) -> SpectralInfo:
    """Read the description of a camera. Raise SourceError if its fields contradict each other."""
    try:
        return read_spectral_info(message)
    except (ValueError, OverflowError) as error:
        raise SourceError(f"the message is not the description of a camera: {error}") from error


def main() -> int:
    """Run the node."""
    return run_node(HsiTrackerNode)


if __name__ == "__main__":
    sys.exit(main())
