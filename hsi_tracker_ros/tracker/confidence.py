"""Whether a target is there: how confident the evidence of the last frames leaves us.

What is looked at frame after frame looks alike in all of them, so that a mean of the evidence tells more than
its sum, which would only grow more certain of the wrong thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.tracker.settings import TrackerSettings
from tracking_runtime.boxes import centres

Box = NDArray[np.float64]

_USUAL_FRAMES = 25
"""From so many frames at first is known what evidence is usual of a target."""
_FEWEST_USUAL_FRAMES = 5
"""With fewer nobody knows how well a target's spectra usually fit."""
_AS_USUAL = 0.8
"""Confidence from which on a frame tells, after the first ones, how well they fit."""
_MISFIT_RATE = 0.05
"""Share of the newest such frame in what is usual."""
_LEAST_MISFIT = -0.8
"""No less is taken for usual: what stands still fits better than the same thing when it returns."""
_TOLERATED_MISFIT = 0.4
"""A target that returns may fit worse than usual by this."""
_LEAST_USUAL = 3.0
"""No less is taken for usual, in log odds."""
_MOST_AGAINST = -0.5
"""No frame counts for more against a target, relative to what is usual."""
_NEAR = 1.0
"""Sizes of a thing by which it moves at most from frame to frame."""
_TRUSTED = 0.6
"""Confidence at which a target that was found is trusted."""
_WORTH_A_LOOK = -0.05
"""Confidence from which on the next frame is searched for what may be a lost target."""
_DISMISSED = -0.2
"""Confidence below which it no longer is, once it was."""


@dataclass(frozen=True)
class Suspect:
    """What may be a lost target.

    Attributes:
        box: ``(4,)`` of it in the last frame.
        likely: whether it has been likely enough, in this frame or before, for people to be told of it.
    """

    box: Box
    likely: bool


@dataclass
class Presence:
    """Whether a target is there.

    Attributes:
        lost: whether it may be anywhere, be it that something may be it.
        confidence: running mean of the evidence, 1: as usual; of a lost one, that it is the suspect.
        suspect: what may be the lost target; None: nothing may.
        trusted: whether it has been as usual since it was found.
        usual: log odds that its box held it in the first frames.
        usual_frames: how many of them it has been seen in.
        usual_misfit: of its spectra, in these frames and in later ones in which it was as usual.
    """

    lost: bool = False
    confidence: float = 1.0
    suspect: Suspect | None = None
    trusted: bool = True
    usual: float = 0.0
    usual_frames: int = 0
    usual_misfit: float = 0.0

    @property
    def as_usual(self) -> bool:
        """Whether it is seen as well as it usually is."""
        return not self.lost and self.trusted and self.confidence >= _AS_USUAL

    @property
    def likely_box(self) -> Box | None:
        """Of what people are told may be the lost target."""
        return self.suspect.box if self.suspect is not None and self.suspect.likely else None

    def share_of_usual(self, evidence: float) -> float:
        """Log odds that a box holds the target, 1: as is usual of it."""
        return evidence / max(self.usual, _LEAST_USUAL)

    def unlike(self, misfits: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much more than a target that is lost could boxes with these misfits ``(n,)`` differ from it.

        0 for a target in sight: where it is half hidden it differs as well.
        """
        if not self.lost or self.usual_frames < _FEWEST_USUAL_FRAMES:
            return np.zeros(len(misfits))
        return np.maximum(misfits - max(self.usual_misfit, _LEAST_MISFIT) - _TOLERATED_MISFIT, 0)

    def weigh(self, evidence: float, box: Box, settings: TrackerSettings) -> float:
        """Take in a frame: the log odds that a box holds the target; returns them, 1: as is usual of it."""
        strength = float(np.clip(self.share_of_usual(evidence), _MOST_AGAINST, 1))
        if self.lost:
            self._weigh_suspect(strength, box, settings)
        else:
            self.confidence += settings.confidence_rate * (strength - self.confidence)
        self.trusted |= self.confidence >= _TRUSTED
        return strength

    def see(self, evidence: float, misfit: float) -> None:
        """The target was seen, with these log odds, and its spectra fit as this logarithm tells."""
        self.lost, self.suspect = False, None
        if self.usual_frames < _USUAL_FRAMES:
            self.usual_frames += 1
            self.usual += (evidence - self.usual) / self.usual_frames
            self.usual_misfit += (misfit - self.usual_misfit) / self.usual_frames
        elif self.as_usual:
            self.usual_misfit += _MISFIT_RATE * (misfit - self.usual_misfit)

    def lose(self) -> None:
        """From here on the target may be anywhere."""
        self.lost, self.trusted, self.confidence = True, False, 0.0

    def dismiss(self) -> None:
        """What seemed to be the lost target is not."""
        self.suspect, self.confidence = None, 0.0

    def _weigh_suspect(self, strength: float, box: Box, settings: TrackerSettings) -> None:
        known = self.suspect if self.suspect is not None and _near(box, self.suspect.box) else None
        if known is None:
            self.confidence = 0.0
        rate = settings.found_rate if strength >= self.confidence else settings.fading_rate
        self.confidence += rate * (strength - self.confidence)
        if self.confidence < (_WORTH_A_LOOK if known is None else _DISMISSED):
            self.suspect = None
            return
        likely = self.confidence >= settings.suspect_confidence or (known is not None and known.likely)
        self.suspect = Suspect(box, likely)


def _near(box: Box, last: Box) -> bool:
    """Whether a box may show what another did the frame before."""
    step = (centres(box) - centres(last))[0]
    return bool(np.hypot(*step) <= _NEAR * np.sqrt(last[2:].prod()))
