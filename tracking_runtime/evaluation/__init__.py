"""Metrics, replay of trackers over videos, evaluation runs and their comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from tracking_runtime.evaluation.comparison import Difference, compare_runs
    from tracking_runtime.evaluation.run import EvaluateOptions, EvaluationRun, evaluate, read_run
    from tracking_runtime.evaluation.video_scores import VideoScores, score_video

__all__ = [
    "Difference",
    "EvaluateOptions",
    "EvaluationRun",
    "VideoScores",
    "compare_runs",
    "evaluate",
    "read_run",
    "score_video",
]

__getattr__ = make_lazy_exports(
    __name__,
    {
        **dict.fromkeys(["Difference", "compare_runs"], "tracking_runtime.evaluation.comparison"),
        **dict.fromkeys(
            ["EvaluateOptions", "EvaluationRun", "evaluate", "read_run"], "tracking_runtime.evaluation.run"
        ),
        **dict.fromkeys(["VideoScores", "score_video"], "tracking_runtime.evaluation.video_scores"),
    },
)
