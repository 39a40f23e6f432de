"""Whether one run is better than another, by the videos that both have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from tracking_runtime.evaluation.run import Run
from tracking_runtime.evaluation.video_scores import VideoScores, figures_of

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """One figure of two runs over the same videos.

    Attributes:
        figure: its name.
        first: of the first run.
        second: of the second run.
        low: lower end of the confidence interval of second - first.
        high: upper end; NaN like ``low`` where there are too few videos for an interval.
    """

    figure: str
    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Second - first."""
        return self.second - self.first

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out no difference."""
        return self.low > 0 or self.high < 0


def compare(
    first: Run, second: Run, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> list[Difference]:
    """Differences of all figures, with percentile bootstrap intervals over videos drawn in pairs.

    Args:
        first: run.
        second: run, of the same kind.
        confidence: of the intervals, as in 0.95.
        resamples: how often videos are drawn.
        seed: of the drawing.

    Raises:
        ValueError: the runs have no video in common, are of different kinds, or were matched differently.
    """
    pairs = _pairs(first, second)
    names = list(first.meanings)
    ones, others = ([pair[side] for pair in pairs] for side in (0, 1))
    before, after = (_figures(videos, names) for videos in (ones, others))
    low = high = np.full(len(names), math.nan)
    if len(pairs) > 1:
        low, high = _interval(ones, others, names, confidence, resamples, seed)
    return [
        Difference(name, float(before[k]), float(after[k]), float(low[k]), float(high[k]))
        for k, name in enumerate(names)
    ]


def common_videos(first: Run, second: Run) -> list[str]:
    """Names of the videos that both runs have figures of."""
    return sorted({video.name for video in first.scored} & {video.name for video in second.scored})


def _pairs(first: Run, second: Run) -> list[tuple[VideoScores, VideoScores]]:
    common = common_videos(first, second)
    if not common:
        raise ValueError(f"{first.name} and {second.name} have no video in common")
    ones, others = ({video.name: video for video in run.scored} for run in (first, second))
    if list(first.meanings) != list(second.meanings):
        raise ValueError(f"one of {first.name} and {second.name} is of one target, the other of many objects")
    if first.matching != second.matching:
        raise ValueError(f"{first.name} is matched by {first.matching}, {second.name} by {second.matching}")
    if first.clear_by != second.clear_by:
        raise ValueError(f"{first.name} is counted by {first.clear_by}, {second.name} by {second.clear_by}")
    differing = [name for name in common if ones[name].frames != others[name].frames]
    if differing:
        raise ValueError(f"{differing[0]} was scored on {ones[differing[0]].frames} frames in {first.name}, "
                         f"on {others[differing[0]].frames} in {second.name}")  # fmt: skip
    return [(ones[name], others[name]) for name in common]


def _interval(
    ones: Sequence[VideoScores],
    others: Sequence[VideoScores],
    names: Sequence[str],
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    def difference(drawn: Any) -> NDArray[np.float64]:
        chosen = np.asarray(drawn, np.int64)
        return _figures([others[k] for k in chosen], names) - _figures([ones[k] for k in chosen], names)

    result = bootstrap(
        (np.arange(len(ones)),),
        difference,
        n_resamples=resamples,
        confidence_level=confidence,
        vectorized=False,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def _figures(videos: Sequence[VideoScores], names: Sequence[str]) -> NDArray[np.float64]:
    figures = figures_of(videos)
    return np.array([figures[name] for name in names], np.float64)
