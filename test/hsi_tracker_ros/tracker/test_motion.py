from dataclasses import replace

import numpy as np
import pytest

from hsi_tracker_ros.tracker import TargetStatus, TrackerSettings
from hsi_tracker_ros.tracker.motion import Course
from hsi_tracker_ros.tracker.spectral_signature import Signature
from hsi_tracker_ros.tracker.target import Sighting, Target

WIDTH, HEIGHT = 320, 200
STRONG, WEAK = 10.0, 2.5


def target_at(box):
    kernels = (np.zeros((1, 1, 1), np.float32),)
    return Target(1, "", np.array(box, float), kernels, kernels, Signature(np.ones((5, 4))), 0)


def follow(target, x, evidence, settings):
    box = np.array([x, 80.0, 20, 20])
    seen = Sighting(evidence, 1.0, 1.0, box, np.zeros((25, 25), np.float32), 0.0)
    target.follow(seen, settings, lambda _: False, width=WIDTH, height=HEIGHT)


def walk(step, settings, start=200.0):
    """A target that moves by ``step`` in each of 16 frames, and is then taken for what stands there."""
    target = target_at([start, 80, 20, 20])
    for frame in range(1, 17):
        follow(target, start + step * frame, STRONG, settings)
    states = []
    for _ in range(8):
        follow(target, target.box[0], WEAK, settings)
        states.append(target.state())
    return states


def statuses(states):
    return [state.state for state in states]


def test_a_target_that_has_left_as_it_moved_is_lost_whatever_is_seen_in_its_place():
    states = statuses(walk(6.0, TrackerSettings()))
    assert states[2] is not TargetStatus.LOST
    assert TargetStatus.LOST in states[:5]


def test_a_target_that_is_taken_for_lost_where_something_is_seen_counts_from_that_frame():
    states = walk(6.0, TrackerSettings())
    lost = statuses(states).index(TargetStatus.LOST)
    assert statuses(states)[:lost] == [TargetStatus.TRACKING] * lost
    assert [state.frames_since_seen for state in states[: lost + 2]] == [0] * lost + [1, 2]


@pytest.mark.parametrize("step", [0.0, 1.0, -6.0])
def test_one_that_would_still_be_in_the_image_may_be_half_hidden(step):
    assert TargetStatus.LOST not in statuses(walk(step, TrackerSettings()))


def test_motion_tells_nothing_where_it_is_not_asked():
    assert TargetStatus.LOST not in statuses(walk(6.0, TrackerSettings(leaving_frames=0)))


def frames_until_lost(box, settings):
    """Of a target in whose place, once it is known, only other things are seen."""
    target = target_at(box)
    for frame in range(200):
        sighting = Sighting(
            STRONG if frame < 16 else -WEAK, 1.0, 1.0, target.box, np.zeros((25, 25), np.float32), 0.0
        )
        target.follow(sighting, settings, lambda _: False, width=WIDTH, height=HEIGHT)
        if target.lost:
            return frame - 16
    return None


def test_a_target_that_cannot_have_left_is_given_longer_to_show_itself_again():
    settings = TrackerSettings(leaving_frames=0)
    inside, beside = [frames_until_lost(box, settings) for box in ([150, 80, 20, 20], [285, 80, 20, 20])]
    assert 0 < beside < inside < 20
    same = replace(settings, hidden_allowance=0.0)
    assert frames_until_lost([150, 80, 20, 20], same) == frames_until_lost([285, 80, 20, 20], same) == beside


def test_a_course_goes_on_as_the_target_moved_while_it_was_seen():
    course = Course()
    for frame in range(30):
        course.see(np.array([100.0 + 4 * frame, 50.0]))
    for _ in range(5):
        course.go_on()
    np.testing.assert_allclose(course.centre, (100 + 4 * 34, 50), atol=0.1)
    assert not course.leads_outside(240, 200)
    assert course.leads_outside(230, 200)


def test_after_long_nobody_knows_where_a_target_went():
    course = Course()
    for x in (0.0, 8.0, 16.0):
        course.see(np.array([x, 50.0]))
    for _ in range(40):
        course.go_on()
    assert not course.leads_outside(20, 200)


def test_nothing_is_known_of_a_target_that_was_never_seen():
    course = Course()
    course.go_on()
    assert not course.leads_outside(20, 200)
