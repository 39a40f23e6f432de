"""Confidence that a target is in its box, from the log odds of the last frames.

Consecutive frames are strongly correlated. Summing their log odds would overstate the confidence, so the
confidence is a running mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.tracker.settings import TrackerSettings
from tracking_runtime.boxes import compute_centers

Box = NDArray[np.float64]

# Reference values of a target, from its first detections
_NUM_REFERENCE_FRAMES = 25  # detections that define the reference values
_MIN_REFERENCE_FRAMES = 5  # detections below which the reference distance is not reliable
_MIN_REFERENCE_LOG_ODDS = 3.0  # lower bound of the reference log odds
_MIN_REFERENCE_LOG_DISTANCE = -0.8  # a static target matches itself better than after its return
_LOG_DISTANCE_TOLERANCE = 0.4  # excess over the reference distance that a returning target may have
_REFERENCE_DISTANCE_RATE = 0.05  # weight of a later detection in the reference distance

# Confidence; 1: as good as in the first frames
_MIN_NORMALIZED_LOG_ODDS = -0.5  # lower bound of the influence of one frame
_GOOD_CONFIDENCE = 0.8  # confidence of a target that is as visible as in its first frames
_TRUSTED_CONFIDENCE = 0.6  # confidence from which a re-detected target is trusted
_MIN_NEW_CANDIDATE_CONFIDENCE = -0.05  # confidence below which a new candidate is not searched again
_MIN_CANDIDATE_CONFIDENCE = -0.2  # confidence below which a known candidate is given up
_MAX_STEP = 1.0  # movement of a candidate between two frames, in sizes of its box


@dataclass(frozen=True)
class RedetectionCandidate:
    """Object that may be a lost target.

    Attributes:
        box: box ``(4,)`` in the last frame.
        is_published: True once its confidence has reached `suspect_confidence`; the target is then reported
            as UNCERTAIN at this box.
    """

    box: Box
    is_published: bool


@dataclass
class TargetConfidence:
    """Running confidence of one target.

    Attributes:
        is_lost: True if the target may be anywhere; a re-detection candidate may exist all the same.
        value: running mean of the normalized log odds, 1: as good as in the first frames. For a lost target
            the confidence of its re-detection candidate.
        candidate: object that may be the lost target; None: no such object.
        is_trusted: False from a loss until the confidence has recovered.
        reference_log_odds: mean log odds of the first detections.
        num_reference_frames: number of detections in the reference values.
        reference_log_distance: mean log spectral distance of the first and of later good detections.
    """

    is_lost: bool = False
    value: float = 1.0
    candidate: RedetectionCandidate | None = None
    is_trusted: bool = True
    reference_log_odds: float = 0.0
    num_reference_frames: int = 0
    reference_log_distance: float = 0.0

    @property
    def is_good(self) -> bool:
        """Good visibility: a trusted target that matches about as well as in its first frames."""
        return not self.is_lost and self.is_trusted and self.value >= _GOOD_CONFIDENCE

    @property
    def published_box(self) -> Box | None:
        """Box of the published re-detection candidate; None without one."""
        if self.candidate is None or not self.candidate.is_published:
            return None
        return self.candidate.box

    def normalize_log_odds(self, log_odds: float) -> float:
        """Return log odds divided by the target's reference value (1: as good as in the first frames)."""
        return log_odds / max(self.reference_log_odds, _MIN_REFERENCE_LOG_ODDS)

    def compute_excess_distance(self, log_distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much log spectral distances ``(n,)`` exceed the maximum of a lost target.

        0 while the target is in view, because occlusion increases the distance.
        """
        if not self.is_lost or self.num_reference_frames < _MIN_REFERENCE_FRAMES:
            return np.zeros(len(log_distances))
        reference = max(self.reference_log_distance, _MIN_REFERENCE_LOG_DISTANCE)
        return np.maximum(log_distances - reference - _LOG_DISTANCE_TOLERANCE, 0)

    def update(self, log_odds: float, box: Box, settings: TrackerSettings) -> None:
        """Update the confidence with the best candidate of one frame.

        Args:
            log_odds: log odds that the candidate is the target.
            box: box ``(4,)`` of the candidate.
            settings: settings of the tracker.
        """
        normalized = float(np.clip(self.normalize_log_odds(log_odds), _MIN_NORMALIZED_LOG_ODDS, 1))
        if self.is_lost:
            self._update_candidate(normalized, box, settings)
        else:
            self.value += settings.confidence_rate * (normalized - self.value)
        self.is_trusted |= self.value >= _TRUSTED_CONFIDENCE

    def confirm(self, log_odds: float, log_spectral_distance: float) -> None:
        """Confirm a detection of the target: the target is not lost, and has no re-detection candidate.

        The reference values take the first detections into account, later only the distance of good ones.

        Args:
            log_odds: log odds of the detection.
            log_spectral_distance: log spectral distance of the detection.
        """
        self.is_lost = False
        self.candidate = None
        if self.num_reference_frames < _NUM_REFERENCE_FRAMES:
            self.num_reference_frames += 1
            weight = self.num_reference_frames
            self.reference_log_odds += (log_odds - self.reference_log_odds) / weight
            self.reference_log_distance += (log_spectral_distance - self.reference_log_distance) / weight
        elif self.is_good:
            self.reference_log_distance += _REFERENCE_DISTANCE_RATE * (
                log_spectral_distance - self.reference_log_distance
            )

    def mark_lost(self) -> None:
        """Mark the target lost and not trusted, with a confidence of 0."""
        self.is_lost = True
        self.is_trusted = False
        self.value = 0.0

    def reject_candidate(self) -> None:
        """Drop the re-detection candidate, which is another object, and set the confidence to 0.

        A lost target stays lost.
        """
        self.candidate = None
        self.value = 0.0

    def _update_candidate(self, normalized: float, box: Box, settings: TrackerSettings) -> None:
        previous = self.candidate
        if previous is not None and not is_same_object(box, previous.box):
            previous = None
        if previous is None:
            self.value = 0.0
        rate = settings.found_rate if normalized >= self.value else settings.fading_rate
        self.value += rate * (normalized - self.value)
        if self.value < (_MIN_NEW_CANDIDATE_CONFIDENCE if previous is None else _MIN_CANDIDATE_CONFIDENCE):
            self.candidate = None
            return
        was_published = previous is not None and previous.is_published
        is_published = self.value >= settings.suspect_confidence or was_published
        self.candidate = RedetectionCandidate(box, is_published)


def is_same_object(box: Box, previous_box: Box) -> bool:
    """Return whether a box may show the same object as a box of the previous frame."""
    step = (compute_centers(box) - compute_centers(previous_box))[0]
    return bool(np.hypot(*step) <= _MAX_STEP * np.sqrt(previous_box[2:].prod()))
