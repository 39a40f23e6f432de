from __future__ import annotations

import numpy as np
import pytest

from spax_ros.evaluation import ANY_OVERLAP, CENTRE_5PX, IOU_03, IOU_04, FrameBoxes, coverage, evaluate


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
