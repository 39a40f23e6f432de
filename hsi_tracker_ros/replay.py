"""HA-Net for `rstrack evaluate`: tracks a single target in a video, without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_presets import assume_camera
from hsi_tracker_ros.cubes.decoder import make_decoder
from hsi_tracker_ros.tracker import HsiTracker, TargetState, load_rgb_tracker, load_tracker
from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.notes import add_note
from tracking_runtime.models.manifest import find_model, read_manifest
from tracking_runtime.spectral_info import SpectralInfo

_MAX_COLOR_CHANNELS = 4  # images with more are cubes


class HsiReplay:
    """HA-Net in a replay.

    Args:
        model: name or path of the model.
        engine: name of an engine, or `auto`.

    Attributes:
        default_model: name of the model to use unless a user names another.
        follows_one_target: True: the tracker is initialized with a box.

    Raises:
        ModelError: the manifest of the model cannot be read.
    """

    default_model = "hanet_edge_any"
    follows_one_target = True

    def __init__(self, model: str, engine: str) -> None:
        self._model = model
        self._engine = engine
        self._manifest = read_manifest(find_model(model))
        self._tracker: HsiTracker | None = None
        self._camera: SpectralInfo | None = None
        self._decoder = make_decoder(None)

    @property
    def description(self) -> Mapping[str, str]:
        """Model, sha256 of the weights, and engine."""
        return {
            "model": self._manifest.name,
            "weights sha256": self._manifest.weights_sha256,
            "engine": self._tracker.model.description if self._tracker else self._engine,
        }

    def start_video(self, video: FrameSource) -> None:
        """Delete all targets, and load the model for the camera of a video.

        Raises:
            CameraMismatchError: the camera's bands do not cover the model's.
        """
        camera = video.spectral_info
        if self._tracker is None or camera != self._camera:
            self._decoder = make_decoder(camera)
            self._camera = camera
            self._tracker = self._load_tracker()
            self._tracker.warm_up()
        self._tracker.reset()

    def initialize(self, frame: Frame, box: Boxes) -> None:
        """Add a target in a box ``(1, 4)``. Raise TargetRefusedError or FrameRefusedError.

        If nobody has described the bands of a cube, they are assumed, and a note tells so.
        """
        if self._camera is None and frame.image.ndim == 3 and frame.image.shape[2] > _MAX_COLOR_CHANNELS:
            self._assume_bands(frame.image.shape[2])
        self._loaded_tracker.set_target(self._decode(frame), box[0], stamp_ns=frame.stamp_ns)

    def track(self, frame: Frame) -> ScoredBoxes:
        """Track the target in the next frame. Raise FrameRefusedError if the frame cannot be used."""
        return _make_scored_boxes(self._loaded_tracker.track(self._decode(frame), frame.stamp_ns))

    @property
    def _loaded_tracker(self) -> HsiTracker:
        if self._tracker is None:
            raise RuntimeError("start_video must be called first")
        return self._tracker

    def _assume_bands(self, num_bands: int) -> None:
        assumption, camera = assume_camera(num_bands)
        add_note(
            f"the wavelengths of the {num_bands} bands are not described, and taken as {assumption}; "
            "describe them by ?wavelengths=FIRST-LAST, by --camera, or by spectral_info.yaml beside the file"
        )
        self._decoder = make_decoder(camera)
        self._camera = camera
        self._tracker = self._load_tracker()

    def _load_tracker(self) -> HsiTracker:
        """Load HA-Net for cubes, or its RGB branch for color images."""
        if self._decoder.cube_camera is None:
            return load_rgb_tracker(self._model, self._engine)
        return load_tracker(self._model, self._engine, self._decoder.cube_camera)

    def _decode(self, frame: Frame) -> NDArray[Any]:
        return self._decoder.decode(frame.image, frame.encoding)


def _make_scored_boxes(states: list[TargetState]) -> ScoredBoxes:
    return ScoredBoxes(
        ids=np.array([state.id for state in states], np.int64),
        boxes=as_boxes([state.box for state in states]),
        scores=np.array([state.score for state in states], np.float64),
        class_ids=np.zeros(len(states), np.int64),
        states=tuple(state.state.name.lower() for state in states),
    )
