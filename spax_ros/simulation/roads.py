"""A road network: a bent lattice of arterials and streets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spax_ros.simulation.noise_fields import Points

Junction = tuple[int, int]
_STEPS: tuple[Junction, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))
_POINTS_PER_EDGE = 8


@dataclass(frozen=True)
class Road:
    """One line of the lattice between two neighboring junctions.

    Attributes:
        path: center line from the junction of lower index to that of higher index, `(n, 2)`.
        width: width of the carriageway in pixels.
        is_arterial: True if the road has two lanes and faster traffic, else one lane each way.
    """

    path: Points
    width: float
    is_arterial: bool


class RoadNetwork:
    """Roads between the junctions of a bent lattice that covers the ground map and its surroundings."""

    def __init__(self, rng: np.random.Generator, extent: tuple[int, int], pixels_per_meter: float) -> None:
        self._extent = np.array(extent, np.float64)
        self._center = self._extent / 2
        self.heading = float(rng.uniform(0, np.pi / 2))
        reach = np.hypot(*extent) / 2 + 60
        spacing = rng.uniform(60, 130) * pixels_per_meter
        self._u = _graduations(rng, reach, spacing)
        self._v = _graduations(rng, reach, spacing * rng.uniform(0.7, 1.6))
        self._bend = rng.uniform(0, 30, 2)
        self._wave = rng.uniform(0.5, 1.5, 2) * 2 * np.pi / 900
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        lane = 3.6 * pixels_per_meter
        self.lane_width = lane
        arterial = [rng.random(len(self._u)) < 0.35, rng.random(len(self._v)) < 0.35]
        self.roads: dict[tuple[Junction, Junction], Road] = {}
        for i, j, (di, dj) in self._links():
            is_arterial = bool(arterial[0][i] if dj else arterial[1][j])
            if not is_arterial and rng.random() < 0.25:
                continue
            fractions = np.linspace(0, 1, _POINTS_PER_EDGE)
            path = self.to_ground(i + di * fractions, j + dj * fractions)
            if self._near(path):
                width = lane * (4.4 if is_arterial else 2.4)
                self.roads[(i, j), (i + di, j + dj)] = Road(path, width, is_arterial)

    @property
    def junctions(self) -> list[Junction]:
        """Junctions at which roads start, meet or end."""
        return sorted({junction for link in self.roads for junction in link})

    @property
    def cells(self) -> tuple[int, int]:
        """Number of blocks between the lattice's lines in both directions."""
        return len(self._u) - 1, len(self._v) - 1

    def to_ground(self, i: NDArray[np.float64] | float, j: NDArray[np.float64] | float) -> Points:
        """Convert fractional lattice coordinates to pixels on the ground map, `(..., 2)`."""
        u = np.interp(i, np.arange(len(self._u)), self._u)
        v = np.interp(j, np.arange(len(self._v)), self._v)
        u, v = (
            u + self._bend[0] * np.sin(self._wave[0] * v + self._phase[0]),
            v + self._bend[1] * np.sin(self._wave[1] * u + self._phase[1]),
        )
        cosine, sine = np.cos(self.heading), np.sin(self.heading)
        return self._center + np.stack([cosine * u - sine * v, sine * u + cosine * v], axis=-1)

    def find_road(self, start: Junction, end: Junction) -> Road | None:
        """Return the road between neighboring junctions in either direction."""
        return self.roads.get((min(start, end), max(start, end)))

    def remove_roads_in_water(self, water: NDArray[np.uint8]) -> None:
        """Remove the roads that lead into water, given as a mask of the ground map."""
        bounds = np.array([water.shape[1], water.shape[0]]) - 1

        def wet(road: Road) -> bool:
            column, row = np.clip(road.path, 0, bounds).astype(int).T
            return bool(water[row, column].any())

        self.roads = {link: road for link, road in self.roads.items() if not wet(road)}

    def choose_route(
        self, rng: np.random.Generator, start: Junction, length: float, turns_per_px: float | None = None
    ) -> tuple[list[Road], list[Junction]]:
        """Choose a route from a junction: mostly straight ahead, never back.

        Args:
            rng: random generator.
            start: junction at which the route begins.
            length: length in pixels at which the route may end.
            turns_per_px: mean number of turns per pixel; None: a turn at every third junction.
        """
        place = start
        roads: list[Road] = []
        places = [place]
        travelled = 0.0
        step: Junction | None = None
        while travelled < length:
            choices, weights = [], []
            for candidate in _STEPS:
                if step is not None and candidate == (-step[0], -step[1]):
                    continue
                road = self.find_road(place, (place[0] + candidate[0], place[1] + candidate[1]))
                if road is not None:
                    choices.append((candidate, road))
                    straight = 4.0
                    if turns_per_px is not None:
                        road_px = float(np.hypot(*(road.path[-1] - road.path[0])))
                        straight = max(2.0 / (turns_per_px * road_px) - 2.0, 1.0)
                    weights.append(
                        (straight if candidate == step else 1.0) * (2.0 if road.is_arterial else 1.0)
                    )
            if not choices:
                break
            chosen = rng.choice(len(choices), p=np.array(weights) / sum(weights))
            step, road = choices[chosen]
            place = (place[0] + step[0], place[1] + step[1])
            roads.append(road)
            places.append(place)
            travelled += float(np.hypot(*(road.path[-1] - road.path[0])))
        return roads, places

    def _links(self) -> Iterator[tuple[int, int, Junction]]:
        for i in range(len(self._u)):
            for j in range(len(self._v)):
                if i + 1 < len(self._u):
                    yield i, j, (1, 0)
                if j + 1 < len(self._v):
                    yield i, j, (0, 1)

    def _near(self, path: Points, margin: float = 40) -> bool:
        return bool(np.any(np.all((path > -margin) & (path < self._extent + margin), axis=1)))


def _graduations(rng: np.random.Generator, reach: float, spacing: float) -> NDArray[np.float64]:
    steps = rng.uniform(0.6, 1.4, int(2 * reach / spacing / 0.8) + 3) * spacing
    positions = np.cumsum(steps)
    return positions - positions[len(positions) // 2]
