import numpy as np
import pytest

from hsi_tracker_ros.tracker.confidence import Presence
from hsi_tracker_ros.tracker.settings import TrackerSettings

USUAL = 10.0
SETTINGS = TrackerSettings()


@pytest.fixture
def lost():
    presence = Presence()
    for _ in range(30):
        presence.see(USUAL, 0.0)
    presence.lose()
    return presence


def at(x):
    return np.array([x, 40.0, 20.0, 20.0])


def weigh(presence, *evidence, x=60.0):
    """A frame for each of the log odds, all of a box at the same place; what people are told in each."""
    told = []
    for log_odds in evidence:
        presence.weigh(log_odds, at(x), SETTINGS)
        told.append(presence.likely_box is not None)
    return told


def test_what_may_be_a_lost_target_is_not_lost_sight_of_while_it_is_seen_badly(lost):
    assert weigh(lost, 4.0, 3.0, -2.0, -2.0, -2.0, 3.0) == [True] * 6
    np.testing.assert_array_equal(lost.likely_box, at(60.0))


def test_what_is_no_more_seen_as_a_lost_target_is_dismissed(lost):
    assert weigh(lost, 4.0, *[-5.0] * 6) == [True] * 5 + [False] * 2
    assert lost.suspect is None


def test_what_little_speaks_against_is_looked_at_again_but_not_told_of(lost):
    assert weigh(lost, -2.0) == [False]
    assert lost.suspect is not None
    assert weigh(lost, -2.0, -1.0, 2.0) == [False, False, True]


def test_what_much_speaks_against_is_not_looked_at_again(lost):
    assert weigh(lost, -4.0) == [False]
    assert lost.suspect is None


def test_what_is_seen_elsewhere_counts_from_nothing(lost):
    weigh(lost, 4.0, 4.0)
    assert weigh(lost, -1.0, x=300.0) == [False]
    np.testing.assert_array_equal(lost.suspect.box, at(300.0))


def test_confidence_in_a_lost_target_rises_faster_than_it_falls(lost):
    weigh(lost, 8.0)
    risen = lost.confidence
    weigh(lost, 0.0)
    assert risen == pytest.approx(SETTINGS.found_rate * 0.8)
    assert lost.confidence == pytest.approx(risen * (1 - SETTINGS.fading_rate))


def test_a_lost_target_that_is_dismissed_starts_anew(lost):
    weigh(lost, 6.0)
    lost.dismiss()
    assert lost.suspect is None
    assert lost.likely_box is None
    assert lost.confidence == 0
