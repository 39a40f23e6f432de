"""One-pass evaluation of a single target by both protocols."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.evaluation.one_pass import (
    MATLAB,
    OTB,
    SuccessProtocol,
    average_scores,
    clip_to_visible,
    compute_frame_overlaps,
    compute_one_pass_errors,
    score_absence,
    score_one_pass,
)

BOX = [10.0, 20.0, 40.0, 30.0]
ABSENT = [np.nan] * 4
ANY_PROTOCOL = pytest.mark.parametrize("protocol", [OTB, MATLAB], ids=lambda protocol: protocol.name)


def test_perfect_tracker_reaches_limit_of_protocol() -> None:
    errors = compute_one_pass_errors([BOX] * 3, [BOX] * 3)

    otb, matlab = score_one_pass(errors, OTB), score_one_pass(errors, MATLAB)

    assert otb.success == pytest.approx(20 / 21)  # no overlap exceeds the threshold 1
    assert matlab.success == 1.0
    assert otb.precision == 1.0


@ANY_PROTOCOL
def test_success_of_overlap_one_half(protocol: SuccessProtocol) -> None:
    errors = compute_one_pass_errors([[0, 0, 10, 10]], [[0, 0, 20, 10]])

    success = score_one_pass(errors, protocol).success

    assert success == pytest.approx({"OTB": 10 / 21, "MATLAB": 25 / 50}[protocol.name])


def test_exactly_20_px_is_precise_only_for_otb() -> None:
    errors = compute_one_pass_errors([[30.0, 20.0, 40.0, 30.0]], [BOX])

    assert score_one_pass(errors, OTB).precision == 1.0
    assert score_one_pass(errors, MATLAB).precision == 0.0


@pytest.mark.parametrize(
    ("overlap_tenths", "num_passed"), [(3, 15), (6, 30), (7, 35), (9, 45)], ids=lambda count: str(count)
)
def test_overlap_on_matlab_threshold_is_a_success(overlap_tenths: int, num_passed: int) -> None:
    """Evenly spaced numbers differ from 0.3 and 0.7 in the last bit. MATLAB's do not."""
    errors = compute_one_pass_errors([[0, 0, 10, 1]], [[0, 0, overlap_tenths, 1]])

    assert score_one_pass(errors, MATLAB).success == num_passed / 50


@ANY_PROTOCOL
def test_impossible_predictions_are_failures(protocol: SuccessProtocol) -> None:
    errors = compute_one_pass_errors([ABSENT, [0, 0, 0, 0], [0, 0, -3, 5], BOX], [BOX] * 4)

    np.testing.assert_array_equal(errors.overlaps, [0, 0, 0, 1])
    assert score_one_pass(errors, protocol).precision == 0.25


@ANY_PROTOCOL
def test_prediction_without_size_has_a_center(protocol: SuccessProtocol) -> None:
    """Published metrics count it: Hy-Tracker's files on HOT 2020 contain boxes of negative width."""
    errors = compute_one_pass_errors([[30.0, 35.0, -0.5, 2.0]], [BOX])

    scores = score_one_pass(errors, protocol)

    assert (errors.overlaps[0], errors.distances_px[0]) == (0, pytest.approx(1.03, abs=0.01))
    assert (scores.success, scores.precision) == (0, 1)


@ANY_PROTOCOL
def test_frames_without_target_do_not_count(protocol: SuccessProtocol) -> None:
    with_absence = compute_one_pass_errors([BOX, BOX, BOX], [BOX, ABSENT, [0, 0, 0, 0]])
    without_absence = compute_one_pass_errors([BOX], [BOX])

    scores = score_one_pass(with_absence, protocol)

    assert scores.frames == 1
    assert scores.success == score_one_pass(without_absence, protocol).success


def test_frame_overlaps_are_nan_without_target() -> None:
    overlaps = compute_frame_overlaps([BOX, BOX, ABSENT], [BOX, ABSENT, BOX])

    np.testing.assert_array_equal(overlaps, [1, np.nan, 0])


def test_video_without_target_does_not_count_in_average() -> None:
    empty = score_one_pass(compute_one_pass_errors([BOX], [ABSENT]))
    perfect = score_one_pass(compute_one_pass_errors([BOX], [BOX]))

    average = average_scores([empty, perfect])

    assert np.isnan(empty.success)
    assert average.success == perfect.success
    with pytest.raises(ValueError, match="no video"):
        average_scores([empty])


def test_average_weighs_videos_equally() -> None:
    good = score_one_pass(compute_one_pass_errors([BOX] * 9, [BOX] * 9))
    bad = score_one_pass(compute_one_pass_errors([ABSENT], [BOX]))

    average = average_scores([good, bad])

    assert average.success == pytest.approx(good.success / 2)


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 predicted boxes for 2 frames"):
        compute_one_pass_errors([BOX], [BOX, BOX])


boxes = st.lists(st.tuples(*[st.floats(1, 200) for _ in range(4)]), min_size=1, max_size=8)


@given(boxes, st.floats(-50, 50), st.floats(0.2, 4))
def test_errors_do_not_depend_on_position_and_scale(
    truth: list[tuple[float, ...]], shift: float, scale: float
) -> None:
    true_boxes = np.array(truth)
    predicted = true_boxes + np.array([3, -2, 1, 1])
    offset = np.array([shift, shift, 0, 0])

    errors = compute_one_pass_errors(predicted, true_boxes)
    moved_errors = compute_one_pass_errors((predicted + offset) * scale, (true_boxes + offset) * scale)

    np.testing.assert_allclose(errors.overlaps, moved_errors.overlaps, atol=1e-9)
    np.testing.assert_allclose(errors.normalized_distances, moved_errors.normalized_distances, atol=1e-9)


@given(boxes)
def test_curves_are_monotonic(truth: list[tuple[float, ...]]) -> None:
    scores = score_one_pass(compute_one_pass_errors(np.array(truth) * 1.1, truth))

    assert (np.diff(scores.success_curve) <= 0).all()
    assert (np.diff(scores.precision_curve) >= 0).all()


def test_clip_to_visible_drops_boxes_outside() -> None:
    visible = clip_to_visible([[-10, -10, 30, 30], [200, 0, 5, 5]], 100, 50)

    np.testing.assert_array_equal(visible, [[0, 0, 20, 20], ABSENT])


def test_score_absence_counts_noticed_and_false_alarms() -> None:
    is_lost = [True, False, True, True, False]

    scores = score_absence(is_lost, [BOX, BOX, ABSENT, ABSENT, ABSENT])

    assert (scores.num_absent_frames, scores.num_present_frames) == (3, 2)
    assert scores.noticed_fraction == pytest.approx(2 / 3)
    assert scores.false_alarm_fraction == 1 / 2


def test_score_absence_without_absent_frames_is_nan() -> None:
    assert np.isnan(score_absence([False], [BOX]).noticed_fraction)


def test_score_absence_refuses_different_lengths() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 frames"):
        score_absence([True], [BOX, BOX])
