from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackeval.metrics import CLEAR, HOTA, Identity

from tracking_runtime.evaluation.multi_object import (
    ANY_OVERLAP,
    CENTRE_5PX,
    IOU_03,
    IOU_04,
    FrameBoxes,
    coverage,
    evaluate,
)


def frame(**boxes: list[float]) -> FrameBoxes:
    """``a=[x, y, w, h]``: object a is number 1, b number 2 and so on."""
    ids = [ord(name) - ord("a") + 1 for name in boxes]
    return FrameBoxes(np.array(ids, np.int64), np.array(list(boxes.values()), np.float64).reshape(-1, 4))


CAR = [10.0, 10.0, 6.0, 4.0]
OTHER = [50.0, 50.0, 6.0, 4.0]
TRUTH = [frame(a=CAR, b=OTHER)] * 10


def test_perfect_tracks() -> None:
    scores = evaluate(TRUTH, TRUTH)
    assert (scores.mota, scores.idf1, scores.hota) == pytest.approx((1, 1, 1))
    assert (scores.mostly_tracked, scores.objects, scores.truths) == (2, 2, 20)


def test_no_tracks() -> None:
    scores = evaluate(TRUTH, [frame()] * 10)
    assert (scores.mota, scores.misses, scores.mostly_lost) == (0, 20, 2)


def test_false_tracks_cost_as_much_as_misses() -> None:
    scores = evaluate(TRUTH, [frame(a=CAR, b=[200, 200, 5, 5])] * 10)
    assert (scores.misses, scores.false_positives, scores.mota) == (10, 10, 0)


def test_an_identity_that_changes() -> None:
    tracked = [frame(a=CAR)] * 5 + [frame(b=CAR)] * 5
    scores = evaluate([frame(a=CAR)] * 10, tracked)
    assert scores.identity_switches == 1
    assert scores.mota == pytest.approx(1 - 1 / 10)
    assert scores.idf1 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("shift", "matches"),
    [
        (0.0, {IOU_03, IOU_04, ANY_OVERLAP, CENTRE_5PX}),
        (2.9, {IOU_03, ANY_OVERLAP, CENTRE_5PX}),
        (4.5, {ANY_OVERLAP, CENTRE_5PX}),
        (6.5, set()),
    ],
)
def test_matching_rules(shift: float, matches: set[object]) -> None:
    tracked = [frame(a=[CAR[0] + shift, *CAR[1:]])]
    for rule in (IOU_03, IOU_04, ANY_OVERLAP, CENTRE_5PX):
        assert (evaluate([frame(a=CAR)], tracked, rule).misses == 0) == (rule in matches), rule.name


@pytest.mark.parametrize(("distance", "matches"), [(4.99, True), (5.0, False)])
def test_exactly_5_px_is_too_far(distance: float, matches: bool) -> None:
    scores = evaluate([frame(a=CAR)], [frame(a=[CAR[0] + distance, *CAR[1:]])], CENTRE_5PX)
    assert scores.recall == scores.idf1 == float(matches)


def test_figures_are_trackeval_s_own() -> None:
    truth, tracked = noisy_tracks(np.random.default_rng(3), frames=30, objects=12)
    data = {
        "num_timesteps": 30,
        "num_gt_ids": 12,
        "num_tracker_ids": 12,
        "num_gt_dets": sum(len(objects.ids) for objects in truth),
        "num_tracker_dets": sum(len(objects.ids) for objects in tracked),
        "gt_ids": [objects.ids for objects in truth],
        "tracker_ids": [objects.ids for objects in tracked],
        "similarity_scores": [
            IOU_03.similarity(a.boxes, b.boxes) for a, b in zip(truth, tracked, strict=True)
        ],
    }
    clear = CLEAR({"THRESHOLD": 0.3, "PRINT_CONFIG": False}).eval_sequence(data)
    identity = Identity({"THRESHOLD": 0.3, "PRINT_CONFIG": False}).eval_sequence(data)
    hota = HOTA().eval_sequence(data)
    scores = evaluate(truth, tracked)
    assert (scores.mota, scores.idf1, scores.hota) == (clear["MOTA"], identity["IDF1"], hota["HOTA"].mean())
    assert (scores.identity_switches, scores.mostly_tracked) == (clear["IDSW"], clear["MT"])
    assert 0 < scores.mota < 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_figures_do_not_depend_on_names_or_place(seed: int) -> None:
    truth, tracked = noisy_tracks(np.random.default_rng(seed), frames=8, objects=5)
    move = np.array([128, 64, 0, 0])
    moved = [FrameBoxes(objects.ids + 50, objects.boxes + move) for objects in truth]
    renamed = [FrameBoxes(1000 - 3 * objects.ids, objects.boxes + move) for objects in tracked]
    plain, other = evaluate(truth, tracked), evaluate(moved, renamed)
    assert vars(other) == pytest.approx(vars(plain))


def noisy_tracks(
    rng: np.random.Generator, frames: int, objects: int
) -> tuple[list[FrameBoxes], list[FrameBoxes]]:
    """Objects on steady ways that do not meet, and tracks near them, some missing."""
    start = np.stack([np.arange(objects) * 60.0, rng.uniform(0, 100, objects)], axis=1)
    velocity = rng.normal(0, 1, (objects, 2))
    truth, tracked = [], []
    for t in range(frames):
        boxes = np.concatenate([start + t * velocity, np.full((objects, 2), 10.0)], axis=1)
        found = rng.random(objects) < 0.9
        noise = rng.normal(0, 1, (int(found.sum()), 4))
        truth.append(FrameBoxes(np.arange(objects), boxes))
        tracked.append(FrameBoxes(np.arange(objects)[found], boxes[found] + noise))
    return truth, tracked


def test_frames_without_objects_count_false_tracks() -> None:
    scores = evaluate([frame(a=CAR), frame()], [frame(a=CAR), frame(a=CAR)])
    assert scores.false_positives == 1


def test_lengths_must_agree_and_ids_are_unique() -> None:
    with pytest.raises(ValueError, match="1 tracked frames for 2"):
        evaluate(TRUTH[:2], TRUTH[:1])
    twice = FrameBoxes(np.array([7, 7]), np.array([CAR, OTHER]))
    with pytest.raises(ValueError, match="id 7 is twice in frame 0"):
        evaluate([twice], [twice])


def test_coverage_counts_frames_of_the_object_and_who_covered_them() -> None:
    truth = [frame(a=CAR)] * 4 + [frame()]
    near = [CAR[0] + 3, *CAR[1:]]
    tracked = [frame(b=near), frame(b=near), frame(c=near), frame(), frame(b=CAR)]
    covered = coverage(truth, tracked)
    assert (covered.frames, covered.covered, covered.identities, covered.longest_identity) == (4, 3, 2, 2)
    assert covered.share == 0.75


def test_a_video_in_which_nothing_is_and_nothing_is_tracked():
    empty = FrameBoxes(np.zeros(0, np.int64), np.zeros((0, 4)))
    scores = evaluate([empty] * 3, [empty] * 3)
    assert (scores.truths, scores.false_positives, scores.objects) == (0, 0, 0)
