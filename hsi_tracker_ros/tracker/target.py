"""What the tracker knows of a target between frames, and when it takes it for lost or found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.hanet.model import Kernels
from hsi_tracker_ros.signature import Signature
from hsi_tracker_ros.tracker.bystanders import Bystanders
from hsi_tracker_ros.tracker.settings import TrackerSettings
from tracking_runtime.geometry import as_boxes, centres

Floats = NDArray[np.float32]

_USUAL_FRAMES = 25
"""From so many frames at first is known what evidence is usual of a target."""
_LEAST_USUAL = 3.0
"""No less is taken for usual, in log odds."""
_MOST_AGAINST = -0.5
"""No frame counts for more against a target, relative to what is usual."""
_NEAR = 1.0
"""Sizes of a thing by which it moves at most from frame to frame."""
_TRUSTED = 0.6
"""Confidence at which a target that was found is trusted."""
_SURE = 0.4
"""Confidence from which on what stands beside a trusted target is another thing."""
_NOTHING = -8.0
"""Log odds of a target up to which there is no thing at all that could be taken for it."""
_WORTH_A_LOOK = 0.05
"""Confidence from which on the next frame is searched for what may be a LOST target."""


class TargetStatus(IntEnum):
    """How a target fares; values as in TargetTrack.msg."""

    TRACKING = 1
    UNCERTAIN = 2
    LOST = 3


@dataclass(frozen=True)
class TargetState:
    """One target in one frame.

    Attributes:
        id: as given by ``set_target``.
        box: ``(4,)`` x, y, width, height in image pixels.
        score: 0..1, how surely the box holds the target.
        state: how it fares.
        label: as given to ``set_target``.
        frames_since_seen: since the last TRACKING, 0 while TRACKING.
        template_stamp_ns: stamp of the frame that the newest template was cut from.
    """

    id: int
    box: NDArray[np.float64]
    score: float
    state: TargetStatus
    label: str
    frames_since_seen: int
    template_stamp_ns: int


@dataclass(frozen=True)
class Sighting:
    """What may be the target in a frame: a peak of the responses in one search crop.

    Attributes:
        evidence: log odds that the box holds the target.
        penalty: what a change of size and shape leaves of it, 0..1.
        window: of the cosine window there, 0..1.
        box: x, y, width, height in image pixels.
        response: ``(25, 25)`` logits of its crop.
    """

    evidence: float
    penalty: float
    window: float
    box: NDArray[np.float64]
    response: Floats

    @property
    def score(self) -> float:
        """How surely the box holds the target, 0..1."""
        return float(expit(self.evidence))


@dataclass(frozen=True)
class Candidate:
    """The most confident frame since the last online template, cut as a template."""

    score: float
    crops: tuple[NDArray[Any], ...]
    stamp_ns: int


@dataclass
class Target:
    """A target that is followed.

    Attributes:
        id: its number.
        label: what people call it.
        box: ``(4,)`` x, y, width, height in image pixels.
        first: kernels of the first template.
        online: kernels of the online template; those of the first until there is one.
        signature: its spectrum.
        template_stamp_ns: stamp of the frame that the newest template was cut from.
        size_correction: ``(2,)`` by which width and height of the network's boxes are multiplied.
        motion: ``(2,)`` pixels by which it is expected to move until the next frame.
        status: how it fares.
        lost: whether it may be anywhere, be it that something may be it.
        score: 0..1, how surely the box holds it.
        frames_since_seen: since the last TRACKING.
        usual: log odds that its box held it in the first frames.
        usual_frames: how many of them it has been seen in.
        confidence: running mean of the evidence, 1: as usual; of a LOST one, that it is the suspect.
        suspect: ``(4,)`` box of what may be the LOST target; None: nothing may.
        trusted: whether it has been as usual since it was found.
        bystanders: things seen beside it.
        scan: how many places it was looked for in since it is LOST.
        frames_to_update: since the last online template was due.
        candidate: to be the next online template.
    """

    id: int
    label: str
    box: NDArray[np.float64]
    first: Kernels
    online: Kernels
    signature: Signature
    template_stamp_ns: int
    size_correction: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))
    motion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    status: TargetStatus = TargetStatus.TRACKING
    lost: bool = False
    score: float = 1.0
    frames_since_seen: int = 0
    usual: float = 0.0
    usual_frames: int = 0
    confidence: float = 1.0
    suspect: NDArray[np.float64] | None = None
    trusted: bool = True
    bystanders: Bystanders = field(default_factory=Bystanders)
    scan: int = 0
    frames_to_update: int = 0
    candidate: Candidate | None = None

    def state(self) -> TargetState:
        """What people are told of it."""
        return TargetState(
            self.id,
            (self.box if self.suspect is None or self.status is TargetStatus.LOST else self.suspect).copy(),
            self.score,
            self.status,
            self.label,
            self.frames_since_seen,
            self.template_stamp_ns,
        )

    def skip(self) -> None:
        """A frame in which it is not looked for."""
        self.frames_since_seen += 1
        self.status = max(self.status, TargetStatus.UNCERTAIN)

    def expected(self) -> NDArray[np.float64]:
        """Its box in the next frame, by its motion."""
        return self.box + np.array([*self.motion, 0.0, 0.0])

    def recognise(self, sightings: Sequence[Sighting], settings: TrackerSettings) -> list[Sighting]:
        """The sightings, those of bystanders with less evidence."""
        boxes = np.stack([sighting.box for sighting in sightings])
        taken = settings.score_bystander * self.bystanders.know(boxes, self.expected())
        return [
            replace(sighting, evidence=sighting.evidence - float(less))
            for sighting, less in zip(sightings, taken, strict=True)
        ]

    def look_around(self, sightings: Sequence[Sighting], areas: Sequence[SquareCrop]) -> None:
        """Know what stands beside the target in the areas searched, once that has its box of this frame."""
        self.trusted |= self.confidence >= _TRUSTED
        sure = self.trusted and self.status is TargetStatus.TRACKING and self.confidence >= _SURE
        there = as_boxes([sighting.box for sighting in sightings if sighting.evidence > _NOTHING])
        self.bystanders.look(there, self.box if sure else None, areas)

    def follow(self, sighting: Sighting, settings: TrackerSettings, *, width: int, height: int) -> None:
        """Take the box of the best sighting, if it is to be believed, in an image of this size."""
        self.score = sighting.score
        self._weigh(sighting, settings)
        if self.lost:
            seen = held = self.confidence >= settings.found_confidence
        else:
            seen, held = self.score >= settings.certain_score, self.score >= settings.lost_score
        if seen or held:
            self._move(sighting, settings, width, height)
        else:
            self.motion[:] = 0
        if seen:
            self._see(sighting)
        else:
            self._doubt(settings)
        if self.confidence < settings.lost_confidence and not self.lost:
            self._lose()

    def _weigh(self, sighting: Sighting, settings: TrackerSettings) -> None:
        """How confident the newest evidence leaves us, relative to what is usual of this target.

        What is looked at frame after frame looks alike in all of them: a mean, no sum of log odds, tells.
        """
        strength = float(np.clip(sighting.evidence / max(self.usual, _LEAST_USUAL), _MOST_AGAINST, 1))
        rate = settings.found_rate if self.lost else settings.confidence_rate
        if self.lost and not self._suspects(sighting):
            self.confidence = 0.0
        self.confidence += rate * (strength - self.confidence)
        if self.lost:
            self.suspect = sighting.box if self.confidence >= _WORTH_A_LOOK else None

    def _suspects(self, sighting: Sighting) -> bool:
        if self.suspect is None:
            return False
        step = (centres(sighting.box) - centres(self.suspect))[0]
        return bool(np.hypot(*step) <= _NEAR * np.sqrt(self.suspect[2:].prod()))

    def _see(self, sighting: Sighting) -> None:
        self.status, self.lost, self.suspect = TargetStatus.TRACKING, False, None
        self.frames_since_seen = self.scan = 0
        if self.usual_frames < _USUAL_FRAMES:
            self.usual_frames += 1
            self.usual += (sighting.evidence - self.usual) / self.usual_frames

    def _doubt(self, settings: TrackerSettings) -> None:
        self.frames_since_seen += 1
        gone = self.lost and self.confidence < settings.suspect_confidence
        self.status = TargetStatus.LOST if gone else TargetStatus.UNCERTAIN

    def _lose(self) -> None:
        """From here on it may be anywhere; what it was taken for last may not have been it."""
        self.status, self.confidence = TargetStatus.LOST, 0.0
        self.lost, self.trusted = True, False
        self.online, self.candidate = self.first, None

    def _move(self, sighting: Sighting, settings: TrackerSettings, width: int, height: int) -> None:
        rate = 1.0 if self.lost else sighting.penalty * sighting.score * settings.size_rate
        size = (1 - rate) * self.box[2:] + rate * sighting.box[2:]
        size = np.clip(size, settings.minimum_side, (width, height))
        centre = np.clip(sighting.box[:2] + sighting.box[2:] / 2, 0, (width, height))
        step = centre - (self.box[:2] + self.box[2:] / 2)
        if not self.lost:  # to where a lost one is found it has not moved in this frame
            self.motion += settings.motion_rate * (step - self.motion)
        self.box = np.concatenate([centre - size / 2, size])

    def due_template(self, interval: int) -> Candidate | None:
        """Once in so many frames the most confident of them, if any was offered."""
        self.frames_to_update += 1
        if self.frames_to_update < interval:
            return None
        self.frames_to_update = 0
        chosen, self.candidate = self.candidate, None
        return chosen
