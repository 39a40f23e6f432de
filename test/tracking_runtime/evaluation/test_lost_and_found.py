"""LOST and re-detection statistics."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.evaluation.lost_and_found import (
    LostAndFound,
    combine_lost_and_found,
    count_lost_and_found,
)

BOX = np.array([10.0, 10.0, 20.0, 10.0])
OTHER_BOX = np.array([25.0, 10.0, 20.0, 10.0])  # overlaps BOX by less than half
ABSENT = np.full(4, np.nan)
count = partial(count_lost_and_found, width=100, height=50)


def make_frames(*parts: tuple[object, int]) -> np.ndarray:
    """Repeat each value for its number of frames."""
    return np.concatenate(
        [np.repeat(np.asarray(value)[None], num_frames, axis=0) for value, num_frames in parts]
    )


@pytest.mark.parametrize(("num_frames_before_report", "noticed"), [(14, 1), (15, 0)])
def test_absence_is_noticed_within_10_frames(num_frames_before_report: int, noticed: int) -> None:
    truth = make_frames((BOX, 5), (ABSENT, 12), (BOX, 20))
    predicted = make_frames((BOX, 37))
    num = num_frames_before_report
    is_lost = make_frames((False, num), (True, 22 - num), (False, 15))

    counts = count(predicted, is_lost, truth)

    assert (counts.absences, counts.noticed) == (1, noticed)


def test_absence_shorter_than_limit_does_not_count() -> None:
    truth = make_frames((BOX, 5), (ABSENT, 9), (BOX, 20))

    counts = count(make_frames((BOX, 34)), make_frames((False, 34)), truth)

    assert counts.absences == 0


@pytest.mark.parametrize(
    ("predicted", "is_lost", "found"),
    [
        (make_frames((OTHER_BOX, 31), (BOX, 6)), make_frames((False, 37)), 1),
        (make_frames((OTHER_BOX, 32), (BOX, 5)), make_frames((False, 37)), 0),
        (make_frames((BOX, 37)), make_frames((False, 17), (True, 20)), 0),
        (make_frames((ABSENT, 37)), make_frames((False, 37)), 0),
    ],
    ids=["last frame of the limit", "too late", "reported as LOST", "no box"],
)
def test_return_is_found_if_not_lost_and_overlapping(
    predicted: np.ndarray, is_lost: np.ndarray, found: int
) -> None:
    truth = make_frames((BOX, 5), (ABSENT, 12), (BOX, 20))

    counts = count(predicted, is_lost, truth)

    assert (counts.returns, counts.found) == (1, found)


def test_return_shorter_than_limit_does_not_count() -> None:
    truth = make_frames((BOX, 5), (ABSENT, 12), (BOX, 14))

    counts = count(make_frames((BOX, 31)), make_frames((False, 31)), truth)

    assert counts.returns == 0


def test_frames_after_return_are_not_settled() -> None:
    truth = make_frames((BOX, 5), (ABSENT, 10), (BOX, 25))
    is_lost = make_frames((False, 4), (True, 1), (True, 10), (True, 5), (False, 19), (True, 1))

    counts = count(make_frames((BOX, 40)), is_lost, truth)

    assert (counts.present, counts.lost_present) == (30, 7)
    assert (counts.settled, counts.lost_settled) == (15, 2)
    assert counts.metrics == {
        "called lost within 10 frames": 1.0,
        "- where it left the view": pytest.approx(np.nan, nan_ok=True),
        "called lost while visible": 7 / 30,
        "- but for 15 frames after a return": 2 / 15,
        "found within 15 frames of its return": 1.0,
        "- where it had left the view": pytest.approx(np.nan, nan_ok=True),
    }


@pytest.mark.parametrize(
    ("last_box", "has_left"),
    [
        ((0, 10, 8, 10), True),
        ((93, 10, 6, 10), True),
        ((10, 0, 20, 5), True),
        ((10, 42, 20, 8), True),
        ((2, 2, 96, 46), False),
    ],
)
def test_target_last_seen_at_border_has_left(last_box: tuple[float, ...], has_left: bool) -> None:
    truth = make_frames((BOX, 5), (last_box, 1), (ABSENT, 12), (BOX, 20))
    is_lost = make_frames((False, 8), (True, 10), (False, 20))

    noticed = count(make_frames((BOX, 38)), is_lost, truth)
    missed = count(make_frames((ABSENT, 38)), make_frames((False, 38)), truth)

    assert (noticed.absences, noticed.noticed, noticed.returns, noticed.found) == (1, 1, 1, 1)
    assert (noticed.exits, noticed.exits_noticed) == (has_left, has_left)
    assert (noticed.entries, noticed.entries_found) == (has_left, has_left)
    assert (missed.exits, missed.exits_noticed) == (has_left, 0)
    assert (missed.entries, missed.entries_found) == (has_left, 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_counts_are_consistent(frames: list[tuple[bool, bool]]) -> None:
    is_present, is_lost = (np.array(column) for column in zip(*frames, strict=True))
    truth = np.where(is_present[:, None], BOX, ABSENT)

    counts = count(np.tile(BOX, (len(is_lost), 1)), is_lost, truth)

    assert 0 <= counts.noticed <= counts.absences
    assert 0 <= counts.found <= counts.returns
    assert counts.settled <= counts.present == is_present.sum()
    assert counts.lost_settled <= counts.lost_present
    assert counts.lost_present == (is_present & is_lost).sum()
    assert 0 <= counts.exits_noticed <= counts.exits <= counts.absences
    assert 0 <= counts.entries_found <= counts.entries <= counts.returns
    assert combine_lost_and_found([counts, counts]).present == 2 * counts.present


def test_metrics_without_events_are_nan() -> None:
    metrics = LostAndFound().metrics

    assert all(np.isnan(value) for value in metrics.values())


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 predictions for 3 frames"):
        count(make_frames((BOX, 3)), [False, False], make_frames((BOX, 3)))
