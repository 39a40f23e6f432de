"""Reliability of a tracker's scores: whether a score of 0.8 means that 80 % of the boxes are right.

Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

NUM_BINS = 10
"""Number of bins of equal width between the scores 0 and 1."""

CORRECT_OVERLAP = 0.5
"""Minimum intersection over union of a correct box."""


@dataclass(frozen=True)
class Reliability:
    """Scores and correctness of the boxes of one or several videos, by bins of the score.

    Attributes:
        counts: number of boxes in each bin.
        score_sums: sum of their scores.
        correct: number of correct boxes.
    """

    counts: tuple[int, ...] = (0,) * NUM_BINS
    score_sums: tuple[float, ...] = (0.0,) * NUM_BINS
    correct: tuple[int, ...] = (0,) * NUM_BINS

    @property
    def mean_scores(self) -> tuple[float, ...]:
        """Mean score of each bin; NaN for an empty bin."""
        return tuple(_divide(*pair) for pair in zip(self.score_sums, self.counts, strict=True))

    @property
    def fractions_correct(self) -> tuple[float, ...]:
        """Fraction of correct boxes of each bin; NaN for an empty bin."""
        return tuple(_divide(*pair) for pair in zip(self.correct, self.counts, strict=True))

    @property
    def expected_calibration_error(self) -> float:
        """Mean difference between score and fraction of correct boxes, weighted by count; NaN if empty."""
        differences = np.abs(np.subtract(self.score_sums, self.correct))
        return _divide(float(differences.sum()), sum(self.counts))


def count_reliability(scores: ArrayLike, overlaps: ArrayLike) -> Reliability:
    """Sort the boxes of a video into the bins of their scores.

    Args:
        scores: score of each box, (frames,), 0 to 1.
        overlaps: intersection over union of each box with the ground truth, (frames,); NaN where the target
            is absent, so that the box is wrong.

    Raises:
        ValueError: the lengths differ, or a score is not between 0 and 1.
    """
    score_array = np.asarray(scores, np.float64)
    overlap_array = np.asarray(overlaps, np.float64)
    if score_array.shape != overlap_array.shape:
        raise ValueError(f"{score_array.size} scores must be given for {overlap_array.size} overlaps")
    if not ((score_array >= 0) & (score_array <= 1)).all():
        raise ValueError("scores must be between 0 and 1")
    bins = np.minimum((score_array * NUM_BINS).astype(int), NUM_BINS - 1)
    is_correct = np.nan_to_num(overlap_array) >= CORRECT_OVERLAP
    return Reliability(
        counts=tuple(np.bincount(bins, minlength=NUM_BINS).tolist()),
        score_sums=tuple(np.bincount(bins, score_array, NUM_BINS).tolist()),
        correct=tuple(np.bincount(bins[is_correct], minlength=NUM_BINS).tolist()),
    )


def combine_reliabilities(videos: Sequence[Reliability]) -> Reliability:
    """Add up the bins of several videos."""
    if not videos:
        return Reliability()
    return Reliability(
        counts=tuple(np.sum([video.counts for video in videos], axis=0).tolist()),
        score_sums=tuple(np.sum([video.score_sums for video in videos], axis=0).tolist()),
        correct=tuple(np.sum([video.correct for video in videos], axis=0).tolist()),
    )


def _divide(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")
