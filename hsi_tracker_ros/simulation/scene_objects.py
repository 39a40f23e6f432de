"""Who plays in a scene: the target, its look-alikes, others that move, and what stands in front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.background import Palette
from hsi_tracker_ros.simulation.spectra import Spectra
from hsi_tracker_ros.simulation.sprites import Actor, half_sizes, make_actor, make_solid
from hsi_tracker_ros.simulation.trajectories import CameraPath, Trajectory, away, wandering
from tracking_runtime.spectral_info import SpectralInfo

_CALM = 10
"""Frames at the beginning in which nothing covers the target or takes it out of view."""


@dataclass(frozen=True)
class Placed:
    """An actor and where it goes, in world coordinates."""

    actor: Actor
    path: Trajectory


@dataclass(frozen=True)
class Cast:
    """All actors from back to front, the target and its look-alikes among them.

    Attributes:
        actors: from back to front.
        target: that is followed.
        look_alikes: which differ from it in nothing but their spectra.
    """

    actors: tuple[Placed, ...]
    target: Placed
    look_alikes: tuple[Placed, ...] = ()

    def touched(self, time: int) -> bool:
        """Whether a look-alike may touch the target in a frame."""
        return any(not twin.path.clear_of(self.target.path, time) for twin in self.look_alikes)


class Casting:
    """Makes the cast of a scene.

    Args:
        rng: source of chance, of which the camera decides nothing.
        camera: whose bands reflectances are made for.
        light: ``(bands,)`` under which spectral look-alikes have the target's false colour.
        camera_path: how the image moves through the world.
        size: width and height of the image in pixels.
        palette: of what things are made.
        attributes: what to provoke.
        target_px: length of the target's longer side in pixels.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        camera: SpectralInfo,
        light: NDArray[np.float32],
        camera_path: CameraPath,
        size: tuple[int, int],
        palette: Palette,
        attributes: tuple[str, ...],
        target_px: float,
    ) -> None:
        self._rng, self._camera, self._light, self._palette = rng, camera, light, palette
        self._camera_path, self._size, self._attributes = camera_path, size, attributes
        self._responses = spectra.band_responses(camera)
        self._length = len(camera_path.zoom)
        self._target_px = target_px
        self._half = half_sizes(rng, target_px)
        self._texture_px = int(np.clip(1.6 * target_px, 16, 160))
        self._deformation = float(rng.uniform(0.6, 1.0) if "DEF" in attributes else rng.uniform(0, 0.3))
        self._geometry_seed = int(rng.integers(1 << 31))

    def choose(self) -> Cast:
        """The cast; each call gives another."""
        rng = self._rng
        usual = self._target_path()
        path = _leaving(usual, rng, self._size) if "OV" in self._attributes else usual
        path, usual = self._in_world(path), self._in_world(usual)
        target = Placed(self._shaped_like_target(self._palette.target), path)
        look_alikes = self._look_alikes(usual)
        passers_by = self._passers_by(path)
        behind: list[Placed] = []
        front: list[Placed] = []
        for others, in_front in ((look_alikes, 0.5), (passers_by, 0.3)):
            for other in others:
                near = bool(rng.random() < in_front) and other.path.clear_of(target.path, 0)
                (front if near else behind).append(other)
        if "OCC" in self._attributes:
            front += self._obstacles(target.path)
        return Cast((*behind, target, *front), target, tuple(look_alikes))

    def _shaped_like_target(self, reflectances: Spectra) -> Actor:
        """The target's shape, texture and movement in other materials."""
        geometry = np.random.default_rng(self._geometry_seed)
        return make_actor(reflectances @ self._responses.T, geometry, self._texture_px, self._deformation)

    def _target_path(self) -> Trajectory:
        """Where the target goes in the image as long as it stays in it."""
        rng = self._rng
        return wandering(
            rng,
            self._length,
            self._size,
            self._half,
            speed=float(rng.uniform(0.4, 2.5)),
            bursts="FM" in self._attributes,
            scale_change=0.45 if "SV" in self._attributes else 0.12,
            turn=float(rng.choice([0.1, 0.4, 1.0])),
        )

    def _in_world(self, path: Trajectory) -> Trajectory:
        """The path in the world of something that is seen on this one in the image."""
        world = self._camera_path.to_world(np.stack([path.x, path.y], axis=1))
        return path.moved(world[:, 0] - path.x, world[:, 1] - path.y)

    def _look_alikes(self, path: Trajectory) -> list[Placed]:
        """Things that differ from the target in nothing but their spectra, and get in its way."""
        if "SLA" not in self._attributes:
            return []
        result = []
        for _ in range(int(self._rng.integers(2, 4))):
            chance = np.random.default_rng(self._rng.integers(1 << 31))
            twins = [spectra.metamer(r, self._light, self._camera, chance) for r in self._palette.target]
            result.append(Placed(self._shaped_like_target(np.stack(twins)), self._crossing(path)))
        return result

    def _passers_by(self, path: Trajectory) -> list[Placed]:
        rng = self._rng
        result = []
        for _ in range(int(rng.integers(4, 9) if "BC" in self._attributes else rng.integers(2, 6))):
            materials = self._palette.similar()
            if rng.random() < 0.4:
                actor = self._shaped_like_target(materials)
            else:
                colours = materials @ self._responses.T
                actor = make_actor(colours, rng, self._texture_px, float(rng.uniform(0, 0.8)))
            result.append(Placed(actor, self._companion(path, meets=bool(rng.random() < 0.5))))
        return result

    def _companion(self, path: Trajectory, *, meets: bool) -> Trajectory:
        """A path of another thing of about the target's size, which may come close to it at some time."""
        rng = self._rng
        half = self._half[0] * rng.uniform(0.7, 1.4), self._half[1] * rng.uniform(0.7, 1.4)
        companion = wandering(rng, self._length, self._size, half, speed=float(rng.uniform(0.2, 2.5)))
        if not meets:
            return companion
        _, moment = self._moment()
        gap = rng.uniform(1.0, 4.0) * max(self._half)
        angle = rng.uniform(0, 2 * np.pi)
        dx = path.x[moment] + gap * np.cos(angle) - companion.x[moment]
        dy = path.y[moment] + gap * np.sin(angle) - companion.y[moment]
        return companion.moved(np.full(self._length, dx), np.full(self._length, dy))

    def _crossing(self, path: Trajectory) -> Trajectory:
        """A path of a thing of the target's size, which for a while goes beside it and changes sides.

        Where the target is out of view meanwhile, it goes where the target would be.
        """
        rng = self._rng
        half = self._half[0] * rng.uniform(0.85, 1.15), self._half[1] * rng.uniform(0.85, 1.15)
        own = wandering(rng, self._length, self._size, half, speed=float(rng.uniform(0.2, 2.5)))
        event, moment = self._moment()
        size, angle = max(self._half), rng.uniform(0, 2 * np.pi)
        along, aside = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        apart = rng.uniform(5.0, 9.0) * size * aside
        own = own.moved(
            np.full(self._length, path.x[moment] + apart[0] - own.x[moment]),
            np.full(self._length, path.y[moment] + apart[1] - own.y[moment]),
        )
        stay, travel = int(rng.integers(15, 45)), int(rng.integers(15, 30))
        start = max(event - stay // 2 - travel, 0)
        crossed = np.interp(np.arange(self._length), [start + travel, start + travel + stay], [-1, 1])
        reach, miss = rng.uniform(1.5, 3.0) * size, rng.uniform(0.0, 0.6) * size
        beside_x = path.x + reach * crossed * along[0] + miss * aside[0]
        beside_y = path.y + reach * crossed * along[1] + miss * aside[1]
        joined = away(start, stay, travel, self._length)
        return own.moved(joined * (beside_x - own.x), joined * (beside_y - own.y))

    def _moment(self) -> tuple[int, int]:
        """When something happens to the target, not at the beginning, and the last frame up to then.

        In a short scene it may be after the end.
        """
        event = int(self._rng.integers(max(self._length // 7, _CALM), max(self._length, 2 * _CALM)))
        return event, min(event, self._length - 1)

    def _obstacles(self, path: Trajectory) -> list[Placed]:
        """Things in front of places where the target will be; none covers its first."""
        return [self._obstacle(path) for _ in range(int(self._rng.integers(1, 4)))]

    def _obstacle(self, path: Trajectory) -> Placed:
        rng = self._rng
        event, moment = self._moment()
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
        thing = make_solid(self._palette.scenery() @ self._responses.T, rng, 64)
        if not place.clear_of(path, 0):
            reach = np.hypot(*half) + 2 * np.hypot(path.half_width[0], path.half_height[0])
            way = 1.5 * reach * (np.arange(self._length) / event - 1)
            place = place.moved(way * np.cos(direction), way * np.sin(direction))
        return Placed(thing, place)


def _leaving(path: Trajectory, rng: np.random.Generator, size: tuple[int, int]) -> Trajectory:
    """A path in the image with one or two excursions out of it, over the nearest border."""
    length = len(path.x)
    first = max(length // 7, _CALM)
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
        shift += away(int(start), hold, travel, length) * out
    return path.moved(shift[0], shift[1])
