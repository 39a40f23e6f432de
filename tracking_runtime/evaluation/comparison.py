"""Comparison of two runs by the videos that both have, with paired bootstrap confidence intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from tracking_runtime.errors import EvaluationError
from tracking_runtime.evaluation.run import EvaluationRun
from tracking_runtime.evaluation.summary import compute_video_metrics
from tracking_runtime.evaluation.video_scores import VideoScores
from tracking_runtime.io.json_data import to_json_data

NUM_RESAMPLES = 2000
"""Default number of bootstrap samples."""

CONFIDENCE = 0.95
"""Default confidence level of the intervals."""


@dataclass(frozen=True)
class Difference:
    """Difference of one metric between two runs over the same videos.

    Attributes:
        metric: name of the metric.
        first: value of the first run.
        second: value of the second run.
        low: lower end of the confidence interval of second - first; NaN for a single video.
        high: upper end; NaN for a single video.
    """

    metric: str
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
        """True if the interval excludes 0."""
        return self.low > 0 or self.high < 0


def compare_runs(
    first: EvaluationRun,
    second: EvaluationRun,
    *,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> list[Difference]:
    """Compute the differences of all metrics, with percentile bootstrap intervals over pairs of videos.

    Args:
        first: run, for example from `read_run`.
        second: run of the same kind.
        confidence: confidence level of the intervals, 0..1. Higher widens them.
        num_resamples: number of bootstrap samples. More give more stable intervals.
        seed: seed of the random numbers.

    Raises:
        EvaluationError: the runs have no video in common, or were scored by different rules.
    """
    pairs = _pair_videos(first, second)
    first_videos = [pair[0] for pair in pairs]
    second_videos = [pair[1] for pair in pairs]
    names = list(first.metric_descriptions)
    first_values = _compute_values(first_videos, names)
    second_values = _compute_values(second_videos, names)
    low = high = np.full(len(names), math.nan)
    if len(pairs) > 1:
        low, high = _compute_intervals(first_videos, second_videos, names, confidence, num_resamples, seed)
    return [
        Difference(name, float(first_values[k]), float(second_values[k]), float(low[k]), float(high[k]))
        for k, name in enumerate(names)
    ]


def find_common_videos(first: EvaluationRun, second: EvaluationRun) -> list[str]:
    """Return the sorted names of the videos that both runs have scored."""
    return sorted(
        {video.name for video in first.scored_videos} & {video.name for video in second.scored_videos}
    )


def make_names_distinct(first: EvaluationRun, second: EvaluationRun) -> tuple[EvaluationRun, EvaluationRun]:
    """Return the runs. If they have the same name, prefix it with the folder above the run's."""
    if first.name != second.name:
        return first, second
    return _prefix_name(first), _prefix_name(second)


def write_differences(path: Path, differences: Sequence[Difference]) -> None:
    """Write differences as JSON."""
    content = [
        {
            "figure": difference.metric,
            "first": difference.first,
            "second": difference.second,
            "low": difference.low,
            "high": difference.high,
        }
        for difference in differences
    ]
    path.write_text(json.dumps(to_json_data(content), indent=2) + "\n", encoding="utf-8")


def _prefix_name(run: EvaluationRun) -> EvaluationRun:
    return replace(run, name=f"{run.folder.resolve().parent.name}/{run.name}")


def _pair_videos(first: EvaluationRun, second: EvaluationRun) -> list[tuple[VideoScores, VideoScores]]:
    """Return the scores of each common video. Raise EvaluationError if the runs cannot be compared."""
    names = find_common_videos(first, second)
    if not names:
        raise EvaluationError(f"{first.name} and {second.name} have no video in common")
    cannot_compare = f"cannot compare {first.name} and {second.name}"
    if list(first.metric_descriptions) != list(second.metric_descriptions):
        raise EvaluationError(f"{cannot_compare}: one is of a single target, the other of many objects")
    if first.matching != second.matching:
        raise EvaluationError(
            f"{cannot_compare}: matched by {first.matching} and {second.matching}; "
            "evaluate both with the same --matching"
        )
    if first.clear_by != second.clear_by:
        raise EvaluationError(
            f"{cannot_compare}: CLEAR metrics by {first.clear_by} and {second.clear_by}; "
            "evaluate both with the same --clear-by"
        )
    first_videos = {video.name: video for video in first.scored_videos}
    second_videos = {video.name: video for video in second.scored_videos}
    pairs = [(first_videos[name], second_videos[name]) for name in names]
    for one, other in pairs:
        if one.num_frames != other.num_frames:
            raise EvaluationError(
                f"{cannot_compare}: {one.name} was scored on {one.num_frames} and {other.num_frames} frames; "
                "evaluate both with the same ground truth"
            )
    return pairs


def _compute_intervals(
    first_videos: Sequence[VideoScores],
    second_videos: Sequence[VideoScores],
    names: Sequence[str],
    confidence: float,
    num_resamples: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper ends of the interval of each metric, (n,)."""

    def compute_difference(sample: Any) -> NDArray[np.float64]:
        indices = np.asarray(sample, np.int64)
        second_values = _compute_values([second_videos[k] for k in indices], names)
        return second_values - _compute_values([first_videos[k] for k in indices], names)

    result = bootstrap(
        (np.arange(len(first_videos)),),
        compute_difference,
        n_resamples=num_resamples,
        confidence_level=confidence,
        vectorized=False,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def _compute_values(videos: Sequence[VideoScores], names: Sequence[str]) -> NDArray[np.float64]:
    metrics = compute_video_metrics(videos)
    return np.array([metrics[name] for name in names], np.float64)
