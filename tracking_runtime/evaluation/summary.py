"""Summary of many videos: metrics over all videos, by attribute and by class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracking_runtime.errors import EvaluationError
from tracking_runtime.evaluation.video_scores import VideoScores, average_one_pass_scores, compute_metrics


@dataclass(frozen=True)
class Summary:
    """Metrics of many videos.

    Attributes:
        num_videos: number of videos that count.
        metrics: means over videos for a single target; for many objects the metrics of all boxes
            together.
        metrics_by_attribute: metrics of the videos with each attribute.
        metrics_by_class: metrics of the objects of each class; empty for a single target.
        curves: success and precision at their thresholds; empty for many objects.
    """

    num_videos: int
    metrics: Mapping[str, float]
    metrics_by_attribute: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    metrics_by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the summary with the keys of `scores.json`. Missing metrics are NaN."""
        return {
            "videos": self.num_videos,
            "figures": self.metrics,
            "by_attribute": self.metrics_by_attribute,
            "by_class": self.metrics_by_class,
            "curves": self.curves,
        }


def summarize(videos: Sequence[VideoScores]) -> Summary:
    """Compute the metrics of many videos, all of one kind.

    Raises:
        EvaluationError: no video has a frame that counts, or the videos are of both kinds.
    """
    scored = [video for video in videos if video.details]
    if not scored:
        raise EvaluationError("no video has a frame that counts")
    name_by_kind = {"counts" in video.details: video.name for video in scored}
    if len(name_by_kind) > 1:
        raise EvaluationError(
            f"{name_by_kind[False]} is scored as a single target and {name_by_kind[True]} as many objects, "
            "which have no metrics in common; evaluate them separately, or check the columns of the files"
        )
    attributes = sorted({attribute for video in scored for attribute in video.attributes})
    return Summary(
        num_videos=len(scored),
        metrics=compute_video_metrics(scored),
        metrics_by_attribute={
            attribute: compute_video_metrics([video for video in scored if attribute in video.attributes])
            for attribute in attributes
        },
        metrics_by_class=_compute_metrics_by_class(scored),
        curves=_compute_curves(scored),
    )


def compute_video_metrics(videos: Sequence[VideoScores]) -> dict[str, float]:
    """Compute the metrics of videos together, all of one kind and each with a frame that counts."""
    return compute_metrics([video.details for video in videos])


def _compute_metrics_by_class(videos: Sequence[VideoScores]) -> dict[str, dict[str, float]]:
    details_by_class: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for video in videos:
        for name, details in video.details.get("classes", {}).items():
            details_by_class[name].append(details)
    return {name: compute_metrics(details_by_class[name]) for name in sorted(details_by_class)}


def _compute_curves(videos: Sequence[VideoScores]) -> dict[str, tuple[float, ...]]:
    if "otb" not in videos[0].details:
        return {}
    mean = average_one_pass_scores([video.details for video in videos], "otb")
    return {
        "success": tuple(mean.success_curve.tolist()),
        "precision": tuple(mean.precision_curve.tolist()),
    }
