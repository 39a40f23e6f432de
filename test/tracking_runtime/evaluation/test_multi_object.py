"""Metrics of multi-object tracking, their matching rules, and the coverage of one object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackeval.metrics import CLEAR, HOTA, Identity

from tracking_runtime.boxes import FrameBoxes
from tracking_runtime.evaluation.multi_object import (
    ANY_OVERLAP,
    CENTER_5PX,
    IOU_03,
    IOU_04,
    compute_coverage,
    score_tracks,
)


def make_frame(**boxes: list[float]) -> FrameBoxes:
    """Make a frame of boxes such as `a=[x, y, w, h]`. Object a has id 1, b has id 2, and so on."""
    ids = [ord(name) - ord("a") + 1 for name in boxes]
    return FrameBoxes(np.array(ids, np.int64), np.array(list(boxes.values()), np.float64).reshape(-1, 4))


def make_noisy_tracks(
    rng: np.random.Generator, num_frames: int, num_objects: int
) -> tuple[list[FrameBoxes], list[FrameBoxes]]:
    """Make objects with constant velocities that never overlap, and tracks near them, some missing."""
    start = np.stack([np.arange(num_objects) * 60.0, rng.uniform(0, 100, num_objects)], axis=1)
    velocity = rng.normal(0, 1, (num_objects, 2))
    ids = np.arange(num_objects)
    truth, predictions = [], []
    for t in range(num_frames):
        boxes = np.concatenate([start + t * velocity, np.full((num_objects, 2), 10.0)], axis=1)
        is_found = rng.random(num_objects) < 0.9
        noise = rng.normal(0, 1, (int(is_found.sum()), 4))
        truth.append(FrameBoxes(ids, boxes))
        predictions.append(FrameBoxes(ids[is_found], boxes[is_found] + noise))
    return truth, predictions


CAR = [10.0, 10.0, 6.0, 4.0]
OTHER = [50.0, 50.0, 6.0, 4.0]
FAR = [200.0, 200.0, 5.0, 5.0]
TRUTH = [make_frame(a=CAR, b=OTHER)] * 10


def test_perfect_tracks_have_perfect_scores() -> None:
    scores = score_tracks(TRUTH, TRUTH)

    assert (scores.mota, scores.idf1, scores.hota) == pytest.approx((1, 1, 1))
    assert (scores.mostly_tracked, scores.objects, scores.truths) == (2, 2, 20)


def test_no_tracks_miss_everything() -> None:
    scores = score_tracks(TRUTH, [make_frame()] * 10)

    assert (scores.mota, scores.misses, scores.mostly_lost) == (0, 20, 2)


def test_false_tracks_cost_as_much_as_misses() -> None:
    scores = score_tracks(TRUTH, [make_frame(a=CAR, b=FAR)] * 10)

    assert (scores.misses, scores.false_positives, scores.mota) == (10, 10, 0)


def test_identity_change_is_one_switch() -> None:
    predictions = [make_frame(a=CAR)] * 5 + [make_frame(b=CAR)] * 5

    scores = score_tracks([make_frame(a=CAR)] * 10, predictions)

    assert scores.identity_switches == 1
    assert scores.mota == pytest.approx(1 - 1 / 10)
    assert scores.idf1 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("shift", "matching_rules"),
    [
        (0.0, {IOU_03, IOU_04, ANY_OVERLAP, CENTER_5PX}),
        (2.9, {IOU_03, ANY_OVERLAP, CENTER_5PX}),
        (4.5, {ANY_OVERLAP, CENTER_5PX}),
        (6.5, set()),
    ],
)
def test_matching_rules_match_up_to_their_threshold(shift: float, matching_rules: set[object]) -> None:
    truth = [make_frame(a=CAR)]
    predictions = [make_frame(a=[CAR[0] + shift, *CAR[1:]])]

    for rule in (IOU_03, IOU_04, ANY_OVERLAP, CENTER_5PX):
        is_match = score_tracks(truth, predictions, rule).misses == 0
        assert is_match == (rule in matching_rules), rule.name


@pytest.mark.parametrize(("distance", "is_match"), [(4.99, True), (5.0, False)])
def test_center_matching_excludes_exactly_5_px(distance: float, is_match: bool) -> None:
    predictions = [make_frame(a=[CAR[0] + distance, *CAR[1:]])]

    scores = score_tracks([make_frame(a=CAR)], predictions, CENTER_5PX)

    assert scores.recall == scores.idf1 == float(is_match)


def test_scores_equal_trackeval() -> None:
    truth, predictions = make_noisy_tracks(np.random.default_rng(3), num_frames=30, num_objects=12)
    data = {
        "num_timesteps": 30,
        "num_gt_ids": 12,
        "num_tracker_ids": 12,
        "num_gt_dets": sum(len(frame.ids) for frame in truth),
        "num_tracker_dets": sum(len(frame.ids) for frame in predictions),
        "gt_ids": [frame.ids for frame in truth],
        "tracker_ids": [frame.ids for frame in predictions],
        "similarity_scores": [
            IOU_03.similarity(a.boxes, b.boxes) for a, b in zip(truth, predictions, strict=True)
        ],
    }
    clear = CLEAR({"THRESHOLD": 0.3, "PRINT_CONFIG": False}).eval_sequence(data)
    identity = Identity({"THRESHOLD": 0.3, "PRINT_CONFIG": False}).eval_sequence(data)
    hota = HOTA().eval_sequence(data)

    scores = score_tracks(truth, predictions)

    assert (scores.mota, scores.idf1, scores.hota) == (clear["MOTA"], identity["IDF1"], hota["HOTA"].mean())
    assert (scores.identity_switches, scores.mostly_tracked) == (clear["IDSW"], clear["MT"])
    assert 0 < scores.mota < 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_scores_do_not_depend_on_ids_or_position(seed: int) -> None:
    truth, predictions = make_noisy_tracks(np.random.default_rng(seed), num_frames=8, num_objects=5)
    offset = np.array([128, 64, 0, 0])
    moved_truth = [FrameBoxes(frame.ids + 50, frame.boxes + offset) for frame in truth]
    moved_predictions = [FrameBoxes(1000 - 3 * frame.ids, frame.boxes + offset) for frame in predictions]

    scores = score_tracks(truth, predictions)
    moved_scores = score_tracks(moved_truth, moved_predictions)

    assert vars(moved_scores) == pytest.approx(vars(scores))


def test_frames_without_objects_count_false_tracks() -> None:
    scores = score_tracks([make_frame(a=CAR), make_frame()], [make_frame(a=CAR)] * 2)

    assert scores.false_positives == 1


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 frames of predictions for 2 frames of ground truth"):
        score_tracks(TRUTH[:2], TRUTH[:1])


def test_duplicate_id_in_frame_is_refused() -> None:
    frame = FrameBoxes(np.array([7, 7]), np.array([CAR, OTHER]))

    with pytest.raises(ValueError, match="id 7 is twice in frame 0"):
        score_tracks([frame], [frame])


def test_coverage_counts_frames_and_identities() -> None:
    truth = [make_frame(a=CAR)] * 4 + [make_frame()]
    near = [CAR[0] + 3, *CAR[1:]]
    predictions = [
        make_frame(b=near),
        make_frame(b=near),
        make_frame(c=near),
        make_frame(),
        make_frame(b=CAR),
    ]

    coverage = compute_coverage(truth, predictions)

    assert (coverage.num_frames, coverage.num_covered) == (4, 3)
    assert (coverage.num_identities, coverage.num_longest_identity) == (2, 2)
    assert coverage.fraction == 0.75


def test_video_without_objects_and_tracks_has_zero_counts() -> None:
    frame = FrameBoxes(np.zeros(0, np.int64), np.zeros((0, 4)))

    scores = score_tracks([frame] * 3, [frame] * 3)

    assert (scores.truths, scores.false_positives, scores.objects) == (0, 0, 0)
