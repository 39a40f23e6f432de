"""Tests of the reliability of scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.evaluation.reliability import (
    NUM_BINS,
    Reliability,
    combine_reliabilities,
    count_reliability,
)


def test_reliability_calibrated_scores_has_no_error() -> None:
    reliability = count_reliability([0.75] * 4, [0.9, 0.8, 0.5, 0.2])

    assert reliability.expected_calibration_error == pytest.approx(0)
    assert reliability.fractions_correct[7] == 0.75
    assert reliability.mean_scores[7] == 0.75


def test_reliability_certain_scores_of_wrong_boxes_have_full_error() -> None:
    reliability = count_reliability([1.0, 1.0], [0.1, math.nan])

    assert reliability.expected_calibration_error == 1
    assert reliability.counts[NUM_BINS - 1] == 2


def test_reliability_empty_is_nan() -> None:
    assert math.isnan(combine_reliabilities([]).expected_calibration_error)
    assert math.isnan(Reliability().mean_scores[0])


@pytest.mark.parametrize(("scores", "overlaps"), [([0.5], []), ([1.5], [0.2]), ([math.nan], [0.2])])
def test_reliability_invalid_input_is_refused(scores: list[float], overlaps: list[float]) -> None:
    with pytest.raises(ValueError, match="scores must be"):
        count_reliability(scores, overlaps)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=50), st.integers(0, 50))
def test_reliability_parts_add_up_to_the_whole(boxes: list[tuple[float, float]], cut: int) -> None:
    scores, overlaps = np.array(boxes).T

    whole = count_reliability(scores, overlaps)
    parts = [count_reliability(scores[part], overlaps[part]) for part in (slice(0, cut), slice(cut, None))]
    combined = combine_reliabilities(parts)

    assert combined.counts == whole.counts
    assert combined.correct == whole.correct
    assert combined.score_sums == pytest.approx(whole.score_sums)
    assert sum(whole.counts) == len(boxes)
    assert 0 <= whole.expected_calibration_error <= 1
