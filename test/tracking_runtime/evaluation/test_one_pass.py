from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.evaluation.one_pass import (
    MATLAB,
    OTB,
    Protocol,
    frame_overlaps,
    mean_scores,
    one_pass_errors,
    score,
    score_absence,
    visible_part,
)

BOX = [10.0, 20.0, 40.0, 30.0]
ABSENT = [np.nan] * 4
PROTOCOLS = pytest.mark.parametrize("protocol", [OTB, MATLAB], ids=lambda protocol: protocol.name)


def test_a_perfect_tracker_reaches_each_protocol_s_own_limit() -> None:
    errors = one_pass_errors([BOX] * 3, [BOX] * 3)
    assert score(errors, OTB).success == pytest.approx(20 / 21)  # nothing overlaps by more than all
    assert score(errors, MATLAB).success == 1.0
    assert score(errors, OTB).precision == 1.0


@PROTOCOLS
def test_known_overlap(protocol: Protocol) -> None:
    half = [[0, 0, 10, 10]], [[0, 0, 20, 10]]
    success = score(one_pass_errors(*half), protocol).success
    assert success == pytest.approx({"OTB": 10 / 21, "MATLAB": 25 / 50}[protocol.name])


def test_exactly_20_px_is_precise_for_otb_and_not_for_matlab() -> None:
    errors = one_pass_errors([[30.0, 20.0, 40.0, 30.0]], [BOX])
    assert score(errors, OTB).precision == 1.0
    assert score(errors, MATLAB).precision == 0.0


@pytest.mark.parametrize(
    ("overlapping", "passed"), [(3, 15), (6, 30), (7, 35), (9, 45)], ids=lambda count: str(count)
)
def test_overlaps_on_a_matlab_threshold(overlapping: int, passed: int) -> None:
    """Evenly spaced numbers miss 0.3 and 0.7 by a bit; MATLAB's don't."""
    errors = one_pass_errors([[0, 0, 10, 1]], [[0, 0, overlapping, 1]])
    assert score(errors, MATLAB).success == passed / 50


@PROTOCOLS
def test_impossible_predictions_are_failures(protocol: Protocol) -> None:
    errors = one_pass_errors([ABSENT, [0, 0, 0, 0], [0, 0, -3, 5], BOX], [BOX] * 4)
    np.testing.assert_array_equal(errors.overlaps, [0, 0, 0, 1])
    assert score(errors, protocol).precision == 0.25


@PROTOCOLS
def test_a_prediction_without_a_size_still_has_a_centre(protocol: Protocol) -> None:
    """As published figures have it: Hy-Tracker's files on HOT 2020 hold boxes of negative width."""
    errors = one_pass_errors([[30.0, 35.0, -0.5, 2.0]], [BOX])
    assert (errors.overlaps[0], errors.distances_px[0]) == (0, pytest.approx(1.03, abs=0.01))
    assert (score(errors, protocol).success, score(errors, protocol).precision) == (0, 1)


@PROTOCOLS
def test_frames_without_the_target_do_not_count(protocol: Protocol) -> None:
    with_absence = one_pass_errors([BOX, BOX, BOX], [BOX, ABSENT, [0, 0, 0, 0]])
    assert score(with_absence, protocol).frames == 1
    assert score(with_absence, protocol).success == score(one_pass_errors([BOX], [BOX]), protocol).success


def test_overlaps_frame_by_frame_have_gaps_where_the_target_is_absent() -> None:
    overlaps = frame_overlaps([BOX, BOX, ABSENT], [BOX, ABSENT, BOX])
    np.testing.assert_array_equal(overlaps, [1, np.nan, 0])


def test_a_video_without_the_target_has_no_score_and_does_not_count_in_means() -> None:
    empty = score(one_pass_errors([BOX], [ABSENT]))
    assert np.isnan(empty.success)
    whole = score(one_pass_errors([BOX], [BOX]))
    assert mean_scores([empty, whole]).success == whole.success
    with pytest.raises(ValueError, match="no video"):
        mean_scores([empty])


def test_means_weigh_videos_not_frames() -> None:
    good = score(one_pass_errors([BOX] * 9, [BOX] * 9))
    bad = score(one_pass_errors([ABSENT], [BOX]))
    assert mean_scores([good, bad]).success == pytest.approx(good.success / 2)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 predicted boxes for 2 frames"):
        one_pass_errors([BOX], [BOX, BOX])


boxes = st.lists(st.tuples(*[st.floats(1, 200) for _ in range(4)]), min_size=1, max_size=8)


@given(boxes, st.floats(-50, 50), st.floats(0.2, 4))
def test_success_does_not_depend_on_where_and_how_large(
    truth: list[tuple[float, ...]], shift: float, scale: float
) -> None:
    true_boxes, move = np.array(truth), np.array([shift, shift, 0, 0])
    predicted = true_boxes + np.array([3, -2, 1, 1])
    plain = one_pass_errors(predicted, true_boxes)
    moved = one_pass_errors((predicted + move) * scale, (true_boxes + move) * scale)
    np.testing.assert_allclose(plain.overlaps, moved.overlaps, atol=1e-9)
    np.testing.assert_allclose(plain.normalised, moved.normalised, atol=1e-9)


@given(boxes)
def test_curves_never_rise_and_never_fall(truth: list[tuple[float, ...]]) -> None:
    scores = score(one_pass_errors(np.array(truth) * 1.1, truth))
    assert (np.diff(scores.success_curve) <= 0).all()
    assert (np.diff(scores.precision_curve) >= 0).all()


def test_the_visible_part_of_boxes() -> None:
    visible = visible_part([[-10, -10, 30, 30], [200, 0, 5, 5]], 100, 50)
    np.testing.assert_array_equal(visible, [[0, 0, 20, 20], ABSENT])


def test_absence_noticed_and_false_alarms() -> None:
    absence = score_absence([True, False, True, True, False], [BOX, BOX, ABSENT, ABSENT, ABSENT])
    assert (absence.absent_frames, absence.present_frames) == (3, 2)
    assert (absence.noticed, absence.false_alarms) == (pytest.approx(2 / 3), 1 / 2)
    assert np.isnan(score_absence([False], [BOX]).noticed)
    with pytest.raises(ValueError, match="1 answers of the tracker for 2 frames"):
        score_absence([True], [BOX, BOX])
