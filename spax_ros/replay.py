"""SPAX for `rstrack evaluate`: tracks every moving object of a recording, without ROS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spax_ros.association.tracks import Tracks, TrackState
from spax_ros.profiles import PROFILES, Profile, make_profile_settings
from spax_ros.tracker import load_tracker
from tracking_runtime.boxes import Boxes, ScoredBoxes
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.notes import add_note
from tracking_runtime.models.manifest import find_model, read_manifest

_OBSERVED_FRAMES = 30  # first frames of a video after which a camera of another profile is noticed


class SpaxReplay:
    """SPAX as a `ReplayTracker`: the confirmed tracks, with their boxes clipped to the image.

    Args:
        model: name of the model, or path of its manifest.
        engine: name of an engine, or ``auto``.
        profile: kind of camera.

    Raises:
        ModelError: the model cannot be loaded.
        EngineError: the engine is unknown or does not work on this machine.
    """

    default_model = "spax_small"
    follows_one_target = False
    profiles = PROFILES

    def __init__(self, model: str, engine: str, *, profile: Profile = "satellite") -> None:
        self._manifest = read_manifest(find_model(model))
        self._profile = profile
        self._tracker = load_tracker(model, engine, make_profile_settings(profile))
        self._tracker.warm_up()
        self._num_frames = self._num_saturated = 0

    @property
    def description(self) -> Mapping[str, str]:
        """Model, sha256 of its weights, engine and profile."""
        return {
            "model": self._manifest.name,
            "weights sha256": self._manifest.weights_sha256,
            "engine": self._tracker.engine_description,
            "profile": self._profile,
        }

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class id."""
        return self._tracker.class_names

    def start_video(self, video: FrameSource) -> None:
        """Reset the tracker."""
        self._tracker.reset()
        self._num_frames = self._num_saturated = 0

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
        result = self._tracker.track(image, frame.stamp_ns)
        self._num_frames += 1
        self._num_saturated += result.is_saturated
        if self._num_frames == _OBSERVED_FRAMES and self._num_saturated > _OBSERVED_FRAMES / 2:
            add_note(_describe_saturation(self._num_saturated, self._profile))
        return result.tracks


def _make_scored_boxes(tracks: Tracks, is_selected: NDArray[np.bool_]) -> ScoredBoxes:
    return ScoredBoxes(
        ids=tracks.ids[is_selected],
        boxes=tracks.boxes[is_selected],
        scores=tracks.scores[is_selected].astype(np.float64),
        class_ids=tracks.class_ids[is_selected].astype(np.int64),
        states=tuple(TrackState(state).name.lower() for state in tracks.states[is_selected]),
        velocities=tracks.velocities[is_selected].astype(np.float64),
    )


def _describe_saturation(num_saturated: int, profile: Profile) -> str:
    text = (
        f"in {num_saturated} of the first {_OBSERVED_FRAMES} frames more moves than may be active, and only "
        "the strongest motion is tracked"
    )
    if profile == "drone":
        return text
    return f"{text}; if the camera turns, zooms or looks aslant, use --profile drone"
