"""CLEAR and identity figures by py-motmetrics, by which SPAX and MP2Net publish theirs.

They differ from TrackEval's in what is mostly tracked (80 % of an object's frames or more, against more than
80 %), in what a fragmentation is, and seldom in which of several tracks near an object it matches: TrackEval
prefers the match of the frame before, py-motmetrics the last one, however long ago it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.identity_groups import LARGEST_TABLE
from tracking_runtime.evaluation.multi_object import IOU_03, FrameBoxes, Matching, apart

FIGURES: Mapping[str, str] = {
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

_COUNTED = (*FIGURES.values(), "num_objects", "num_predictions", "num_detections", "idtp", "idfp", "idfn")
_SOLVER = "scipy"


def count(
    truth: Sequence[FrameBoxes],
    tracked: Sequence[FrameBoxes],
    matching: Matching = IOU_03,
    *,
    largest_table: int = LARGEST_TABLE,
) -> dict[str, float]:
    """What py-motmetrics makes of one sequence, by its own names; its frames in order.

    Args:
        truth: of each frame.
        tracked: in each frame.
        matching: when a track is the object.
        largest_table: see ``groups_apart``.
    """
    groups = apart(truth, tracked, matching, largest_table=largest_table)
    parts = [_counted(*part, matching) for part in groups]
    return combined(parts) if len(parts) > 1 else parts[0]


def _counted(
    truth: Sequence[FrameBoxes], tracked: Sequence[FrameBoxes], matching: Matching
) -> dict[str, float]:
    motmetrics = _motmetrics()
    seen = motmetrics.MOTAccumulator(auto_id=True)
    with motmetrics.lap.set_default_solver(_SOLVER):
        for actual, claimed in zip(truth, tracked, strict=True):
            distances = 1 - matching.similarity(actual.boxes, claimed.boxes)
            distances[distances > 1 - matching.threshold] = np.nan
            seen.update(actual.ids, claimed.ids, distances)
        found = motmetrics.metrics.create().compute(seen, metrics=list(_COUNTED), return_dataframe=False)
    return {name: float(found[name]) for name in _COUNTED}


def combined(sequences: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Several sequences as one, by py-motmetrics."""
    metrics = _motmetrics().metrics.create()
    found = metrics.compute_overall(list(sequences), metrics=list(_COUNTED), return_dataframe=False)
    return {name: float(found[name]) for name in _COUNTED}


def check_installed() -> None:
    """Raise SourceError, which tells how to, where py-motmetrics is not installed."""
    _motmetrics()


def _motmetrics() -> Any:
    try:
        import motmetrics
    except ImportError:
        raise SourceError(
            "py-motmetrics is not installed: pip install 'remote_sensing_tracking[motmetrics]'"
        ) from None
    return motmetrics
