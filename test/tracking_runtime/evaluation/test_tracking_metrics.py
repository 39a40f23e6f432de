"""The metrics equal those of TrackEval on random sequences, single and combined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tracking_runtime.evaluation.tracking_metrics import (
    TrackingData,
    combine_clear,
    combine_hota,
    combine_identity,
    compute_clear,
    compute_hota,
    compute_identity,
)

NUM_SEQUENCES = 400


def renumber(frames: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    used = np.unique(np.concatenate(frames))
    return [np.searchsorted(used, ids) for ids in frames], len(used)


def make_sequence(seed: int) -> TrackingData:
    """Make a sequence with ties, gaps, and sometimes without objects or tracks."""
    rng = np.random.default_rng(seed)
    num_objects, num_tracks = rng.integers(0, 6, 2)
    true_ids, predicted_ids, similarities = [], [], []
    for _ in range(rng.integers(1, 20)):
        objects, tracks = (np.flatnonzero(rng.random(n) < 0.8) for n in (num_objects, num_tracks))
        values = rng.choice([0, 0, 0.1, 0.3, 0.5, 0.7, 0.9, rng.random()], (len(objects), len(tracks)))
        true_ids.append(objects)
        predicted_ids.append(tracks)
        similarities.append(values)
    true_ids, num_true_ids = renumber(true_ids)
    predicted_ids, num_predicted_ids = renumber(predicted_ids)
    num_boxes = [sum(map(len, frames)) for frames in (true_ids, predicted_ids)]
    return TrackingData(true_ids, predicted_ids, similarities, num_true_ids, num_predicted_ids, *num_boxes)


def to_trackeval(data: TrackingData) -> dict[str, Any]:
    return {
        "num_timesteps": len(data.true_ids),
        "num_gt_ids": data.num_true_ids,
        "num_tracker_ids": data.num_predicted_ids,
        "num_gt_dets": data.num_true_boxes,
        "num_tracker_dets": data.num_predicted_boxes,
        "gt_ids": data.true_ids,
        "tracker_ids": data.predicted_ids,
        "similarity_scores": data.similarities,
    }


@pytest.mark.parametrize("threshold", [0.3, 1e-7, 0.5 + 1e-9])
def test_metrics_of_random_sequences_equal_trackeval(threshold: float) -> None:
    metrics = pytest.importorskip("trackeval", reason="needs TrackEval").metrics
    options = {"THRESHOLD": threshold, "PRINT_CONFIG": False}
    sequences = [make_sequence(seed) for seed in range(NUM_SEQUENCES)]

    for reference, compute, combine in (
        (metrics.CLEAR(options), lambda data: compute_clear(data, threshold), combine_clear),
        (metrics.Identity(options), lambda data: compute_identity(data, threshold), combine_identity),
        (metrics.HOTA(), compute_hota, combine_hota),
    ):
        expected = [reference.eval_sequence(to_trackeval(data)) for data in sequences]
        results = [compute(data) for data in sequences]
        combined = reference.combine_sequences(dict(enumerate(expected)))
        for result, wanted in (*zip(results, expected, strict=True), (combine(results), combined)):
            for name, value in result.items():
                np.testing.assert_allclose(value, wanted[name], rtol=1e-12, atol=1e-12, err_msg=name)


def test_perfect_tracks_have_perfect_metrics() -> None:
    ids = [np.arange(3)] * 5
    data = TrackingData(ids, ids, [np.eye(3)] * 5, 3, 3, 15, 15)

    assert compute_clear(data, 0.3)["MOTA"] == 1
    assert compute_identity(data, 0.3)["IDF1"] == 1
    np.testing.assert_array_equal(compute_hota(data)["HOTA"], 1)
