"""What the tracker knows of a target between frames, and when it takes it for lost or found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hsi_tracker_ros.hanet.model import Kernels
from hsi_tracker_ros.signature import Signature
from hsi_tracker_ros.tracker.settings import TrackerSettings

Floats = NDArray[np.float32]


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
        score: 0..1, how surely the box holds it.
        frames_since_seen: since the last TRACKING.
        frames_below: in a row, in which its box was not believed.
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
    score: float = 1.0
    frames_since_seen: int = 0
    frames_below: int = 0
    scan: int = 0
    frames_to_update: int = 0
    candidate: Candidate | None = None

    @property
    def lost(self) -> bool:
        """Whether it may be anywhere."""
        return self.status is TargetStatus.LOST

    def state(self) -> TargetState:
        """What people are told of it."""
        return TargetState(
            self.id,
            self.box.copy(),
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

    def follow(self, sighting: Sighting, settings: TrackerSettings, *, width: int, height: int) -> None:
        """Take the box of the best sighting, if it is to be believed, in an image of this size."""
        self.score = sighting.score
        seen = sighting.score >= (settings.found_score if self.lost else settings.certain_score)
        held = sighting.score >= settings.lost_score
        if seen or (held and not self.lost):
            self._move(sighting, settings, width, height)
        else:
            self.motion[:] = 0
        if seen:
            self.status = TargetStatus.TRACKING
            self.frames_since_seen = self.frames_below = self.scan = 0
            return
        self.frames_since_seen += 1
        self.frames_below = 0 if held else self.frames_below + 1
        if not self.lost:
            gone = self.frames_below >= settings.lost_after
            self.status = TargetStatus.LOST if gone else TargetStatus.UNCERTAIN

    def _move(self, sighting: Sighting, settings: TrackerSettings, width: int, height: int) -> None:
        rate = 1.0 if self.lost else sighting.penalty * sighting.score * settings.size_rate
        size = (1 - rate) * self.box[2:] + rate * sighting.box[2:]
        size = np.clip(size, settings.minimum_side, (width, height))
        centre = np.clip(sighting.box[:2] + sighting.box[2:] / 2, 0, (width, height))
        step = centre - (self.box[:2] + self.box[2:] / 2)
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
