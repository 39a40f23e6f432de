"""When a tracker says that its target is gone, and when it has it again."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.evaluation import lost_and_found as measured
from tracking_runtime.evaluation.lost_and_found import LostAndFound, together

BOX = np.array([10.0, 10.0, 20.0, 10.0])
ELSEWHERE = np.array([25.0, 10.0, 20.0, 10.0])
GONE = np.full(4, np.nan)
lost_and_found = partial(measured.lost_and_found, width=100, height=50)


def frames(*parts: tuple[object, int]) -> np.ndarray:
    return np.concatenate([np.repeat(np.asarray(value)[None], count, axis=0) for value, count in parts])


def test_an_absence_is_noticed_in_time_or_not() -> None:
    truth = frames((BOX, 5), (GONE, 12), (BOX, 20))
    answer = frames((BOX, 37))
    for said, noticed in ((14, 1), (15, 0)):
        lost = frames((False, said), (True, 22 - said), (False, 15))
        counts = lost_and_found(answer, lost, truth)
        assert (counts.absences, counts.noticed) == (1, noticed)
    shorter = frames((BOX, 5), (GONE, 9), (BOX, 20))
    assert lost_and_found(frames((BOX, 34)), frames((False, 34)), shorter).absences == 0


def test_found_means_not_lost_and_on_the_target() -> None:
    truth = frames((BOX, 5), (GONE, 12), (BOX, 20))

    def found(answer: np.ndarray, lost: np.ndarray) -> int:
        counts = lost_and_found(answer, lost, truth)
        assert counts.returns == 1
        return counts.found

    last_chance, too_late = (frames((ELSEWHERE, 17 + late), (BOX, 20 - late)) for late in (14, 15))
    never = frames((False, 37))
    assert found(last_chance, never) == 1
    assert found(too_late, never) == 0
    assert found(frames((BOX, 37)), frames((False, 17), (True, 20))) == 0
    assert found(frames((GONE, 37)), never) == 0
    brief = frames((BOX, 5), (GONE, 12), (BOX, 14))
    assert lost_and_found(frames((BOX, 31)), frames((False, 31)), brief).returns == 0


def test_frames_soon_after_a_return_are_told_apart() -> None:
    truth = frames((BOX, 5), (GONE, 10), (BOX, 25))
    lost = frames((False, 4), (True, 1), (True, 10), (True, 5), (False, 19), (True, 1))
    counts = lost_and_found(frames((BOX, 40)), lost, truth)
    assert (counts.present, counts.lost_present) == (30, 7)
    assert (counts.settled, counts.lost_settled) == (15, 2)
    assert counts.figures == {
        "called lost within 10 frames": 1.0,
        "- where it left the view": pytest.approx(np.nan, nan_ok=True),
        "called lost while visible": 7 / 30,
        "- but for 15 frames after a return": 2 / 15,
        "found within 15 frames of its return": 1.0,
        "- where it had left the view": pytest.approx(np.nan, nan_ok=True),
    }


@pytest.mark.parametrize(
    ("last", "left"),
    [
        ((0, 10, 8, 10), True),
        ((93, 10, 6, 10), True),
        ((10, 0, 20, 5), True),
        ((10, 42, 20, 8), True),
        ((2, 2, 96, 46), False),
    ],
)
def test_a_target_last_seen_at_the_border_has_left_the_view(last: tuple[float, ...], left: bool) -> None:
    truth = frames((BOX, 5), (last, 1), (GONE, 12), (BOX, 20))
    lost = frames((False, 8), (True, 10), (False, 20))
    counts = lost_and_found(frames((BOX, 38)), lost, truth)
    assert (counts.absences, counts.noticed, counts.returns, counts.found) == (1, 1, 1, 1)
    assert (counts.exits, counts.exits_noticed, counts.entries, counts.entries_found) == (left,) * 4
    overlooked = lost_and_found(frames((GONE, 38)), frames((False, 38)), truth)
    assert (overlooked.exits, overlooked.exits_noticed) == (left, 0)
    assert (overlooked.entries, overlooked.entries_found) == (left, 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_counts_hold_together(said: list[tuple[bool, bool]]) -> None:
    present, lost = (np.array(column) for column in zip(*said, strict=True))
    truth = np.where(present[:, None], BOX, GONE)
    counts = lost_and_found(np.tile(BOX, (len(lost), 1)), lost, truth)
    assert 0 <= counts.noticed <= counts.absences and 0 <= counts.found <= counts.returns
    assert counts.settled <= counts.present == present.sum() and counts.lost_settled <= counts.lost_present
    assert counts.lost_present == (present & lost).sum()
    assert 0 <= counts.exits_noticed <= counts.exits <= counts.absences
    assert 0 <= counts.entries_found <= counts.entries <= counts.returns
    assert together([counts, counts]).present == 2 * counts.present


def test_nothing_that_happened_has_no_share_and_lengths_must_agree() -> None:
    assert all(np.isnan(value) for value in LostAndFound().figures.values())
    with pytest.raises(ValueError, match="2 answers of the tracker for 3 frames"):
        lost_and_found(frames((BOX, 3)), [False, False], frames((BOX, 3)))
