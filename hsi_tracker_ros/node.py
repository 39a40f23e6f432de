"""The node ``hsi_tracker``: follows chosen targets in the images of a hyperspectral camera."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from remote_sensing_tracking import msg
from remote_sensing_tracking.srv import ClearTarget, SetTarget
from sensor_msgs.msg import Image

from hsi_tracker_ros.cubes.camera_file import CameraFile, read_camera_file
from hsi_tracker_ros.cubes.camera_presets import preset
from hsi_tracker_ros.cubes.decoder import Decoder, FieldCorrection, to_picture
from hsi_tracker_ros.tracker import (
    CameraUnknown,
    HsiTracker,
    TargetState,
    WaitingTracker,
    load_rgb_tracker,
    load_tracker,
)
from tracking_runtime.engines import BACKENDS, PRECISIONS, EngineSettings
from tracking_runtime.errors import FrameRefusedError, ModelError, TargetRefused
from tracking_runtime.io.sources import read_image_file
from tracking_runtime.messages.conversion import read_spectral_info
from tracking_runtime.ros.conversions import image_messages, track_messages
from tracking_runtime.ros.conversions.detection_messages import Detections2D, Tracked
from tracking_runtime.ros.conversions.track_messages import FrameFacts
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import Value
from tracking_runtime.ros.node.managed_node import run_node
from tracking_runtime.ros.node.parameters import parameter
from tracking_runtime.ros.tracker_node.node import FrameNode, FrameNodeParameters
from tracking_runtime.spectral_info import SpectralInfo

RGB = "rgb"
_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_TARGETS_AT_ONCE = (2, 4, 8)
"""For so many build_only makes networks ready; else that is done beside the frames, once they are set."""


@dataclass(frozen=True)
class HsiTrackerParameters(FrameNodeParameters):
    """The parameters of the node ``hsi_tracker``."""

    model: str = parameter("hanet_edge_vis16", "name of a model, or path of its manifest")
    engine: str = parameter(
        "auto",
        "what runs the network; auto: the fastest that works here",
        choices=("auto", *(backend.name for backend in BACKENDS)),
    )
    precision: str = parameter(
        "auto",
        "of the network's arithmetic; auto: half on TensorRT, else float32; int8 is calibrated first, by "
        "rstrack engine build",
        choices=PRECISIONS,
    )
    camera: str = parameter(
        "",
        "name of a camera, or path of a camera file; rgb: an ordinary one, for the model's RGB branch alone; "
        "empty: as spectral_info says, else as the model",
    )
    dark_field: str = parameter(
        "", "file of an image without light, of the shape of the camera's, to subtract; empty: none"
    )
    flat_field: str = parameter(
        "", "file of an image of an even white surface, to divide by; empty: none; needs dark_field"
    )
    start_box: tuple[float, ...] = parameter(
        _NO_BOX, "[px] x, y, width, height of a target in the first frame of each epoch; zeros: none"
    )
    frame_cache: int = parameter(
        16, "newest frames kept, which ~/set_target may refer to by stamp", minimum=1, maximum=256
    )

    def check(self) -> None:
        """Raise ValueError where values do not fit together."""
        if len(self.start_box) != 4:
            raise ValueError(f"parameter start_box has {len(self.start_box)} numbers, allowed: 4")
        if self.camera == RGB and self.dark_field:
            raise ValueError("parameter dark_field is for spectral cameras, and camera is rgb")
        if self.flat_field and not self.dark_field:
            raise ValueError("parameter flat_field needs dark_field: light is what is above the dark")


@dataclass(frozen=True)
class _Eye:
    """The camera as far as it is known, and who said so."""

    name: str
    camera: CameraFile | None
    fields: FieldCorrection | None = field(compare=False)

    @classmethod
    def configured(cls, parameters: HsiTrackerParameters) -> _Eye:
        """The camera that the parameters name; an unknown one if they name none. Raises SourceError."""
        name, fields = parameters.camera, _read_fields(parameters.dark_field, parameters.flat_field)
        if not name or name == RGB:
            return cls(name or "model", None, fields)
        return cls(name, read_camera_file(name) if Path(name).suffix else CameraFile(preset(name)), fields)

    def described(self, camera: SpectralInfo) -> _Eye:
        """The same camera after it has described itself.

        Raises:
            ValueError: its images are corrected already.
        """
        if self.fields is not None and camera.calibration & self.fields.applied:
            raise ValueError(
                f"its images are corrected already ({camera.calibration & self.fields.applied!r}): "
                "leave dark_field and flat_field empty"
            )
        return _Eye("spectral_info", CameraFile(camera), self.fields)

    @cached_property
    def decoder(self) -> Decoder:
        """What makes cubes of the camera's images."""
        if self.camera is None:
            return Decoder(None, fields=self.fields)
        file = self.camera
        return Decoder(file.camera, area=file.area, fields=self.fields, correction=file.correction)


def _read_fields(dark: str, flat: str) -> FieldCorrection | None:
    """Dark and flat field of image files. Raises SourceError."""
    if not dark:
        return None
    images = [read_image_file(Path(path))[0] for path in (dark, flat) if path]
    return FieldCorrection(*images)


class HsiTrackerNode(FrameNode[HsiTrackerParameters, HsiTracker | WaitingTracker, list[TargetState]]):
    """Follows targets that ``~/set_target`` chooses through the frames of ``image``."""

    def __init__(self) -> None:
        super().__init__("hsi_tracker", HsiTrackerParameters)
        self._targets: list[TargetState] = []
        self._recent: deque[tuple[int, NDArray[Any]]] = deque()

    def load(self) -> None:
        """Open camera and model, advertise, and offer the services."""
        self._targets = []
        self._recent = deque(maxlen=self.parameters.frame_cache)
        self._eye = _Eye.configured(self.parameters)
        super().load()
        self._tracks = self.advertise(msg.TargetTrackArray, "~/tracks", qos.track())
        self._detections_2d = Detections2D(self)
        self._false_color = self.advertise(Image, "~/false_color", qos.sensor())
        self._response = self.advertise(Image, "~/response", qos.sensor())
        self.serve(SetTarget, "~/set_target", self._answer_set_target)
        self.serve(ClearTarget, "~/clear_target", self._answer_clear_target)
        if not self.parameters.camera:
            self.subscribe(msg.SpectralInfo, "spectral_info", self._hear_camera, qos.info(), self.loading)

    def unload(self) -> None:
        """Free model and frames."""
        super().unload()
        self._recent.clear()

    def open_tracker(self, model: str) -> HsiTracker | WaitingTracker:
        """A tracker with a model for the current camera, warmed up by noise; else one that waits."""
        return self._open(model, self._eye)

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """The cube of an image; of an ordinary camera, its picture."""
        tracker = self._sighted
        if tracker.camera is None:
            return to_picture(image, encoding)
        cube = self._eye.decoder.decode(image, encoding)
        wanted = tracker.channels
        if cube.shape[2] != wanted:
            raise FrameRefusedError(
                f"an image of {cube.shape[2]} bands where {wanted} are expected: set the parameter camera, "
                f"publish spectral_info, or take another model than {self.model}"
            )
        return cube

    def track(self, frame: NDArray[Any], stamp_ns: int) -> list[TargetState]:
        """Every target in a cube."""
        if not self._recent and any(self.parameters.start_box):
            self._set_start_box(frame, stamp_ns)
        self._targets = self._sighted.track(frame, stamp_ns)
        self._recent.append((stamp_ns, frame))
        return self._targets

    def publish(self, facts: FrameFacts, frame: NDArray[Any], result: list[TargetState]) -> None:
        """Publish tracks, and false colour and response if somebody looks."""
        self._tracks.publish(track_messages.to_target_tracks(facts, result))
        self._detections_2d.publish(facts.header, (Tracked(t.id, t.box, t.score, t.label) for t in result))
        if self._false_color.get_subscription_count():
            image = self._sighted.false_color(frame)
            self._false_color.publish(image_messages.from_array(image, "bgr8", facts.header))
        response = self._sighted.response
        if response is not None and self._response.get_subscription_count():
            self._response.publish(image_messages.from_array(response, "32FC1", facts.header))

    def begin_epoch(self) -> None:
        """Forget targets and frames."""
        super().begin_epoch()
        self._recent.clear()
        self._targets = []

    def describe_tracker(self) -> dict[str, Value]:
        """Engine, camera and targets."""
        if isinstance(self.tracker, WaitingTracker):
            return {"engine": f"none yet: {self.tracker.reason}", "camera": "unknown", "targets": 0}
        targets = {
            f"target.{t.id}": f"{t.state.name} {t.score:.2f} {t.label}".rstrip() for t in self._targets
        }
        return {
            "engine": self.tracker.model.description,
            "camera": self._eye.name,
            "batch": self.tracker.model.largest_batch,
            "targets": len(targets),
            **targets,
        }

    @property
    def _sighted(self) -> HsiTracker:
        """The tracker at work. Raises FrameRefused while it waits for its camera."""
        if isinstance(self.tracker, WaitingTracker):
            raise FrameRefusedError(self.tracker.reason)
        return self.tracker

    def _open(self, model: str, eye: _Eye) -> HsiTracker | WaitingTracker:
        engine, settings = self.parameters.engine, EngineSettings(precision=self.parameters.precision)
        try:
            if eye.name == RGB:
                warm = load_rgb_tracker(model, engine, engine_settings=settings)
            else:
                warm = load_tracker(model, engine, eye.decoder.cube_camera, engine_settings=settings)
        except CameraUnknown:
            reason = (
                f"model {model} fits any camera, and nothing tells which it has: publish "
                f"{self.resolve_topic_name('spectral_info')}, or set the parameter camera"
            )
            if self.build_only:
                raise ModelError(reason) from None
            return WaitingTracker(reason)
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, warm.channels), np.uint8)
        warm.set_target(noise, (24, 24, 16, 16))
        warm.track(noise, 0)
        if self.build_only:
            for targets in _TARGETS_AT_ONCE:
                warm.model.prepare(targets)
        return HsiTracker(warm.model, warm.settings, self.times, camera=warm.camera)

    async def _hear_camera(self, message: msg.SpectralInfo) -> None:
        try:
            eye = self._eye.described(read_spectral_info(message))
            if eye == self._eye:
                return

            def load() -> Sequence[HsiTracker | WaitingTracker]:
                return self.open_trackers(self.model, lambda model: self._open(model, eye))

            def adopt(trackers: Sequence[HsiTracker | WaitingTracker]) -> None:
                self._eye = eye
                self.adopt(trackers, self.model)

            await self.before_frames(load, adopt)
        except ValueError as error:
            self.note_error("spectral_info is not heeded", error)

    def _set_start_box(self, frame: NDArray[Any], stamp_ns: int) -> None:
        try:
            self._follow(frame, self.parameters.start_box, stamp_ns)
        except TargetRefused as error:
            self.note_error("start_box is not followed", error)

    def _answer_set_target(
        self, request: SetTarget.Request, response: SetTarget.Response
    ) -> SetTarget.Response:
        with self.answering("set the target", response):
            response.id = self.in_worker(lambda: self._set_target(request))
            response.message = f"target {response.id}"
        return response

    def _set_target(self, request: SetTarget.Request) -> int:
        """Set a target on the frame it was drawn on, and catch up with the newest."""
        (stamp, cube), *later = self._frames_from(track_messages.stamp_ns(request.stamp))
        box = track_messages.from_box(request.box)
        number = self._follow(cube, box, stamp, request.label, request.id or None)
        for stamp, cube in later:
            self._sighted.track(cube, stamp, only=[number])
        return number

    def _follow(
        self, cube: NDArray[Any], box: ArrayLike, stamp: int, label: str = "", number: int | None = None
    ) -> int:
        """Have every tracker know a target; its id. Raises what ``HsiTracker.set_target`` raises."""
        number = self._sighted.set_target(cube, box, stamp_ns=stamp, label=label, target_id=number)
        for tracker in self._all_sighted():
            if tracker is not self.tracker:
                tracker.set_target(cube, box, stamp_ns=stamp, label=label, target_id=number)
        for tracker in self._all_sighted():
            self.meanwhile("search for all targets at once", tracker.prepare)
        return number

    def _all_sighted(self) -> list[HsiTracker]:
        return [tracker for tracker in self.trackers if isinstance(tracker, HsiTracker)]

    def _frames_from(self, stamp: int) -> list[tuple[int, NDArray[Any]]]:
        frames = list(self._recent)
        if not frames:
            raise TargetRefused(
                f"no frame on {self.resolve_topic_name(self.image_topic)} yet to find a target in"
            )
        if not stamp:
            return frames[-1:]
        stamps = [known for known, _ in frames]
        if stamp not in stamps:
            raise TargetRefused(
                f"no frame with stamp {stamp / 1e9:.6f} s is kept; kept are {len(stamps)} from "
                f"{stamps[0] / 1e9:.6f} to {stamps[-1] / 1e9:.6f} s (parameter frame_cache)"
            )
        return frames[stamps.index(stamp) :]

    def _answer_clear_target(
        self, request: ClearTarget.Request, response: ClearTarget.Response
    ) -> ClearTarget.Response:
        with self.answering("clear the target", response):
            cleared = self.in_worker(lambda: self._clear_target(request.id or None))
            if request.id and not cleared:
                raise TargetRefused(f"no target {request.id}")
            response.message = f"{cleared} cleared"
        return response

    def _clear_target(self, number: int | None) -> int:
        return max((tracker.clear_target(number) for tracker in self._all_sighted()), default=0)


def main() -> int:
    """Run the node."""
    return run_node(HsiTrackerNode)


if __name__ == "__main__":
    sys.exit(main())
