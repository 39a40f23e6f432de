"""The objects of a scene: target, look-alikes, moving distractors and occluders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.sprites import Sprite, choose_half_size
from hsi_tracker_ros.simulation.trajectories import (
    CameraPath,
    Trajectory,
    make_excursion,
    make_wandering_trajectory,
)

_UNDISTURBED_FRAMES = 10
"""Number of first frames in which the target is neither occluded nor out of view."""


@dataclass(frozen=True)
class SpriteShape:
    """Shape, size and deformation of a target, which its look-alikes have too.

    Attributes:
        seed: seed of shape, texture and motion.
        texture_px: side of the texture in pixels.
        deformation: 0 for stiff to 1 for strong bending and swinging.
    """

    seed: int
    texture_px: int
    deformation: float

    def make_random_generator(self) -> np.random.Generator:
        """Return a new random generator of shape, texture and motion."""
        return np.random.default_rng(self.seed)


class SpriteFactory(Protocol):
    """Factory of the sprites of a scene."""

    def make_target(self, shape: SpriteShape) -> Sprite:
        """Return the target."""

    def make_look_alike(self, shape: SpriteShape, rng: np.random.Generator) -> Sprite:
        """Return a sprite that differs from the target only in its spectra.

        Args:
            shape: shape of the target.
            rng: random generator of the spectra.
        """

    def make_distractor(self, shape: SpriteShape, rng: np.random.Generator) -> Sprite:
        """Return another moving object, which may have the shape of the target.

        Args:
            shape: shape of the target.
            rng: random generator of the scene's objects.
        """

    def make_occluder(self, rng: np.random.Generator) -> Sprite:
        """Return a sprite of one part that can cover the target."""


@dataclass(frozen=True)
class SceneObject:
    """A sprite and its trajectory in world coordinates."""

    actor: Sprite
    path: Trajectory


@dataclass(frozen=True)
class SceneObjects:
    """All objects of a scene from back to front.

    Attributes:
        objects: all objects from back to front.
        target: the target.
        look_alikes: objects that differ from the target only in their spectra.
    """

    objects: tuple[SceneObject, ...]
    target: SceneObject
    look_alikes: tuple[SceneObject, ...] = ()

    def is_target_touched(self, time: int) -> bool:
        """Return whether a look-alike may touch the target in a frame."""
        return any(not twin.path.is_clear_of(self.target.path, time) for twin in self.look_alikes)


class SceneObjectsBuilder:
    """A builder of the objects of a scene.

    Args:
        rng: random generator. The camera does not change the draws.
        sprites: factory of the sprites.
        camera_path: motion of the image through the world.
        size: width and height of the image in pixels.
        attributes: attributes of the scene.
        target_px: length of the target's longer side in pixels.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        sprites: SpriteFactory,
        camera_path: CameraPath,
        size: tuple[int, int],
        attributes: tuple[str, ...],
        target_px: float,
    ) -> None:
        self._rng, self._sprites = rng, sprites
        self._camera_path, self._size, self._attributes = camera_path, size, attributes
        self._length = len(camera_path.zoom)
        self._half = choose_half_size(rng, target_px)
        deformation = float(rng.uniform(0.6, 1.0) if "DEF" in attributes else rng.uniform(0, 0.3))
        texture_px = int(np.clip(1.6 * target_px, 16, 160))
        self._shape = SpriteShape(int(rng.integers(1 << 31)), texture_px, deformation)

    def build(self) -> SceneObjects:
        """Build the objects. Each call gives other objects."""
        rng = self._rng
        usual = self._make_target_trajectory()
        path = _make_leaving_trajectory(usual, rng, self._size) if "OV" in self._attributes else usual
        path, usual = self._to_world(path), self._to_world(usual)
        target = SceneObject(self._sprites.make_target(self._shape), path)
        look_alikes = self._make_look_alikes(usual)
        passers_by = self._make_moving_distractors(path)
        behind: list[SceneObject] = []
        front: list[SceneObject] = []
        for others, in_front in ((look_alikes, 0.5), (passers_by, 0.3)):
            for other in others:
                near = bool(rng.random() < in_front) and other.path.is_clear_of(target.path, 0)
                (front if near else behind).append(other)
        if "OCC" in self._attributes:
            front += self._make_occluders(target.path)
        return SceneObjects((*behind, target, *front), target, tuple(look_alikes))

    def _make_target_trajectory(self) -> Trajectory:
        """Return the trajectory of the target in the image."""
        rng = self._rng
        return make_wandering_trajectory(
            rng,
            self._length,
            self._size,
            self._half,
            speed=float(rng.uniform(0.4, 2.5)),
            bursts="FM" in self._attributes,
            scale_change=0.45 if "SV" in self._attributes else 0.12,
            turn=float(rng.choice([0.1, 0.4, 1.0])),
        )

    def _to_world(self, path: Trajectory) -> Trajectory:
        """Convert a trajectory in the image to a trajectory in the world."""
        world = self._camera_path.to_world(np.stack([path.x, path.y], axis=1))
        return path.translate(world[:, 0] - path.x, world[:, 1] - path.y)

    def _make_look_alikes(self, path: Trajectory) -> list[SceneObject]:
        """Return objects that differ from the target only in their spectra and cross its trajectory."""
        if "SLA" not in self._attributes:
            return []
        result = []
        for _ in range(int(self._rng.integers(2, 4))):
            chance = np.random.default_rng(self._rng.integers(1 << 31))
            twin = self._sprites.make_look_alike(self._shape, chance)
            result.append(SceneObject(twin, self._make_crossing_trajectory(path)))
        return result

    def _make_moving_distractors(self, path: Trajectory) -> list[SceneObject]:
        rng = self._rng
        result = []
        for _ in range(int(rng.integers(4, 9) if "BC" in self._attributes else rng.integers(2, 6))):
            actor = self._sprites.make_distractor(self._shape, rng)
            result.append(
                SceneObject(actor, self._make_companion_trajectory(path, meets=bool(rng.random() < 0.5)))
            )
        return result

    def _make_companion_trajectory(self, path: Trajectory, *, meets: bool) -> Trajectory:
        """Return the trajectory of an object of about the target's size, which may approach the target."""
        rng = self._rng
        half = self._half[0] * rng.uniform(0.7, 1.4), self._half[1] * rng.uniform(0.7, 1.4)
        companion = make_wandering_trajectory(
            rng, self._length, self._size, half, speed=float(rng.uniform(0.2, 2.5))
        )
        if not meets:
            return companion
        _, moment = self._choose_event_frame()
        gap = rng.uniform(1.0, 4.0) * max(self._half)
        angle = rng.uniform(0, 2 * np.pi)
        dx = path.x[moment] + gap * np.cos(angle) - companion.x[moment]
        dy = path.y[moment] + gap * np.sin(angle) - companion.y[moment]
        return companion.translate(np.full(self._length, dx), np.full(self._length, dy))

    def _make_crossing_trajectory(self, path: Trajectory) -> Trajectory:
        """Return a trajectory beside the target that changes sides.

        While the target is out of view, the trajectory follows the position that the target would have.
        """
        rng = self._rng
        half = self._half[0] * rng.uniform(0.85, 1.15), self._half[1] * rng.uniform(0.85, 1.15)
        own = make_wandering_trajectory(
            rng, self._length, self._size, half, speed=float(rng.uniform(0.2, 2.5))
        )
        event, moment = self._choose_event_frame()
        size, angle = max(self._half), rng.uniform(0, 2 * np.pi)
        along, aside = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        apart = rng.uniform(5.0, 9.0) * size * aside
        own = own.translate(
            np.full(self._length, path.x[moment] + apart[0] - own.x[moment]),
            np.full(self._length, path.y[moment] + apart[1] - own.y[moment]),
        )
        stay, travel = int(rng.integers(15, 45)), int(rng.integers(15, 30))
        start = max(event - stay // 2 - travel, 0)
        crossed = np.interp(np.arange(self._length), [start + travel, start + travel + stay], [-1, 1])
        reach, miss = rng.uniform(1.5, 3.0) * size, rng.uniform(0.0, 0.6) * size
        beside_x = path.x + reach * crossed * along[0] + miss * aside[0]
        beside_y = path.y + reach * crossed * along[1] + miss * aside[1]
        joined = make_excursion(start, stay, travel, self._length)
        return own.translate(joined * (beside_x - own.x), joined * (beside_y - own.y))

    def _choose_event_frame(self) -> tuple[int, int]:
        """Choose the frame of an event, after the first frames, and the last frame up to the event.

        In a short scene the frame may be after the end.
        """
        event = int(
            self._rng.integers(
                max(self._length // 7, _UNDISTURBED_FRAMES), max(self._length, 2 * _UNDISTURBED_FRAMES)
            )
        )
        return event, min(event, self._length - 1)

    def _make_occluders(self, path: Trajectory) -> list[SceneObject]:
        """Return occluders on the target's trajectory. None covers its first position."""
        return [self._make_occluder(path) for _ in range(int(self._rng.integers(1, 4)))]

    def _make_occluder(self, path: Trajectory) -> SceneObject:
        rng = self._rng
        event, moment = self._choose_event_frame()
        around = max(path.half_width[moment], path.half_height[moment])
        covers_all = rng.random() < 0.5
        across = around * (rng.uniform(1.1, 1.7) if covers_all else rng.uniform(0.25, 0.8))
        along = around * rng.uniform(1.5, 4.0)
        half = (across, along) if rng.random() < 0.5 else (along, across)
        aside = 0.0 if covers_all else rng.uniform(-0.5, 0.5) * around
        still = np.ones(self._length)
        place = Trajectory(
            (path.x[moment] + aside) * still,
            (path.y[moment] + aside) * still,
            half[0] * still,
            half[1] * still,
            rng.uniform(-0.3, 0.3) * still,
        )
        direction = rng.uniform(0, 2 * np.pi)
        thing = self._sprites.make_occluder(rng)
        if not place.is_clear_of(path, 0):
            reach = np.hypot(*half) + 2 * np.hypot(path.half_width[0], path.half_height[0])
            way = 1.5 * reach * (np.arange(self._length) / event - 1)
            place = place.translate(way * np.cos(direction), way * np.sin(direction))
        return SceneObject(thing, place)


def _make_leaving_trajectory(path: Trajectory, rng: np.random.Generator, size: tuple[int, int]) -> Trajectory:
    """Return a trajectory with one or two excursions over the nearest border of the image."""
    length = len(path.x)
    first = max(length // 7, _UNDISTURBED_FRAMES)
    last = max(length - 30, first + 1)
    margin = 1.6 * float(np.hypot(path.half_width.max(), path.half_height.max())) + 6
    zero = np.zeros(length)
    ways: tuple[Callable[[Trajectory], NDArray[np.float64]], ...] = (
        lambda p: np.stack([-(p.x + margin), zero]),
        lambda p: np.stack([size[0] + margin - p.x, zero]),
        lambda p: np.stack([zero, -(p.y + margin)]),
        lambda p: np.stack([zero, size[1] + margin - p.y]),
    )
    shift = np.zeros((2, length))
    earliest = 0
    for start in np.sort(rng.integers(first, last, int(rng.integers(1, 3)))):
        hold, travel = int(rng.integers(10, 35)), int(rng.integers(10, 25))
        if start < earliest:
            continue
        earliest = int(start) + hold + 2 * travel
        out = min(
            (way(path) for way in ways), key=lambda way: float(np.abs(way[:, min(start, length - 1)]).sum())
        )
        shift += make_excursion(int(start), hold, travel, length) * out
    return path.translate(shift[0], shift[1])
