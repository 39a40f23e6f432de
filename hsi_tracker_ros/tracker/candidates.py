"""Candidates: positions in a frame that may show the target, and their ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hsi_tracker_ros.tracker.settings import TrackerSettings


@dataclass(frozen=True)
class Candidate:
    """Peak of the network's response in one search region.

    Attributes:
        log_odds: log odds that the box contains the target.
        scale_penalty: factor for the change of size and shape, 0..1; 1: no change (SiamBAN).
        window_weight: value of the cosine window at the peak, 0..1.
        box: x, y, width, height in image pixels.
        response: logits ``(25, 25)`` of the search region.
        log_spectral_distance: logarithm of the distance between the spectra of the box and of the target.
        logit: response of the network at the peak.
        is_distractor: True if the box matches a distractor.
    """

    log_odds: float
    scale_penalty: float
    window_weight: float
    box: NDArray[np.float64]
    response: NDArray[np.float32]
    log_spectral_distance: float
    logit: float = 0.0
    is_distractor: bool = False

    @property
    def score(self) -> float:
        """Probability that the box contains the target."""
        return float(expit(self.log_odds))


def select_best_candidate(
    candidates: Sequence[Candidate], settings: TrackerSettings, *, is_lost: bool
) -> Candidate:
    """Return the candidate with the highest rank among all search regions.

    Args:
        candidates: candidates, at least one.
        settings: settings of the tracker.
        is_lost: True if the target is lost and may be anywhere.
    """
    max_log_odds = max(candidate.log_odds for candidate in candidates)
    return max(
        candidates,
        key=lambda candidate: compute_rank(
            compute_response_score(candidate.log_odds, max_log_odds, settings),
            candidate.scale_penalty,
            candidate.window_weight,
            settings,
            is_lost=is_lost,
        ),
    )


def compute_response_score(log_odds: Any, max_log_odds: float, settings: TrackerSettings) -> Any:
    """Return the scores of responses, 0..1: relative to the highest, or their probability (SiamBAN).

    Args:
        log_odds: log odds, a number or an array.
        max_log_odds: highest log odds of all responses.
        settings: settings of the tracker; `peak_width` selects the formula.
    """
    if settings.peak_width:
        return np.exp((log_odds - max_log_odds) / settings.peak_width)
    return expit(log_odds)


def compute_rank(
    response_score: Any, scale_penalty: Any, window_weight: Any, settings: TrackerSettings, *, is_lost: bool
) -> Any:
    """Return SiamBAN's rank of responses. Ignore the cosine window if the target may be anywhere.

    Args:
        response_score: scores, a number or an array.
        scale_penalty: factors for the change of size and shape, of the same shape.
        window_weight: values of the cosine window, of the same shape.
        settings: settings of the tracker.
        is_lost: True if the target is lost.
    """
    window_influence = 0.0 if is_lost else settings.window_influence
    return scale_penalty * response_score * (1 - window_influence) + window_weight * window_influence
