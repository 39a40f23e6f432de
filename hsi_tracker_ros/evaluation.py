"""HA-Net as it is judged: one-pass evaluation of a single target, over recordings without ROS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.tracker import HsiTracker, TargetState, load_tracker
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.frames import Frame
from tracking_runtime.geometry import Boxes, as_boxes
from tracking_runtime.models import find_model, read_manifest
from tracking_runtime.spectral import SpectralInfo


class HsiReplay:
    """HA-Net as a replay runs it: follows the target that it is shown.

    Args:
        model: name or path.
        engine: as of ``load_tracker``.

    Raises:
        ModelError: there is no such model.
    """

    default_model = "hanet_edge_vis16"
    follows_one_target = True

    def __init__(self, model: str, engine: str) -> None:
        self._model, self._engine = model, engine
        self._manifest = read_manifest(find_model(model))
        self._tracker: HsiTracker | None = None
        self._camera: SpectralInfo | None = None
        self._decoder = Decoder(None)

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
            SourceError: nothing says what the video's bands are.
            CameraMismatch: its bands don't cover the model's.
        """
        camera = video.spectral_info
        if camera is None:
            raise SourceError(f"{video.name}: HA-Net needs the bands of its camera, and nothing tells them")
        if self._tracker is None or camera != self._camera:
            self._decoder, self._camera = Decoder(camera), camera
            self._tracker = _warm(load_tracker(self._model, self._engine, self._decoder.cube_camera))
        self._tracker.reset()

    def start(self, frame: Frame, box: Boxes) -> None:
        """Follow what a box holds. Raises TargetRefused or FrameRefused."""
        cube = self._decoder.decode(frame.image, frame.encoding)
        self._ready.set_target(cube, box[0], stamp_ns=frame.stamp_ns)

    def track(self, frame: Frame) -> ScoredBoxes:
        """The target in the next frame. Raises FrameRefused."""
        cube = self._decoder.decode(frame.image, frame.encoding)
        return _as_boxes(self._ready.track(cube, frame.stamp_ns))

    @property
    def _ready(self) -> HsiTracker:
        if self._tracker is None:
            raise RuntimeError("begin comes first")
        return self._tracker


def _warm(tracker: HsiTracker) -> HsiTracker:
    """The tracker after a look at noise: the first run of a network takes longer than those that follow."""
    bands = len(tracker.camera.wavelengths_nm)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, bands), np.uint8)
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
