import numpy as np
import pytest

from hsi_tracker_ros.tracker.confidence import TargetConfidence
from hsi_tracker_ros.tracker.settings import TrackerSettings

REFERENCE_LOG_ODDS = 10.0
SETTINGS = TrackerSettings()


@pytest.fixture
def lost():
    confidence = TargetConfidence()
    for _ in range(30):
        confidence.confirm(REFERENCE_LOG_ODDS, 0.0)
    confidence.mark_lost()
    return confidence


def make_box(x):
    return np.array([x, 40.0, 20.0, 20.0])


def update(confidence, *log_odds, x=60.0):
    """Update with one frame per value, and return whether a candidate is published after each."""
    is_published = []
    for value in log_odds:
        confidence.update(value, make_box(x), SETTINGS)
        is_published.append(confidence.published_box is not None)
    return is_published


def test_published_candidate_stays_while_it_is_weak(lost):
    assert update(lost, 4.0, 3.0, -2.0, -2.0, -2.0, 3.0) == [True] * 6
    np.testing.assert_array_equal(lost.published_box, make_box(60.0))


def test_published_candidate_that_disappears_is_given_up(lost):
    assert update(lost, 4.0, *[-5.0] * 6) == [True] * 5 + [False] * 2
    assert lost.candidate is None


def test_weak_candidate_is_searched_but_not_published(lost):
    assert update(lost, -2.0) == [False]
    assert lost.candidate is not None

    assert update(lost, -2.0, -1.0, 2.0) == [False, False, True]


def test_candidate_with_low_log_odds_is_not_searched_again(lost):
    assert update(lost, -4.0) == [False]
    assert lost.candidate is None


def test_candidate_at_another_position_starts_from_zero(lost):
    update(lost, 4.0, 4.0)

    assert update(lost, -1.0, x=300.0) == [False]
    np.testing.assert_array_equal(lost.candidate.box, make_box(300.0))


def test_confidence_of_candidate_rises_faster_than_it_falls(lost):
    update(lost, 8.0)
    risen = lost.value

    update(lost, 0.0)

    assert risen == pytest.approx(SETTINGS.found_rate * 0.8)
    assert lost.value == pytest.approx(risen * (1 - SETTINGS.fading_rate))


def test_rejected_candidate_leaves_nothing(lost):
    update(lost, 6.0)

    lost.reject_candidate()

    assert lost.candidate is None
    assert lost.published_box is None
    assert lost.value == 0
