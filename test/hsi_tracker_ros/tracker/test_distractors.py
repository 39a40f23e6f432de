import numpy as np
import pytest

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.tracker.distractors import Distractors

TARGET = np.array([100.0, 50, 30, 20])
OTHER = np.array([150.0, 50, 30, 20])
AREA = SquareCrop(120.0, 60.0, 120.0)


def knows(distractors, box, expected):
    return distractors.know(box[None], expected)[0]


@pytest.fixture
def distractors():
    known = Distractors()
    known.look(np.stack([TARGET, OTHER]), TARGET, [AREA])
    return known


def test_what_is_seen_beside_the_target_is_known_and_the_target_is_not(distractors):
    assert knows(distractors, OTHER, TARGET)
    assert not knows(distractors, TARGET, TARGET)
    assert not knows(distractors, OTHER + np.array([0, 100, 0, 0]), TARGET)


def test_where_the_target_is_expected_over_another_it_is_the_target(distractors):
    assert not knows(distractors, OTHER + np.array([5, 0, 0, 0]), OTHER + np.array([8, 0, 0, 0]))


def test_nobody_is_made_known_while_the_target_is_not_surely_seen():
    known = Distractors()
    known.look(np.stack([TARGET, OTHER]), None, [AREA])
    assert not knows(known, OTHER, TARGET)


def test_they_are_followed_while_the_target_is_away(distractors):
    for step in range(1, 20):
        moved = OTHER + np.array([6.0 * step, 0, 0, 0])
        distractors.look(moved[None], None, [AREA])
    assert knows(distractors, moved, TARGET)
    assert not knows(distractors, OTHER, TARGET)


@pytest.mark.parametrize(("areas", "known"), [([AREA], False), ([SquareCrop(400.0, 60.0, 120.0)], True)])
def test_who_is_not_seen_where_they_stood_is_soon_forgotten(distractors, areas, known):
    for _ in range(5):
        distractors.look(np.zeros((0, 4)), None, areas)
    assert knows(distractors, OTHER, TARGET) == known


def test_nobody_is_known_for_ever_where_nobody_looks(distractors):
    for _ in range(100):
        distractors.look(np.zeros((0, 4)), None, [])
    assert not knows(distractors, OTHER, TARGET)
