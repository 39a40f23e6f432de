import numpy as np
import pytest

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.tracker.bystanders import Bystanders

TARGET = np.array([100.0, 50, 30, 20])
OTHER = np.array([150.0, 50, 30, 20])
AREA = SquareCrop(120.0, 60.0, 120.0)


def knows(bystanders, box, expected):
    return bystanders.know(box[None], expected)[0]


@pytest.fixture
def bystanders():
    known = Bystanders()
    known.look(np.stack([TARGET, OTHER]), TARGET, [AREA])
    return known


def test_what_is_seen_beside_the_target_is_known_and_the_target_is_not(bystanders):
    assert knows(bystanders, OTHER, TARGET)
    assert not knows(bystanders, TARGET, TARGET)
    assert not knows(bystanders, OTHER + np.array([0, 100, 0, 0]), TARGET)


def test_where_the_target_is_expected_over_another_it_is_the_target(bystanders):
    assert not knows(bystanders, OTHER + np.array([5, 0, 0, 0]), OTHER + np.array([8, 0, 0, 0]))


def test_nobody_is_made_known_while_the_target_is_not_surely_seen():
    known = Bystanders()
    known.look(np.stack([TARGET, OTHER]), None, [AREA])
    assert not knows(known, OTHER, TARGET)


def test_they_are_followed_while_the_target_is_away(bystanders):
    for step in range(1, 20):
        moved = OTHER + np.array([6.0 * step, 0, 0, 0])
        bystanders.look(moved[None], None, [AREA])
    assert knows(bystanders, moved, TARGET)
    assert not knows(bystanders, OTHER, TARGET)


@pytest.mark.parametrize(("areas", "known"), [([AREA], False), ([SquareCrop(400.0, 60.0, 120.0)], True)])
def test_who_is_not_seen_where_they_stood_is_soon_forgotten(bystanders, areas, known):
    for _ in range(5):
        bystanders.look(np.zeros((0, 4)), None, areas)
    assert knows(bystanders, OTHER, TARGET) == known


def test_nobody_is_known_for_ever_where_nobody_looks(bystanders):
    for _ in range(100):
        bystanders.look(np.zeros((0, 4)), None, [])
    assert not knows(bystanders, OTHER, TARGET)
