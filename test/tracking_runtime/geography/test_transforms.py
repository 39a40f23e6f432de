"""Poses over time and trees of coordinate frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.geography.transforms import (
    Pose,
    PoseHistory,
    PoseUnavailableError,
    TransformTree,
    make_pose,
)

SECOND = 10**9
numbers = st.floats(-100, 100)
poses = st.builds(
    lambda p, q: make_pose(p, q),
    st.tuples(numbers, numbers, numbers),
    st.tuples(numbers, numbers, numbers, numbers).filter(lambda q: np.linalg.norm(q) > 1e-3),
)


def turn(angle_deg: float) -> list[float]:
    """Return the quaternion of a turn about z."""
    half = np.radians(angle_deg) / 2
    return [0, 0, float(np.sin(half)), float(np.cos(half))]


def apply(pose: Pose, point: np.ndarray) -> np.ndarray:
    return pose.rotation @ point + pose.position


@given(poses, poses)
def test_composition_applies_the_child_first(parent: Pose, child: Pose) -> None:
    point = np.array([1.0, -2, 3])

    composed = parent.compose(child)

    np.testing.assert_allclose(apply(composed, point), apply(parent, apply(child, point)), atol=1e-9)
    np.testing.assert_allclose(apply(parent.invert(), apply(parent, point)), point, atol=1e-9)
    np.testing.assert_allclose(parent.rotation @ parent.rotation.T, np.eye(3), atol=1e-9)


def test_pose_is_interpolated_along_line_and_arc() -> None:
    history = PoseHistory()
    history.add(2 * SECOND, make_pose([10, 0, 0], turn(90)))
    history.add(SECOND, make_pose([0, 0, 0], turn(0)))

    middle = history.interpolate(SECOND + SECOND // 4)

    np.testing.assert_allclose(middle.position, [2.5, 0, 0])
    np.testing.assert_allclose(middle.quaternion, turn(22.5))
    np.testing.assert_allclose(history.interpolate(2 * SECOND).position, [10, 0, 0])


@pytest.mark.parametrize("sign", [1, -1])
def test_rotation_takes_the_short_way(sign: int) -> None:
    history = PoseHistory()
    history.add(0, make_pose([0, 0, 0], turn(-10)))
    history.add(SECOND, make_pose([0, 0, 0], [sign * v for v in turn(10)]))

    np.testing.assert_allclose(history.interpolate(SECOND // 2).rotation, np.eye(3), atol=1e-12)


def test_unknown_time_tells_whether_to_wait() -> None:
    history = PoseHistory()
    with pytest.raises(PoseUnavailableError, match="no pose has arrived") as nothing:
        history.interpolate(0)
    history.add(5 * SECOND, make_pose([0, 0, 0], [0, 0, 0, 1]))
    with pytest.raises(PoseUnavailableError, match=r"newest pose is 1\.000 s older") as late:
        history.interpolate(6 * SECOND)
    with pytest.raises(PoseUnavailableError, match=r"oldest pose is 1\.000 s newer") as early:
        history.interpolate(4 * SECOND)

    assert (nothing.value.is_early, late.value.is_early, early.value.is_early) == (True, True, False)


def test_history_forgets_old_poses_and_restarts() -> None:
    history = PoseHistory(duration_ns=SECOND)
    for second in range(5):
        history.add(second * SECOND, make_pose([second, 0, 0], [0, 0, 0, 1]))

    with pytest.raises(PoseUnavailableError):
        history.interpolate(2 * SECOND)
    history.add(0, make_pose([9, 0, 0], [0, 0, 0, 1]))
    assert history.interpolate(0).position[0] == 9


def test_tree_connects_frames_over_their_common_ancestor() -> None:
    tree = TransformTree()
    tree.add("/earth", "map", 0, make_pose([100, 0, 0], turn(90)), is_static=True)
    tree.add("earth", "base", 0, make_pose([110, 0, 0], turn(0)))
    tree.add("earth", "base", SECOND, make_pose([120, 0, 0], turn(0)))
    tree.add("base", "camera", 0, make_pose([0, 0, 2], turn(0)), is_static=True)

    pose = tree.look_up("map", "camera", SECOND // 2)

    np.testing.assert_allclose(pose.position, [0, -15, 2], atol=1e-12)
    np.testing.assert_allclose(pose.rotation[:, 0], [0, -1, 0], atol=1e-12)


def test_unconnected_and_circular_frames_are_reported() -> None:
    tree = TransformTree()
    tree.add("a", "b", 0, make_pose([0, 0, 0], turn(0)))
    with pytest.raises(PoseUnavailableError, match="no transforms connect camera with map"):
        tree.look_up("map", "camera", 0)
    tree.add("b", "a", 0, make_pose([0, 0, 0], turn(0)))
    with pytest.raises(PoseUnavailableError, match="circle"):
        tree.look_up("map", "a", 0)
    with pytest.raises(ValueError, match="two frames"):
        tree.add("a", "a", 0, make_pose([0, 0, 0], turn(0)))


@pytest.mark.parametrize(
    ("position", "quaternion"),
    [([0, 0, np.nan], turn(0)), ([0, 0, 0], [0, 0, 0, 0]), ([0, 0, 0], [np.inf, 0, 0, 1])],
)
def test_useless_pose_is_refused(position: list[float], quaternion: list[float]) -> None:
    with pytest.raises(ValueError, match="a pose must be finite"):
        make_pose(position, quaternion)
