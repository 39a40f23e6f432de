"""Identity groups that never overlap: the same metrics, from tables of limited size."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.boxes import FrameBoxes, as_boxes, intersection_over_union
from tracking_runtime.evaluation import py_motmetrics
from tracking_runtime.evaluation.identity_groups import find_identity_groups
from tracking_runtime.evaluation.multi_object import CENTER_5PX, IOU_03, compute_counts, score_tracks

Frames = list[FrameBoxes]


def make_traffic(seed: int, *, num_frames: int = 40, num_lanes: int = 6) -> tuple[Frames, Frames]:
    """Make cars that follow each other on lanes, some of which touch, and tracks with interruptions."""
    rng = np.random.default_rng(seed)
    lanes = np.arange(num_lanes)
    truth, predictions = [], []
    for t in range(num_frames):
        is_visible = rng.random(num_lanes) < 0.9
        boxes = as_boxes([[3 * (t % 10) + 9 * (lane // 2), 8 * lane, 10, 10] for lane in lanes])
        is_found = rng.random(num_lanes) < 0.8
        false_boxes = as_boxes([[200 + t, 0, 5, 5]] * int(rng.random() < 0.2))
        noise = rng.normal(0, 1, (int(is_found.sum()), 4)) * [1, 1, 0.1, 0.1]
        track_ids = (lanes + 100 * (t // 7))[is_found]
        false_ids = np.full(len(false_boxes), 5000 + t)
        truth.append(FrameBoxes((lanes + num_lanes * (t // 10))[is_visible], boxes[is_visible]))
        predictions.append(
            FrameBoxes(
                np.concatenate([track_ids, false_ids]), np.concatenate([boxes[is_found] + noise, false_boxes])
            )
        )
    return truth, predictions


@pytest.mark.parametrize("matching", [IOU_03, CENTER_5PX])
@given(seed=st.integers(0, 10_000), max_table_size=st.sampled_from([0, 50, 400]))
@settings(max_examples=15, deadline=None)
def test_scores_of_groups_equal_those_of_one_table(matching, seed, max_table_size):
    truth, predictions = make_traffic(seed)

    grouped = compute_counts(truth, predictions, matching, max_table_size=max_table_size).scores

    expected = score_tracks(truth, predictions, matching)
    assert vars(grouped) == pytest.approx(vars(expected), abs=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_py_motmetrics_of_groups_equals_one_table(seed):
    pytest.importorskip("motmetrics", reason="needs the extra motmetrics")
    truth, predictions = make_traffic(seed)

    grouped = py_motmetrics.compute_counts(truth, predictions, max_table_size=50)

    assert grouped == pytest.approx(py_motmetrics.compute_counts(truth, predictions), abs=1e-12)


def test_groups_partition_identities_and_are_small():
    truth, predictions = make_traffic(1, num_frames=400)
    truth_ids = [frame.ids for frame in truth]
    prediction_ids = [frame.ids for frame in predictions]
    overlaps = [intersection_over_union(a.boxes, b.boxes) for a, b in zip(truth, predictions, strict=True)]

    groups = list(find_identity_groups(truth_ids, prediction_ids, overlaps, max_table_size=6000))

    num_true, num_predicted = np.zeros(400, int), np.zeros(400, int)
    group_of: dict[tuple[str, int], int] = {}
    for number, group in enumerate(groups):
        for frame in group:
            index = frame.frame_index
            num_true[index] += frame.truth_mask.sum()
            num_predicted[index] += frame.prediction_mask.sum()
            assert not overlaps[index][np.ix_(frame.truth_mask, ~frame.prediction_mask)].any()
            members = [("true", name) for name in truth_ids[index][frame.truth_mask]]
            members += [("predicted", name) for name in prediction_ids[index][frame.prediction_mask]]
            assert all(group_of.setdefault(member, number) == number for member in members)
    assert [len(ids) for ids in truth_ids] == num_true.tolist()
    assert [len(ids) for ids in prediction_ids] == num_predicted.tolist()
    table_shapes = np.zeros((len(groups), 2), int)
    for (kind, _), number in group_of.items():
        table_shapes[number, int(kind == "predicted")] += 1
    assert len(groups) > 2
    assert table_shapes.prod(axis=1).max() <= 6000


@pytest.mark.slow
def test_scores_of_long_video_need_little_memory():
    """1000 true and 2000 predicted identities: TrackEval would hold their one table 20 times."""
    truth, predictions = [], []
    for t in range(300):
        boxes = as_boxes([[20 * lane, t % 10, 10, 10] for lane in range(20)])
        truth.append(FrameBoxes(np.arange(20) + 20 * (t // 6), boxes))
        predictions.append(FrameBoxes(np.arange(20) + 20 * (t // 3), boxes))

    tracemalloc.start()
    scores = compute_counts(truth, predictions).scores
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (scores.idf1, scores.identity_switches) == (pytest.approx(0.5), 1000)
    assert peak_bytes < 100e6
