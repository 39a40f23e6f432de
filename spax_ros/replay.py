"""SPAX for `rstrack evaluate`: tracks every moving object of a recording, without ROS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spax_ros.association.tracks import Tracks, TrackState
from spax_ros.tracker import load_tracker
from tracking_runtime.boxes import Boxes, ScoredBoxes
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.models.manifest import find_model, read_manifest


class SpaxReplay:
    """SPAX as a `ReplayTracker`: the confirmed tracks, with their boxes clipped to the image.

    Args:
        model: name of the model, or path of its manifest.
        engine: name of an engine, or ``auto``.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: the engine is unknown or does not work on this machine.
    """

    default_model = "spax_small"
    follows_one_target = False

    def __init__(self, model: str, engine: str) -> None:
        self._manifest = read_manifest(find_model(model))
        self._tracker = load_tracker(model, engine)
        self._tracker.warm_up()

    @property
    def description(self) -> Mapping[str, str]:
        """Model, sha256 of its weights, and engine."""
        return {
            "model": self._manifest.name,
            "weights sha256": self._manifest.weights_sha256,
            "engine": self._tracker.engine_description,
        }

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self._tracker.class_names

    def start_video(self, video: FrameSource) -> None:
        """Reset the tracker."""
        self._tracker.reset()

    def initialize(self, frame: Frame, box: Boxes) -> None:
        """Raise an error: SPAX has no target."""
        raise NotImplementedError("SPAX tracks every moving object and has no target")

    def track(self, frame: Frame) -> ScoredBoxes:
        """Return the confirmed tracks of the next frame. Raise FrameRefusedError if it cannot be used."""
        tracks = self._track(frame)
        return _make_scored_boxes(tracks, tracks.is_confirmed)

    def track_candidates(self, frame: Frame) -> ScoredBoxes:
        """Return all tracks of the next frame, also tentative and coasting ones, as `track`."""
        tracks = self._track(frame)
        return _make_scored_boxes(tracks, np.ones(len(tracks), bool))

    def _track(self, frame: Frame) -> Tracks:
        image = frame.image[..., ::-1] if frame.encoding == "rgb8" else frame.image
        return self._tracker.track(image, frame.stamp_ns).tracks


def _make_scored_boxes(tracks: Tracks, is_selected: NDArray[np.bool_]) -> ScoredBoxes:
    return ScoredBoxes(
        ids=tracks.ids[is_selected],
        boxes=tracks.boxes[is_selected],
        scores=tracks.scores[is_selected].astype(np.float64),
        class_ids=tracks.class_ids[is_selected].astype(np.int64),
        states=tuple(TrackState(state).name.lower() for state in tracks.states[is_selected]),
        velocities=tracks.velocities[is_selected].astype(np.float64),
    )
