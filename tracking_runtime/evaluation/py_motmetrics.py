"""CLEAR and identity metrics by py-motmetrics, the tool by which SPAX and MP2Net publish theirs.

The metrics differ from TrackEval's in three points:

- mostly tracked: 80 % of an object's frames or more, in TrackEval more than 80 %;
- fragmentations;
- seldom in the match of an object with several tracks nearby: TrackEval prefers the match of the previous
frame,
  py-motmetrics the last match, however old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracking_runtime.boxes import FrameBoxes
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.identity_groups import MAX_TABLE_SIZE
from tracking_runtime.evaluation.multi_object import IOU_03, Matching, split_by_identity_group

METRIC_NAMES: Mapping[str, str] = {
    "MOTA": "mota",
    "IDF1": "idf1",
    "recall": "recall",
    "precision": "precision",
    "IDs": "num_switches",
    "FP": "num_false_positives",
    "FN": "num_misses",
    "MT": "mostly_tracked",
    "ML": "mostly_lost",
}
"""Name in py-motmetrics of each metric."""

_COMPUTED = (
    *METRIC_NAMES.values(), "num_objects", "num_predictions", "num_detections", "idtp", "idfp", "idfn"
)  # fmt: skip
_SOLVER = "scipy"


def compute_counts(
    truth: Sequence[FrameBoxes],
    predictions: Sequence[FrameBoxes],
    matching: Matching = IOU_03,
    *,
    max_table_size: int = MAX_TABLE_SIZE,
) -> dict[str, float]:
    """Compute py-motmetrics' results of one sequence, by its own names.

    Args:
        truth: true boxes of each frame in order.
        predictions: predicted boxes of each frame in order.
        matching: rule of a match.
        max_table_size: size of a table of identities, see `find_identity_groups`.
    """
    groups = split_by_identity_group(truth, predictions, matching, max_table_size=max_table_size)
    parts = [_compute_group(*group, matching) for group in groups]
    return combine_counts(parts) if len(parts) > 1 else parts[0]


def _compute_group(
    truth: Sequence[FrameBoxes], predictions: Sequence[FrameBoxes], matching: Matching
) -> dict[str, float]:
    motmetrics = _import_motmetrics()
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    with motmetrics.lap.set_default_solver(_SOLVER):
        for true, predicted in zip(truth, predictions, strict=True):
            distances = 1 - matching.similarity(true.boxes, predicted.boxes)
            distances[distances > 1 - matching.threshold] = np.nan
            accumulator.update(true.ids, predicted.ids, distances)
        host = motmetrics.metrics.create()
        results = host.compute(accumulator, metrics=list(_COMPUTED), return_dataframe=False)
    return {name: float(results[name]) for name in _COMPUTED}


def combine_counts(sequences: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Combine several sequences by py-motmetrics, as if they were one."""
    host = _import_motmetrics().metrics.create()
    results = host.compute_overall(list(sequences), metrics=list(_COMPUTED), return_dataframe=False)
    return {name: float(results[name]) for name in _COMPUTED}


def check_installed() -> None:
    """Raise SourceError, with the command that installs py-motmetrics, if it is missing."""
    _import_motmetrics()


def _import_motmetrics() -> Any:
    try:
        import motmetrics
    except ImportError:
        raise SourceError(
            "py-motmetrics is not installed: pip install 'remote_sensing_tracking[motmetrics]'"
        ) from None
    return motmetrics
