"""SPAX as it is judged: every object found and kept apart, over recordings without ROS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spax_ros.association.tracks import TrackState
from spax_ros.tracker import SpaxTracker, load_tracker
from tracking_runtime.boxes import Boxes
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.frames import Frame
from tracking_runtime.models.manifest import find_model, read_manifest

_WARM_UP_FRAMES = 3


class SpaxReplay:
    """SPAX as a replay runs it: everything that moves, as far as it was seen in the frame.

    Args:
        model: name or path.
        engine: as of ``load_tracker``.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: the engine does not work.
    """

    default_model = "spax_small"
    follows_one_target = False

    def __init__(self, model: str, engine: str) -> None:
        self._manifest = read_manifest(find_model(model))
        self._tracker = _warm(load_tracker(model, engine))

    @property
    def description(self) -> Mapping[str, str]:
        """Model, sha256 and engine."""
        return {
            "model": self._manifest.name,
            "weights sha256": self._manifest.weights_sha256,
            "engine": self._tracker.engine,
        }

    def begin(self, video: VideoSequence) -> None:
        """Forget everything."""
        self._tracker.reset()

    def start(self, frame: Frame, box: Boxes) -> None:
        """Is never asked: it finds its objects itself."""
        raise NotImplementedError("SPAX follows everything that moves")

    def track(self, frame: Frame) -> ScoredBoxes:
        """The confirmed tracks after the next frame. Raises FrameRefused."""
        image = frame.image[..., ::-1] if frame.encoding == "rgb8" else frame.image
        tracks = self._tracker.track(image, frame.stamp_ns)
        seen = tracks.states == TrackState.CONFIRMED
        return ScoredBoxes(
            ids=tracks.ids[seen],
            boxes=tracks.boxes[seen],
            scores=tracks.scores[seen].astype(np.float64),
            class_ids=tracks.class_ids[seen].astype(np.int64),
        )


def _warm(tracker: SpaxTracker) -> SpaxTracker:
    """The tracker after a look at noise: the first runs of a network take longer than those that follow."""
    noise = np.random.default_rng(0)
    for number in range(_WARM_UP_FRAMES):
        tracker.track(noise.integers(0, 255, (256, 256), np.uint8), number * 10**8)
    return tracker
