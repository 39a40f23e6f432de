"""Existence of a target: the probability that its box, or a re-detection candidate's, shows the target.

A target in view is visible, occluded or absent. The transitions between these states and the likelihood ratio
of the best candidate in each frame give the probability of each state (integrated probabilistic data
association, Musicki, Evans and Stankovic, 1994).

A candidate of a lost target is the target or another object, for as long as it is followed. Its frames are
correlated: another object that looks like the target does so in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from hsi_tracker_ros.tracker.confidence import is_same_object
from hsi_tracker_ros.tracker.target_model import ExistenceModel

Box = NDArray[np.float64]

MAX_LOG_RATIO = 30.0
"""Bound of a log likelihood ratio, against overflow."""


@dataclass
class ExistenceFilter:
    """Existence of a target in view.

    Attributes:
        probabilities: probabilities ``(3,)`` that the target is visible, occluded and absent.
    """

    probabilities: NDArray[np.float64] = field(default_factory=lambda: np.array([1.0, 0.0, 0.0]))

    def update(self, log_odds: float, model: ExistenceModel, *, is_at_border: bool) -> None:
        """Update the probabilities with the best candidate of the next frame.

        Args:
            log_odds: log odds that the candidate is the target.
            model: transitions and weight of the evidence.
            is_at_border: whether the target may leave the image.
        """
        self.probabilities = self.probabilities @ make_transitions(model, is_at_border=is_at_border)
        weighted = model.evidence_weight * (log_odds + model.evidence_offset)
        log_ratio = np.clip(weighted, -MAX_LOG_RATIO, MAX_LOG_RATIO)
        self.probabilities[0] *= np.exp(log_ratio)
        self.probabilities /= self.probabilities.sum()

    def compute_score(self, model: ExistenceModel) -> float:
        """Return the probability that the target is visible in its box."""
        return float((1 - model.confusion) * self.probabilities[0])

    def restart(self, probability: float) -> None:
        """Restart with a re-detection that is the target with a probability."""
        self.probabilities = np.array([probability, 0.0, 1 - probability])


def make_transitions(model: ExistenceModel, *, is_at_border: bool) -> NDArray[np.float64]:
    """Return the probabilities ``(3, 3)`` of each state after each state. An absent target stays absent."""
    leave = model.leave if is_at_border else 0.0
    stay = 1 - leave
    return np.array(
        [
            [stay * (1 - model.occlude), stay * model.occlude, leave],
            [stay * model.reveal, stay * (1 - model.reveal), leave],
            [0.0, 0.0, 1.0],
        ]
    )


@dataclass(frozen=True)
class RedetectionEvidence:
    """Evidence that an object is a lost target.

    Attributes:
        box: box ``(4,)`` in the last frame.
        mean_log_odds: mean log odds that the object is the target.
        num_frames: number of frames in which the object was followed.
    """

    box: Box
    mean_log_odds: float
    num_frames: int = 1

    def follow(self, box: Box, log_odds: float) -> RedetectionEvidence:
        """Return the evidence after the next frame: the same object, or another one that starts anew.

        Args:
            box: box ``(4,)`` of the best candidate of the frame.
            log_odds: log odds that this box shows the target.
        """
        if not is_same_object(box, self.box):
            return RedetectionEvidence(box, log_odds)
        count = self.num_frames + 1
        mean = self.mean_log_odds + (log_odds - self.mean_log_odds) / count
        return RedetectionEvidence(box, mean, count)

    def compute_score(self, model: ExistenceModel) -> float:
        """Return the probability that the object is the target.

        Equally correlated frames count as n / (1 + (n - 1) correlation) independent ones.
        """
        count = self.num_frames / (1 + (self.num_frames - 1) * model.correlation)
        log_ratio = np.clip(count * self.mean_log_odds, -MAX_LOG_RATIO, MAX_LOG_RATIO)
        return float((1 - model.confusion) * expit(logit(model.enter) + log_ratio))
