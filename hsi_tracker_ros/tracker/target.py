"""State of one target between frames, and the decision whether it is TRACKING, UNCERTAIN or LOST."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.crops import SIAMBAN_GEOMETRY, CropGeometry, SquareCrop
from hsi_tracker_ros.tracker.candidates import Candidate
from hsi_tracker_ros.tracker.confidence import TargetConfidence
from hsi_tracker_ros.tracker.distractors import Distractors
from hsi_tracker_ros.tracker.existence import ExistenceFilter, RedetectionEvidence
from hsi_tracker_ros.tracker.motion import ConstantVelocity
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.spectral_signature import SpectralSignature
from hsi_tracker_ros.tracker.target_model import Reference, TargetModel
from hsi_tracker_ros.tracker.templates import TemplateFrame, Templates
from tracking_runtime.boxes import as_boxes, compute_border_distance, compute_centers

_MIN_CONFIDENCE_FOR_DISTRACTORS = 0.4  # confidence from which other objects are added as distractors
_MIN_VISIBLE_LOG_ODDS = 0.5  # normalized log odds from which a frame shows the position of the target
_MIN_OBJECT_LOG_ODDS = -8.0  # candidates at or below these log odds are background, never distractors


class TargetStatus(IntEnum):
    """Status of a target; values as in TargetTrack.msg."""

    TRACKING = 1
    UNCERTAIN = 2
    LOST = 3


@dataclass(frozen=True)
class TargetState:
    """Published state of one target in one frame.

    Attributes:
        id: id from `set_target`.
        box: x, y, width, height ``(4,)`` in image pixels.
        score: probability that the box contains the target.
        state: status of the target.
        label: label from `set_target`.
        frames_since_seen: number of frames since the last TRACKING, 0 while TRACKING.
        template_stamp_ns: stamp of the frame of the newest template.
    """

    id: int
    box: NDArray[np.float64]
    score: float
    state: TargetStatus
    label: str
    frames_since_seen: int
    template_stamp_ns: int


@dataclass(frozen=True)
class SearchState:
    """Progress of the search for a lost target.

    Attributes:
        detection_index: number of regions for spectral detections that were searched since the loss.
        frames_since_lost: number of frames that were searched since the loss.
    """

    detection_index: int = 0
    frames_since_lost: int = 0

    def advance(self, num_regions: int) -> SearchState:
        """Return the state after one more frame with this number of regions for spectral detections."""
        return SearchState(self.detection_index + num_regions, self.frames_since_lost + 1)


@dataclass
class Target:
    """State of one target.

    Attributes:
        id: id of the target.
        label: label from the user.
        box: x, y, width, height ``(4,)`` in image pixels.
        templates: templates of the network.
        signature: spectral signature.
        geometry: sizes of the network's crops.
        size_correction: factors ``(2,)`` for width and height of the network's boxes.
        displacement: predicted movement ``(2,)`` until the next frame in pixels; shifts the search region.
        status: status in the last frame.
        score: probability that the box contains the target.
        frames_since_seen: number of frames since the last TRACKING.
        confidence: running confidence, with the re-detection candidate of a lost target.
        motion: motion model that predicts whether the target has left the image.
        existence: filter of the score; unused without fitted numbers.
        reference: mean features of the first frames.
        redetection: evidence that the best candidate is the lost target; None: the target is in view.
        distractors: look-alikes beside the target.
        search: progress of the search while the target is lost.
        last_confident_frame: last frame with a good confidence; its other objects are not the target.
    """

    id: int
    label: str
    box: NDArray[np.float64]
    templates: Templates
    signature: SpectralSignature
    geometry: CropGeometry = SIAMBAN_GEOMETRY
    size_correction: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))
    displacement: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    status: TargetStatus = TargetStatus.TRACKING
    score: float = 1.0
    frames_since_seen: int = 0
    confidence: TargetConfidence = field(default_factory=TargetConfidence)
    motion: ConstantVelocity = field(default_factory=ConstantVelocity)
    existence: ExistenceFilter = field(default_factory=ExistenceFilter)
    reference: Reference = field(default_factory=Reference)
    redetection: RedetectionEvidence | None = None
    distractors: Distractors = field(default_factory=Distractors)
    search: SearchState = field(default_factory=SearchState)
    last_confident_frame: TemplateFrame | None = None

    @property
    def is_lost(self) -> bool:
        """Loss of the target: True if the target may be anywhere."""
        return self.confidence.is_lost

    @property
    def state(self) -> TargetState:
        """Published state: with the box of the re-detection candidate, if that is published."""
        published_box = self.confidence.published_box
        return TargetState(
            self.id,
            (self.box if published_box is None else published_box).copy(),
            self.score,
            self.status,
            self.label,
            self.frames_since_seen,
            self.templates.stamp_ns,
        )

    @property
    def predicted_box(self) -> NDArray[np.float64]:
        """Box ``(4,)`` predicted for the next frame."""
        return self.box + np.array([*self.displacement, 0.0, 0.0])

    def coast(self) -> None:
        """Advance by one frame in which the target is not searched."""
        self.frames_since_seen += 1
        self.status = max(self.status, TargetStatus.UNCERTAIN)

    def penalize_distractors(
        self, candidates: Sequence[Candidate], settings: TrackerSettings
    ) -> list[Candidate]:
        """Return the candidates, with reduced log odds if they match a distractor or not a lost target.

        A candidate does not match a lost target if their spectra differ too much.
        """
        boxes = np.stack([candidate.box for candidate in candidates])
        log_distances = np.array([candidate.log_spectral_distance for candidate in candidates])
        is_distractor = self.distractors.matches(boxes, self.predicted_box)
        excess_distances = self.confidence.compute_excess_distance(log_distances)
        penalties = settings.score_distractor * is_distractor + settings.score_unlike * excess_distances
        return [
            replace(candidate, log_odds=candidate.log_odds - float(penalty), is_distractor=bool(matches))
            for candidate, penalty, matches in zip(candidates, penalties, is_distractor, strict=True)
        ]

    def update(
        self,
        candidate: Candidate,
        settings: TrackerSettings,
        image_size: tuple[int, int],
        fails_backward_check: Callable[[Candidate], bool],
    ) -> None:
        """Update the target with the best candidate of a frame.

        Args:
            candidate: the best candidate.
            settings: settings of the tracker.
            image_size: width and height of the frame in pixels.
            fails_backward_check: predicate of a re-detection that was already visible in the last frame that
                showed the target somewhere else. Called at most once, and only for a re-detection.
        """
        # Step 1: confidence. A lost target needs a confident candidate, another one a certain score.
        is_visible = self.confidence.normalize_log_odds(candidate.log_odds) >= _MIN_VISIBLE_LOG_ODDS
        self._update_score(candidate, settings.target_model, image_size)
        self.confidence.update(candidate.log_odds, candidate.box, settings)
        if self.is_lost:
            is_detected = self.confidence.value >= settings.found_confidence
            if is_detected and fails_backward_check(candidate):
                self._reject_redetection(candidate)
                is_detected = False
            is_accepted = is_detected
        else:
            is_detected = candidate.score >= settings.certain_score
            is_accepted = is_detected or candidate.score >= settings.lost_score

        # Step 2: position.
        if is_accepted:
            self._move(candidate, settings, image_size)
        else:
            self.displacement[:] = 0
        if is_detected:
            self.search = SearchState()
            self.confidence.confirm(candidate.log_odds, candidate.log_spectral_distance)

        # Step 3: loss.
        if not self.is_lost:
            self._update_motion(is_visible=is_visible)
            has_left = self._has_left(settings, image_size)
            if has_left or self._is_below_lost_threshold(settings, image_size):
                self._mark_lost()

        # Step 4: status, and what the first frames teach.
        self.status = self._find_status(is_detected=is_detected)
        if self.status is TargetStatus.LOST and settings.target_model is not None:
            self.score = 0.0  # that of the box, which is the last position, not of a candidate elsewhere
        if self.status is TargetStatus.TRACKING:
            self.reference = self.reference.add(candidate.logit, candidate.log_spectral_distance)
        self.frames_since_seen = 0 if self.status is TargetStatus.TRACKING else self.frames_since_seen + 1

    def update_distractors(self, candidates: Sequence[Candidate], regions: Sequence[SquareCrop]) -> None:
        """Update the distractors from a frame's candidates. Call after the target's box is updated.

        Args:
            candidates: candidates of the frame in all regions.
            regions: search regions of the frame.
        """
        is_confident = (
            self.status is TargetStatus.TRACKING
            and self.confidence.is_trusted
            and self.confidence.value >= _MIN_CONFIDENCE_FOR_DISTRACTORS
        )
        objects = as_boxes(
            [candidate.box for candidate in candidates if candidate.log_odds > _MIN_OBJECT_LOG_ODDS]
        )
        self.distractors.update(objects, self.box if is_confident else None, regions)

    def _update_score(
        self, candidate: Candidate, model: TargetModel | None, image_size: tuple[int, int]
    ) -> None:
        """Set the score: the probability that the target is visible; without a model, that of one frame."""
        if model is None:
            self.score = candidate.score
            return
        features = self.compute_features(candidate)
        weights = model.get_weights(is_lost=self.is_lost)
        log_odds = weights.compute_log_odds(features)
        if self.is_lost:
            if self.redetection is None:
                self.redetection = RedetectionEvidence(candidate.box, log_odds)
            else:
                self.redetection = self.redetection.follow(candidate.box, log_odds)
            self.score = self.redetection.compute_score(model.existence)
            self.existence.restart(self.score)
        else:
            self.redetection = None
            self.existence.update(log_odds, model.existence, is_at_border=self.is_at_border(image_size))
            self.score = self.existence.compute_score(model.existence)

    def compute_features(self, candidate: Candidate) -> NDArray[np.float64]:
        """Return the features ``(5,)`` of a candidate, in the order of `CandidateWeights`."""
        return self.reference.compute_features(
            candidate.logit, candidate.log_spectral_distance, is_distractor=candidate.is_distractor
        )

    def is_at_border(self, image_size: tuple[int, int]) -> bool:
        """Return whether the border of the image is nearer than the size of the box."""
        distance = compute_border_distance(self.box, *image_size)[0]
        return bool(distance <= np.sqrt(self.box[2:].prod()))

    def _reject_redetection(self, candidate: Candidate) -> None:
        """Reject the candidate of a lost target. The candidate becomes a distractor."""
        self.confidence.reject_candidate()
        self.redetection = None
        self.distractors.add(as_boxes(candidate.box))

    def _move(self, candidate: Candidate, settings: TrackerSettings, image_size: tuple[int, int]) -> None:
        """Move the box to a candidate, and adapt its size (SiamBAN)."""
        rate = 1.0 if self.is_lost else candidate.scale_penalty * candidate.score * settings.size_rate
        size = (1 - rate) * self.box[2:] + rate * candidate.box[2:]
        size = np.clip(size, settings.minimum_side, image_size)
        center = np.clip(candidate.box[:2] + candidate.box[2:] / 2, 0, image_size)
        step = center - (self.box[:2] + self.box[2:] / 2)
        if not self.is_lost:  # the position of a re-detection is no movement since the last frame
            self.displacement += settings.motion_rate * (step - self.displacement)
        self.box = np.concatenate([center - size / 2, size])

    def _update_motion(self, *, is_visible: bool) -> None:
        if is_visible:
            self.motion.update(compute_centers(self.box)[0])
        else:
            self.motion.predict()

    def _has_left(self, settings: TrackerSettings, image_size: tuple[int, int]) -> bool:
        """Return whether the target has left the image, so that the candidate is another object."""
        is_missed = 0 < settings.leaving_frames <= self.motion.frames_missed
        return is_missed and self.motion.is_outside(image_size)

    def _is_below_lost_threshold(self, settings: TrackerSettings, image_size: tuple[int, int]) -> bool:
        """Return whether the confidence is too low. Away from the border, the target may be occluded."""
        allowance = 0.0 if self.is_at_border(image_size) else settings.hidden_allowance
        return self.confidence.value < settings.lost_confidence - allowance

    def _mark_lost(self) -> None:
        """Mark the target lost. Drop what the last detections taught: they may be another object's."""
        self.confidence.mark_lost()
        self.motion = ConstantVelocity()
        self.templates.drop_online()

    def _find_status(self, *, is_detected: bool) -> TargetStatus:
        if self.is_lost:
            has_candidate = self.confidence.published_box is not None
            return TargetStatus.UNCERTAIN if has_candidate else TargetStatus.LOST
        return TargetStatus.TRACKING if is_detected else TargetStatus.UNCERTAIN
