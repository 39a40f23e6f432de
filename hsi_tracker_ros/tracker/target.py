"""What the tracker knows of a target between frames, and when it takes it for lost or found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.hanet.inference import Kernels
from hsi_tracker_ros.tracker.confidence import Presence
from hsi_tracker_ros.tracker.distractors import Distractors
from hsi_tracker_ros.tracker.frame_context import View
from hsi_tracker_ros.tracker.motion import Course
from hsi_tracker_ros.tracker.settings import TrackerSettings
from hsi_tracker_ros.tracker.spectral_signature import Signature
from tracking_runtime.boxes import as_boxes, border_distance, centres

Floats = NDArray[np.float32]

_SURE = 0.4
"""Confidence from which on what stands beside a trusted target is another thing."""
_SEEN = 0.5
"""Evidence, relative to what is usual, from which on a frame shows where a target is."""
_NOTHING = -8.0
"""Log odds of a target up to which there is no thing at all that could be taken for it."""


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
        misfit: logarithm of the distance between its spectra and the target's.
    """

    evidence: float
    penalty: float
    window: float
    box: NDArray[np.float64]
    response: Floats
    misfit: float

    @property
    def score(self) -> float:
        """How surely the box holds the target, 0..1."""
        return float(expit(self.evidence))


@dataclass(frozen=True)
class SeenFrame:
    """A frame in which a target was seen, and in which box ``(4,)``."""

    view: View
    box: NDArray[np.float64]
    score: float
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
        score: 0..1, how surely the box holds it.
        frames_since_seen: since the last TRACKING.
        presence: whether it is there.
        course: how it moved while it was seen.
        distractors: things seen beside it.
        scan: how many places it was looked for in since it is LOST.
        searched_frames: in which it was looked for since then.
        frames_to_update: since the last online template was due.
        candidate: the most confident frame since the last online template, to be the next.
        sure_frame: the last in which it was seen as usual; whatever else it shows is not the target.
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
    score: float = 1.0
    frames_since_seen: int = 0
    presence: Presence = field(default_factory=Presence)
    course: Course = field(default_factory=Course)
    distractors: Distractors = field(default_factory=Distractors)
    scan: int = 0
    searched_frames: int = 0
    frames_to_update: int = 0
    candidate: SeenFrame | None = None
    sure_frame: SeenFrame | None = None

    @property
    def lost(self) -> bool:
        """Whether it may be anywhere."""
        return self.presence.lost

    def state(self) -> TargetState:
        """What people are told of it."""
        likely = self.presence.likely_box
        return TargetState(
            self.id,
            (self.box if likely is None else likely).copy(),
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
        """The sightings, with less evidence where they show distractors, or little like a lost target."""
        boxes = np.stack([sighting.box for sighting in sightings])
        misfits = np.array([sighting.misfit for sighting in sightings])
        taken = settings.score_distractor * self.distractors.know(boxes, self.expected())
        taken = taken + settings.score_unlike * self.presence.unlike(misfits)
        return [
            replace(sighting, evidence=sighting.evidence - float(less))
            for sighting, less in zip(sightings, taken, strict=True)
        ]

    def look_around(self, sightings: Sequence[Sighting], areas: Sequence[SquareCrop]) -> None:
        """Know what stands beside the target in the areas searched, once that has its box of this frame."""
        tracking = self.status is TargetStatus.TRACKING
        sure = tracking and self.presence.trusted and self.presence.confidence >= _SURE
        there = as_boxes([sighting.box for sighting in sightings if sighting.evidence > _NOTHING])
        self.distractors.look(there, self.box if sure else None, areas)

    def follow(
        self,
        sighting: Sighting,
        settings: TrackerSettings,
        was_there: Callable[[Sighting], bool],
        *,
        width: int,
        height: int,
    ) -> None:
        """Take the box of the best sighting, if it is to be believed.

        Args:
            sighting: the best.
            settings: of the tracker.
            was_there: whether a sighting shows what was there while this target surely was elsewhere.
            width: of the image, in pixels.
            height: of the image, in pixels.
        """
        self.score = sighting.score
        strength = self.presence.weigh(sighting.evidence, sighting.box, settings)
        if self.lost:
            seen = held = self.presence.confidence >= settings.found_confidence and not self._mistaken(
                sighting, was_there
            )
        else:
            seen, held = self.score >= settings.certain_score, self.score >= settings.lost_score
        if seen or held:
            self._move(sighting, settings, width, height)
        else:
            self.motion[:] = 0
        if seen:
            self._see(sighting)
        else:
            self._doubt()
        if not self.lost:
            if strength >= _SEEN:
                self.course.see(centres(self.box)[0])
            else:
                self.course.go_on()
            if self._has_left(settings, width, height) or self._is_missed(settings, width, height):
                self._lose()
        self.frames_since_seen = 0 if self.status is TargetStatus.TRACKING else self.frames_since_seen + 1

    def _mistaken(self, sighting: Sighting, was_there: Callable[[Sighting], bool]) -> bool:
        """Whether what this lost target seems to be is another thing, which then is known."""
        if not was_there(sighting):
            return False
        self.presence.dismiss()
        self.distractors.add(as_boxes(sighting.box))
        return True

    def _has_left(self, settings: TrackerSettings, width: int, height: int) -> bool:
        """Whether it left the image, as it moved, and what is seen in its place is not it."""
        hidden = 0 < settings.leaving_frames <= self.course.unseen
        return hidden and self.course.leads_outside(width, height)

    def _is_missed(self, settings: TrackerSettings, width: int, height: int) -> bool:
        """Whether too little speaks for it."""
        inside = border_distance(self.box, width, height)[0] > np.sqrt(self.box[2:].prod())
        allowance = settings.hidden_allowance if inside else 0.0
        return self.presence.confidence < settings.lost_confidence - allowance

    def _see(self, sighting: Sighting) -> None:
        self.status = TargetStatus.TRACKING
        self.scan = self.searched_frames = 0
        self.presence.see(sighting.evidence, sighting.misfit)

    def _doubt(self) -> None:
        gone = self.lost and self.presence.likely_box is None
        self.status = TargetStatus.LOST if gone else TargetStatus.UNCERTAIN

    def _lose(self) -> None:
        """What it was taken for last may not have been it."""
        self.status = TargetStatus.LOST
        self.presence.lose()
        self.course = Course()
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

    def due_template(self, interval: int) -> SeenFrame | None:
        """Once in so many frames the most confident of them, if any was offered."""
        self.frames_to_update += 1
        if self.frames_to_update < interval:
            return None
        self.frames_to_update = 0
        chosen, self.candidate = self.candidate, None
        return chosen
