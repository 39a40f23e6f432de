import numpy as np
import pytest

from hsi_tracker_ros.hanet.crops import SquareCrop
from hsi_tracker_ros.tracker.distractors import Distractors

TARGET = np.array([100.0, 50, 30, 20])
OTHER = np.array([150.0, 50, 30, 20])
REGION, DISTANT_REGION = SquareCrop(120.0, 60.0, 120.0), SquareCrop(400.0, 60.0, 120.0)
NO_BOXES = np.zeros((0, 4))


def is_distractor(distractors, box, target_box):
    return distractors.matches(box[None], target_box)[0]


@pytest.fixture
def distractors():
    distractors = Distractors()
    distractors.update(np.stack([TARGET, OTHER]), TARGET, [REGION])
    return distractors


def test_object_beside_target_becomes_distractor(distractors):
    assert is_distractor(distractors, OTHER, TARGET)
    assert not is_distractor(distractors, TARGET, TARGET)
    assert not is_distractor(distractors, OTHER + np.array([0, 100, 0, 0]), TARGET)


def test_target_predicted_over_distractor_is_no_distractor(distractors):
    predicted_box = OTHER + np.array([8, 0, 0, 0])

    assert not is_distractor(distractors, OTHER + np.array([5, 0, 0, 0]), predicted_box)


def test_no_distractor_is_added_without_confident_target():
    distractors = Distractors()

    distractors.update(np.stack([TARGET, OTHER]), None, [REGION])

    assert not is_distractor(distractors, OTHER, TARGET)


def test_distractor_is_followed_while_target_is_lost(distractors):
    for step in range(1, 20):
        moved = OTHER + np.array([6.0 * step, 0, 0, 0])
        distractors.update(moved[None], None, [REGION])

    assert is_distractor(distractors, moved, TARGET)
    assert not is_distractor(distractors, OTHER, TARGET)


@pytest.mark.parametrize(("regions", "is_kept"), [([REGION], False), ([DISTANT_REGION], True)])
def test_distractor_missed_in_searched_region_is_forgotten(distractors, regions, is_kept):
    for _ in range(5):
        distractors.update(NO_BOXES, None, regions)

    assert is_distractor(distractors, OTHER, TARGET) == is_kept


def test_distractor_that_is_not_searched_is_forgotten_later(distractors):
    for _ in range(100):
        distractors.update(NO_BOXES, None, [])

    assert not is_distractor(distractors, OTHER, TARGET)
