"""HA-Net as it is judged: one-pass evaluation of a single target, over recordings without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.decoder import decoder_of
from hsi_tracker_ros.tracker import HsiTracker, TargetState, load_rgb_tracker, load_tracker
from tracking_runtime.boxes import Boxes, as_boxes
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.frames import Frame
from tracking_runtime.models.manifest import find_model, read_manifest
from tracking_runtime.spectral_info import SpectralInfo


class HsiReplay:
    """HA-Net as a replay runs it: follows the target that it is shown.

    Args:
        model: name or path.
        engine: as of ``load_tracker``.

    Raises:
        ModelError: there is no such model.
    """

    default_model = "hanet_edge_any"
    follows_one_target = True

    def __init__(self, model: str, engine: str) -> None:
        self._model, self._engine = model, engine
        self._manifest = read_manifest(find_model(model))
        self._tracker: HsiTracker | None = None
        self._camera: SpectralInfo | None = None
        self._decoder = decoder_of(None)

    @property
    def description(self) -> Mapping[str, str]:
        """Model, sha256 and engine."""
        return {
            "model": self._manifest.name,
            "weights sha256": self._manifest.weights_sha256,
            "engine": self._tracker.model.description if self._tracker else self._engine,
        }

    def begin(self, video: VideoSequence) -> None:
        """Make ready for a video's camera.

        Raises:
            CameraMismatch: its bands don't cover the model's.
        """
        camera = video.spectral_info
        if self._tracker is None or camera != self._camera:
            self._decoder, self._camera = decoder_of(camera), camera
            self._tracker = _warm(self._load())
        self._tracker.reset()

    def _load(self) -> HsiTracker:
        """HA-Net for cubes, its RGB branch for pictures."""
        if self._decoder.cube_camera is None:
            return load_rgb_tracker(self._model, self._engine)
        return load_tracker(self._model, self._engine, self._decoder.cube_camera)

    def _decode(self, frame: Frame) -> NDArray[Any]:
        return self._decoder.decode(frame.image, frame.encoding)

    def start(self, frame: Frame, box: Boxes) -> None:
        """Follow what a box holds. Raises TargetRefused or FrameRefused."""
        self._ready.set_target(self._decode(frame), box[0], stamp_ns=frame.stamp_ns)

    def track(self, frame: Frame) -> ScoredBoxes:
        """The target in the next frame. Raises FrameRefused."""
        return _as_boxes(self._ready.track(self._decode(frame), frame.stamp_ns))

    @property
    def _ready(self) -> HsiTracker:
        if self._tracker is None:
            raise RuntimeError("begin comes first")
        return self._tracker


def _warm(tracker: HsiTracker) -> HsiTracker:
    """The tracker after a look at noise: the first run of a network takes longer than those that follow."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, tracker.channels), np.uint8)
    tracker.set_target(noise, (24, 24, 16, 16))
    tracker.track(noise, 0)
    return tracker


def _as_boxes(targets: list[TargetState]) -> ScoredBoxes:
    return ScoredBoxes(
        ids=np.array([target.id for target in targets], np.int64),
        boxes=as_boxes([target.box for target in targets]),
        scores=np.array([target.score for target in targets], np.float64),
        class_ids=np.zeros(len(targets), np.int64),
    )
