from dataclasses import replace

import numpy as np
import pytest

from hsi_tracker_ros.tracker import TargetState, TargetStatus, TrackerSettings
from hsi_tracker_ros.tracker.candidates import Candidate
from hsi_tracker_ros.tracker.motion import ConstantVelocity
from hsi_tracker_ros.tracker.spectral_signature import SpectralSignature
from hsi_tracker_ros.tracker.target import Target
from hsi_tracker_ros.tracker.templates import Templates

IMAGE_SIZE = (320, 200)
STRONG, WEAK = 10.0, 2.5
CENTRAL_BOX, BORDER_BOX = [150, 80, 20, 20], [285, 80, 20, 20]


def make_target(box):
    kernels = (np.zeros((1, 1, 1), np.float32),)
    signature = SpectralSignature(np.ones((5, 4)))
    return Target(1, "", np.array(box, float), Templates(kernels, kernels, 0), signature)


def update(target, box, log_odds, settings):
    candidate = Candidate(log_odds, 1.0, 1.0, np.asarray(box), np.zeros((25, 25), np.float32), 0.0)
    target.update(candidate, settings, IMAGE_SIZE, lambda _: False)


def move_and_hide(step, settings, start=200.0) -> list[TargetState]:
    """Move a target by a step in each of 16 frames, then show another object at its last position."""
    target = make_target([start, 80, 20, 20])
    for frame in range(1, 17):
        update(target, [start + step * frame, 80.0, 20, 20], STRONG, settings)
    states = []
    for _ in range(8):
        update(target, [target.box[0], 80.0, 20, 20], WEAK, settings)
        states.append(target.state)
    return states


def list_statuses(states):
    return [state.state for state in states]


def count_frames_until_lost(box, settings):
    """Count the frames until a target is LOST that is replaced by other objects after 16 frames."""
    target = make_target(box)
    for frame in range(200):
        update(target, target.box, STRONG if frame < 16 else -WEAK, settings)
        if target.is_lost:
            return frame - 16
    return None


def test_target_that_has_left_the_image_is_lost():
    statuses = list_statuses(move_and_hide(6.0, TrackerSettings()))

    assert statuses[2] is not TargetStatus.LOST
    assert TargetStatus.LOST in statuses[:5]


def test_frames_since_seen_count_from_the_lost_frame():
    states = move_and_hide(6.0, TrackerSettings())

    lost = list_statuses(states).index(TargetStatus.LOST)
    assert list_statuses(states)[:lost] == [TargetStatus.TRACKING] * lost
    assert [state.frames_since_seen for state in states[: lost + 2]] == [0] * lost + [1, 2]


@pytest.mark.parametrize("step", [0.0, 1.0, -6.0])
def test_hidden_target_predicted_inside_image_is_not_lost(step):
    assert TargetStatus.LOST not in list_statuses(move_and_hide(step, TrackerSettings()))


def test_motion_without_leaving_frames_has_no_effect():
    states = move_and_hide(6.0, TrackerSettings(leaving_frames=0))

    assert TargetStatus.LOST not in list_statuses(states)


def test_hidden_target_away_from_border_is_lost_later():
    settings = TrackerSettings(leaving_frames=0)
    without_allowance = replace(settings, hidden_allowance=0.0)

    central, border = (count_frames_until_lost(box, settings) for box in (CENTRAL_BOX, BORDER_BOX))

    assert 0 < border < central < 20
    assert count_frames_until_lost(CENTRAL_BOX, without_allowance) == border
    assert count_frames_until_lost(BORDER_BOX, without_allowance) == border


def test_missed_target_continues_with_constant_velocity():
    motion = ConstantVelocity()
    for frame in range(30):
        motion.update(np.array([100.0 + 4 * frame, 50.0]))

    for _ in range(5):
        motion.predict()

    np.testing.assert_allclose(motion.center, (100 + 4 * 34, 50), atol=0.1)
    assert not motion.is_outside((240, 200))
    assert motion.is_outside((230, 200))


def test_long_extrapolation_is_never_outside():
    motion = ConstantVelocity()
    for x in (0.0, 8.0, 16.0):
        motion.update(np.array([x, 50.0]))

    for _ in range(40):
        motion.predict()

    assert not motion.is_outside((20, 200))


def test_target_without_detection_is_never_outside():
    motion = ConstantVelocity()

    motion.predict()

    assert not motion.is_outside((20, 200))
