"""Poses over time: interpolation, and a tree of coordinate frames as tf2 has it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.errors import TrackingError

FloatArray = NDArray[np.float64]

_MAX_FRAMES = 10_000
_MAX_DEPTH = 100  # frames between a frame and its root


class PoseUnavailableError(TrackingError, LookupError):
    """A pose that is not known at a time.

    Attributes:
        is_early: True if a newer pose may still arrive.
    """

    def __init__(self, message: str, *, is_early: bool = False) -> None:
        super().__init__(message)
        self.is_early = is_early


@dataclass(frozen=True)
class Pose:
    """Pose of a child frame in its parent frame.

    Attributes:
        position: origin of the child in the parent in meters, (3,).
        quaternion: rotation from child to parent, unit quaternion x, y, z, w, (4,).
    """

    position: FloatArray
    quaternion: FloatArray

    @property
    def rotation(self) -> FloatArray:
        """Rotation matrix from child to parent, (3, 3)."""
        x, y, z, w = self.quaternion
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )

    def compose(self, child: Pose) -> Pose:
        """Return the pose of a frame, given in this pose's child, in this pose's parent."""
        position = self.position + self.rotation @ child.position
        return Pose(position, _multiply(self.quaternion, child.quaternion))

    def invert(self) -> Pose:
        """Return the pose of the parent in the child."""
        return Pose(-(self.rotation.T @ self.position), self.quaternion * [-1, -1, -1, 1])


def make_pose(position: ArrayLike, quaternion: ArrayLike) -> Pose:
    """Return a pose from numbers of a message.

    Args:
        position: x, y, z in meters.
        quaternion: x, y, z, w of any length above zero.

    Raises:
        ValueError: a number is not finite, or the quaternion has no length.
    """
    place = np.asarray(position, np.float64)
    rotation = np.asarray(quaternion, np.float64)
    length = np.linalg.norm(rotation)
    if not (np.isfinite(place).all() and np.isfinite(length) and length > 1e-6):
        raise ValueError(
            f"a pose must be finite with a quaternion: got {place.tolist()}, {rotation.tolist()}"
        )
    return Pose(place, rotation / length)


class PoseHistory:
    """Poses of one frame in its parent, interpolated in time.

    Args:
        duration_ns: time that poses are kept for, in nanoseconds.
    """

    def __init__(self, duration_ns: int = 10_000_000_000) -> None:
        self._duration_ns = duration_ns
        self._stamps_ns: list[int] = []
        self._poses: list[Pose] = []
        self._static: Pose | None = None

    def set_static(self, pose: Pose) -> None:
        """Set a pose that holds at all times."""
        self._static = pose

    def add(self, stamp_ns: int, pose: Pose) -> None:
        """Add a pose. A stamp older than the history begins a new one, as when a recording restarts."""
        if self._stamps_ns and stamp_ns < self._stamps_ns[-1] - self._duration_ns:
            self._stamps_ns.clear()
            self._poses.clear()
        index = bisect_left(self._stamps_ns, stamp_ns)
        if index < len(self._stamps_ns) and self._stamps_ns[index] == stamp_ns:
            self._poses[index] = pose
            return
        self._stamps_ns.insert(index, stamp_ns)
        self._poses.insert(index, pose)
        num_old = bisect_left(self._stamps_ns, self._stamps_ns[-1] - self._duration_ns)
        del self._stamps_ns[:num_old], self._poses[:num_old]

    def interpolate(self, stamp_ns: int) -> Pose:
        """Return the pose at a time.

        Raises:
            PoseUnavailableError: the time is before the oldest or after the newest pose.
        """
        if self._static is not None:
            return self._static
        if not self._stamps_ns:
            raise PoseUnavailableError("no pose has arrived yet", is_early=True)
        index = bisect_left(self._stamps_ns, stamp_ns)
        if index == len(self._stamps_ns):
            age_s = (stamp_ns - self._stamps_ns[-1]) / 1e9
            raise PoseUnavailableError(
                f"the newest pose is {age_s:.3f} s older than the image", is_early=True
            )
        if self._stamps_ns[index] == stamp_ns:
            return self._poses[index]
        if index == 0:
            age_s = (self._stamps_ns[0] - stamp_ns) / 1e9
            raise PoseUnavailableError(f"the oldest pose is {age_s:.3f} s newer than the image")
        before, after = self._stamps_ns[index - 1], self._stamps_ns[index]
        share = (stamp_ns - before) / (after - before)
        return _interpolate(self._poses[index - 1], self._poses[index], share)


class TransformTree:
    """Poses of coordinate frames in their parents, from the topics /tf and /tf_static."""

    def __init__(self) -> None:
        self._histories: dict[str, tuple[str, PoseHistory]] = {}

    def add(self, parent: str, child: str, stamp_ns: int, pose: Pose, *, is_static: bool = False) -> None:
        """Add the pose of a frame in its parent. A new parent replaces the history of the frame.

        Raises:
            ValueError: a name is empty, the frame is its own parent, or there are too many frames.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise ValueError(f"a transform must have two frames: got {parent!r} and {child!r}")
        known = self._histories.get(child)
        if known is None or known[0] != parent:
            if known is None and len(self._histories) >= _MAX_FRAMES:
                raise ValueError(f"more than {_MAX_FRAMES} frames")
            known = (parent, PoseHistory())
            self._histories[child] = known
        if is_static:
            known[1].set_static(pose)
        else:
            known[1].add(stamp_ns, pose)

    def look_up(self, target: str, source: str, stamp_ns: int) -> Pose:
        """Return the pose of the frame `source` in the frame `target` at a time.

        Raises:
            PoseUnavailableError: the frames are not connected, or a pose is unknown at the time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        target_chain, source_chain = self._list_ancestors(target), self._list_ancestors(source)
        common = next((frame for frame in source_chain if frame in target_chain), None)
        if common is None:
            raise PoseUnavailableError(f"no transforms connect {source} with {target}", is_early=True)
        source_pose = self._climb(source_chain[: source_chain.index(common)], stamp_ns)
        target_pose = self._climb(target_chain[: target_chain.index(common)], stamp_ns)
        return target_pose.invert().compose(source_pose)

    def _list_ancestors(self, frame: str) -> list[str]:
        """Return a frame and its ancestors, up to the root."""
        chain = [frame]
        while chain[-1] in self._histories:
            parent = self._histories[chain[-1]][0]
            if parent in chain or len(chain) > _MAX_DEPTH:
                raise PoseUnavailableError(f"the transforms of {frame} are a circle or too many")
            chain.append(parent)
        return chain

    def _climb(self, chain: list[str], stamp_ns: int) -> Pose:
        """Return the pose of the first frame of a chain in the parent of the last."""
        pose = Pose(np.zeros(3), np.array([0, 0, 0, 1.0]))
        for frame in chain:
            try:
                pose = self._histories[frame][1].interpolate(stamp_ns).compose(pose)
            except PoseUnavailableError as error:
                raise PoseUnavailableError(f"frame {frame}: {error}", is_early=error.is_early) from error
        return pose


def _multiply(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the product of two quaternions x, y, z, w."""
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(vector, a[3] * b[3] - a[:3] @ b[:3])


def _interpolate(before: Pose, after: Pose, share: float) -> Pose:
    """Return the pose between two: linear in position, spherical in rotation."""
    position = before.position + share * (after.position - before.position)
    cosine = float(before.quaternion @ after.quaternion)
    end = after.quaternion if cosine >= 0 else -after.quaternion
    angle = np.arccos(min(abs(cosine), 1.0))
    if angle < 1e-6:
        weights = (1 - share, share)
    else:
        weights = (np.sin((1 - share) * angle) / np.sin(angle), np.sin(share * angle) / np.sin(angle))
    quaternion = weights[0] * before.quaternion + weights[1] * end
    return Pose(position, quaternion / np.linalg.norm(quaternion))
