"""Existence of a target: the probability that it is visible, as a three-state Bayes filter.

A target is visible, occluded or absent. The transitions between these states and the likelihood ratio of the
best candidate in each frame give the probability of each state (integrated probabilistic data association,
Musicki, Evans and Stankovic, 1994). The probability of a visible target is the published score.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.tracker.target_model import ExistenceModel

_MAX_LOG_RATIO = 30.0  # bound of a log likelihood ratio, against overflow


@dataclass
class ExistenceFilter:
    """Existence of one target, or that a candidate for a lost target is this target.

    Attributes:
        probabilities: probabilities ``(3,)`` that the target is visible, occluded and absent.
    """

    probabilities: NDArray[np.float64] = field(default_factory=lambda: np.array([1.0, 0.0, 0.0]))

    def update(
        self, log_odds: float, model: ExistenceModel, *, is_at_border: bool, is_restarted: bool
    ) -> None:
        """Update the probabilities with the best candidate of the next frame.

        Args:
            log_odds: log odds that the candidate is the target.
            model: transitions and weight of the evidence.
            is_at_border: True if the target may leave the image.
            is_restarted: True if the candidate of a lost target is another object than in the last frame, so
                that it starts without evidence.
        """
        if is_restarted:
            self.probabilities = np.array([model.enter, 0.0, 1 - model.enter])
        else:
            self.probabilities = self.probabilities @ _make_transitions(model, is_at_border=is_at_border)
        log_ratio = np.clip(model.evidence_weight * log_odds, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
        self.probabilities[0] *= np.exp(log_ratio)
        self.probabilities /= self.probabilities.sum()

    def compute_score(self, model: ExistenceModel) -> float:
        """Return the probability that the target is visible in its box."""
        return float((1 - model.confusion) * self.probabilities[0])

    def reject(self) -> None:
        """Reject the object in the box: another one than the target."""
        self.probabilities = np.array([0.0, 0.0, 1.0])


def _make_transitions(model: ExistenceModel, *, is_at_border: bool) -> NDArray[np.float64]:
    """Return the probabilities ``(3, 3)`` of each state after each state."""
    leave = model.leave if is_at_border else 0.0
    stay = 1 - leave
    return np.array(
        [
            [stay * (1 - model.occlude), stay * model.occlude, leave],
            [stay * model.reveal, stay * (1 - model.reveal), leave],
            [model.enter, 0.0, 1 - model.enter],
        ]
    )
