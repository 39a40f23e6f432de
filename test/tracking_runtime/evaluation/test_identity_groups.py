"""Identities scored in groups that never meet: the same figures, from tables that stay small."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.boxes import as_boxes, intersection_over_union
from tracking_runtime.evaluation import py_motmetrics
from tracking_runtime.evaluation.identity_groups import groups_apart
from tracking_runtime.evaluation.multi_object import CENTRE_5PX, IOU_03, FrameBoxes, count, evaluate

Frames = list[FrameBoxes]


def traffic(seed: int, *, frames: int = 40, lanes: int = 6) -> tuple[Frames, Frames]:
    """Cars that others follow on their lanes, some of which touch; tracks that are lost and found again."""
    rng = np.random.default_rng(seed)
    truth, tracked = [], []
    for t in range(frames):
        here = rng.random(lanes) < 0.9
        boxes = as_boxes([[3 * (t % 10) + 9 * (lane // 2), 8 * lane, 10, 10] for lane in range(lanes)])
        ids = np.arange(lanes) + lanes * (t // 10)
        found = rng.random(lanes) < 0.8
        false = as_boxes([[200 + t, 0, 5, 5]] * int(rng.random() < 0.2))
        noisy = boxes[found] + rng.normal(0, 1, (int(found.sum()), 4)) * [1, 1, 0.1, 0.1]
        names = np.concatenate([(np.arange(lanes) + 100 * (t // 7))[found], 5000 + t + np.zeros(len(false))])
        truth.append(FrameBoxes(ids[here], boxes[here]))
        tracked.append(FrameBoxes(names.astype(np.int64), np.concatenate([noisy, false])))
    return truth, tracked


@pytest.mark.parametrize("matching", [IOU_03, CENTRE_5PX])
@given(seed=st.integers(0, 10_000), largest=st.sampled_from([0, 50, 400]))
@settings(max_examples=15, deadline=None)
def test_figures_of_groups_are_those_of_all_together(matching, seed, largest):
    truth, tracked = traffic(seed)
    apart = count(truth, tracked, matching, largest_table=largest).scores
    assert vars(apart) == pytest.approx(vars(evaluate(truth, tracked, matching)), abs=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_groups_of_py_motmetrics_too(seed):
    pytest.importorskip("motmetrics", reason="needs the extra motmetrics")
    truth, tracked = traffic(seed)
    assert py_motmetrics.count(truth, tracked, largest_table=50) == pytest.approx(
        py_motmetrics.count(truth, tracked), abs=1e-12
    )


def test_groups_never_meet_hold_everything_once_and_are_small():
    truth, tracked = traffic(1, frames=400)
    ids = [frame.ids for frame in truth], [frame.ids for frame in tracked]
    met = [intersection_over_union(a.boxes, b.boxes) for a, b in zip(truth, tracked, strict=True)]
    groups = list(groups_apart(*ids, met, largest=6000))
    seen_true, seen_tracked = np.zeros(400, int), np.zeros(400, int)
    owner: dict[tuple[str, int], int] = {}
    for number, parts in enumerate(groups):
        for part in parts:
            seen_true[part.frame] += part.true.sum()
            seen_tracked[part.frame] += part.tracked.sum()
            assert not met[part.frame][np.ix_(part.true, ~part.tracked)].any()
            for kind, names, which in (("true", ids[0], part.true), ("tracked", ids[1], part.tracked)):
                assert all(
                    owner.setdefault((kind, name), number) == number for name in names[part.frame][which]
                )
    assert [len(frame.ids) for frame in truth] == seen_true.tolist()
    assert [len(frame.ids) for frame in tracked] == seen_tracked.tolist()
    tables = np.zeros((len(groups), 2), int)
    for (kind, _), number in owner.items():
        tables[number, int(kind == "tracked")] += 1
    assert len(groups) > 2 and tables.prod(axis=1).max() <= 6000


def test_a_long_video_is_scored_in_the_memory_of_a_short_one():
    """A thousand true and two thousand tracked identities: their one table would be kept twenty times."""
    truth, tracked = [], []
    for t in range(300):
        boxes = as_boxes([[20 * lane, t % 10, 10, 10] for lane in range(20)])
        truth.append(FrameBoxes(np.arange(20) + 20 * (t // 6), boxes))
        tracked.append(FrameBoxes(np.arange(20) + 20 * (t // 3), boxes))
    tracemalloc.start()
    scores = count(truth, tracked).scores
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (scores.idf1, scores.identity_switches) == (pytest.approx(0.5), 1000)
    assert peak < 100e6
