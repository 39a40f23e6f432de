"""The moving objects: position of each on the ground map in each frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from spax_ros.simulation import measured_traffic
from spax_ros.simulation.noise_fields import Points
from spax_ros.simulation.roads import Junction, Road, RoadNetwork

Array = NDArray[np.float64]

_QUEUE_GAP_PX = 2.0  # between two vehicles that wait
_START_DELAY_FRAMES = 2  # until a vehicle starts after the one ahead


class ObjectClass(IntEnum):
    """The classes of SatVideoDT, in the order of the official SPAX's training files."""

    CAR = 0
    AIRPLANE = 1
    SHIP = 2
    TRAIN = 3


class OcclusionLevel(IntEnum):
    """The things that can hide an object: bridges hide vehicles, only clouds hide aircraft."""

    GROUND = 0
    BRIDGE = 1
    AIR = 2


@dataclass(frozen=True)
class Mover:
    """One object through the whole sequence.

    Attributes:
        positions: center of each rigid part on the ground map, `(frames, parts, 2)`. Trains have several
            parts.
        headings: heading in radians, x toward y, `(frames, parts)`.
        speeds: speed over the ground in pixels per frame, `(frames,)`.
        is_present: True for frames in which the object is on the map, `(frames,)`.
        length: length of a part in pixels.
        width: width of a part in pixels.
        color: blue, green, red in 0..255.
        contrast: gray levels above the ground in full sun; None: the object has its color.
    """

    object_class: ObjectClass
    level: OcclusionLevel
    positions: Array
    headings: Array
    speeds: Array
    is_present: NDArray[np.bool_]
    length: float
    width: float
    color: tuple[float, float, float]
    contrast: float | None = None


@dataclass(frozen=True)
class Journey:
    """A path and its stops, started at `start_frame`.

    Attributes:
        path: the path with a point per pixel of its length, `(n, 2)`.
        stops: ascending distances along the path at which the object stops.
        waits: number of frames at each stop.
        start_px: distance along the path at the start; a negative one is before it.
    """

    path: Points
    speed: float
    start_frame: int
    stops: tuple[float, ...] = ()
    waits: tuple[int, ...] = ()
    start_px: float = 0.0


def choose_vehicle_color(rng: np.random.Generator) -> tuple[float, float, float]:
    """Choose a vehicle's color: mostly white, silver and black, sometimes red, blue or yellow."""
    kind = rng.choice(4, p=[0.58, 0.17, 0.12, 0.13])
    if kind == 0:
        color = np.full(3, rng.uniform(195, 255)) + rng.normal(0, 4, 3)
    elif kind == 1:
        color = np.full(3, rng.uniform(155, 195)) + rng.normal(0, 5, 3)
    elif kind == 2:
        color = np.full(3, rng.uniform(5, 35)) + rng.normal(0, 4, 3)
    else:
        color = np.array([[80, 40, 20], [60, 200, 235], [70, 70, 235], [230, 190, 150]])[rng.integers(4)]
        color = color * rng.uniform(0.9, 1.15)
    blue, green, red = np.clip(color, 0, 255)
    return float(blue), float(green), float(red)


def choose_vehicle_size(rng: np.random.Generator, pixels_per_meter: float) -> tuple[float, float]:
    """Choose the length and width of a car, van, truck or bus in pixels."""
    length, width = (
        (rng.uniform(4.0, 5.0), rng.uniform(1.8, 2.1))
        if rng.random() < 0.78
        else (rng.uniform(6.0, 11.0), rng.uniform(2.2, 2.7))
    )
    return length * pixels_per_meter, width * pixels_per_meter


def make_road_vehicles(
    rng: np.random.Generator,
    roads: RoadNetwork,
    frames: int,
    per_megapixel: float,
    extent: tuple[int, int],
    pixels_per_meter: float,
    level: OcclusionLevel = OcclusionLevel.GROUND,
    *,
    is_measured: bool = False,
    is_flow: bool = False,
) -> list[Mover]:
    """Return vehicles that drive along the roads, turn, stop at lights and leave the map.

    Args:
        rng: random generator.
        roads: roads of the map.
        frames: number of frames.
        per_megapixel: number of vehicles per megapixel.
        extent: width and height of the map.
        pixels_per_meter: scale of the map.
        level: objects and weather that can hide the vehicles.
        is_measured: True if speeds, sizes and stops follow `measured_traffic`.
        is_flow: True if gaps, turns and contrasts do so as well.
    """
    junctions = roads.junctions
    if not junctions:
        return []
    megapixels = (extent[0] + 80) * (extent[1] + 80) / 1e6
    at_start = per_megapixel * megapixels
    mean_speed = 1.7
    renewals = at_start * frames * mean_speed / (0.7 * (extent[0] + extent[1]))
    journeys, sizes = [], []
    leaders = 1 - measured_traffic.FOLLOWERS if is_flow else 1.0
    turns_per_px = measured_traffic.TURNS_PER_PX if is_flow else None
    for number in range(rng.poisson(leaders * at_start) + rng.poisson(leaders * renewals)):
        if is_measured:
            length, width = measured_traffic.choose_size(rng)
            hurry = measured_traffic.choose_speed(rng)
        else:
            length, width = choose_vehicle_size(rng, pixels_per_meter)
            hurry = float(np.clip(rng.lognormal(np.log(1.25 * pixels_per_meter), 0.45), 0.5, 6.0))
        first = junctions[rng.integers(len(junctions))]
        legs, places = roads.choose_route(rng, first, hurry * frames + 400, turns_per_px)
        if not legs:
            continue
        path, junction_at = _make_lane(legs, places, roads.lane_width, rng)
        lines = junction_at[1:-1] - roads.lane_width * 1.5  # where vehicles wait
        stop_rate = 0.15
        if is_measured:
            stop_rate = measured_traffic.compute_stop_rate(hurry, float(junction_at[-1]), len(lines))
        stops = tuple(float(s) for s in lines if s > 5 and rng.random() < stop_rate)
        if is_measured:
            waits = tuple(measured_traffic.choose_wait(rng) for _ in stops)
        else:
            waits = tuple(int(w) for w in rng.integers(8, 45, len(stops)))
        start = 0 if number < leaders * at_start else int(rng.integers(frames))
        journeys.append(Journey(path, hurry, start, stops, waits))
        sizes.append((length, width))
        while is_flow and rng.random() < measured_traffic.FOLLOWERS:
            size = measured_traffic.choose_size(rng)
            gap_frames = measured_traffic.choose_gap(rng)
            journeys.append(_follow(journeys[-1], gap_frames, 0.5 * (sizes[-1][0] + size[0])))
            sizes.append(size)
    travelled = _simulate_driving(journeys, frames)
    movers = []
    for journey, (length, width), distance in zip(journeys, sizes, travelled, strict=True):
        mover = _make_mover(
            ObjectClass.CAR, level, journey, distance[:, None], length, width, choose_vehicle_color(rng)
        )
        if is_flow:
            mover = replace(mover, contrast=measured_traffic.choose_contrast(rng))
        movers.append(mover)
    return _drop_colliding(movers)


def _follow(leader: Journey, gap_frames: float, half_lengths: float) -> Journey:
    """Return the journey of the vehicle behind another: the same way, and behind it at its stops.

    Args:
        leader: journey of the vehicle ahead.
        gap_frames: time to the place of the vehicle ahead in frames.
        half_lengths: half the lengths of both vehicles in pixels.
    """
    gap_px = max(gap_frames * leader.speed, half_lengths + _QUEUE_GAP_PX)
    late_frames = gap_px / leader.speed
    stops, waits = [], []
    for stop, wait in zip(leader.stops, leader.waits, strict=True):
        behind = stop - half_lengths - _QUEUE_GAP_PX
        if wait > late_frames and behind > 0:  # the vehicle ahead still waits
            stops.append(behind)
            waits.append(round(wait - late_frames) + _START_DELAY_FRAMES)
    return Journey(
        leader.path, leader.speed, leader.start_frame, tuple(stops), tuple(waits), leader.start_px - gap_px
    )


def make_trains(
    rng: np.random.Generator, track: Points, frames: int, pixels_per_meter: float, number: int
) -> list[Mover]:
    """Return trains of several cars on one track with a point per pixel."""
    length, width = 19 * pixels_per_meter, 2.9 * pixels_per_meter
    movers = []
    for index in range(number):
        carriages = int(rng.integers(2, 7))
        speed = float(rng.uniform(0.8, 4.0))
        path = track if rng.random() < 0.5 else track[::-1]
        side = width * (0.8 + 1.2 * index)
        path = path + side * _compute_normals(path)
        journey = Journey(path, speed, 0)
        head = rng.uniform(0, len(path)) + _simulate_driving([journey], frames)[0]
        behind = np.arange(carriages) * (length + 0.8 * pixels_per_meter)
        gray = rng.uniform(120, 245)
        color = (gray, gray * rng.uniform(0.9, 1.05), gray * rng.uniform(0.8, 1.05))
        movers.append(
            _make_mover(
                ObjectClass.TRAIN,
                OcclusionLevel.GROUND,
                journey,
                head[:, None] - behind,
                length,
                width,
                color,
            )
        )
    return movers


def make_ships(
    rng: np.random.Generator,
    water: NDArray[np.uint8],
    frames: int,
    pixels_per_meter: float,
    number: int,
    speeds: tuple[float, float] = (0.4, 1.8),
) -> list[Mover]:
    """Return ships on straight or slightly bent courses on the water, with speeds in pixels a frame."""
    clear = cv2.distanceTransform(water, cv2.DIST_L2, 3)
    rows, columns = np.nonzero(clear > 12)
    movers: list[Mover] = []
    for _ in range(12 * number if len(rows) else 0):
        if len(movers) == number:
            break
        pick = rng.integers(len(rows))
        speed = float(rng.uniform(*speeds))
        turn = rng.normal(0, 1e-3)
        reach = speed * frames + 4
        along = np.arange(-reach / 2, reach / 2)
        angle = rng.uniform(0, 2 * np.pi) + turn * along
        path = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], -1), axis=0)
        path += [columns[pick], rows[pick]] - path[len(path) // 2]
        column, row = path.T.astype(int)
        inside = (column >= 0) & (column < water.shape[1]) & (row >= 0) & (row < water.shape[0])
        if not np.all(clear[row[inside], column[inside]] > 6):
            continue
        length = (
            float(rng.choice([rng.uniform(7, 18), rng.uniform(18, 40)], p=[0.75, 0.25])) * pixels_per_meter
        )
        width = max(length * rng.uniform(0.2, 0.33), 2.5)
        gray = rng.uniform(150, 250)
        journey = Journey(path, speed, 0)
        distance = _simulate_driving([journey], frames)[0][:, None]
        color = (gray, gray, gray * rng.uniform(0.85, 1.0))
        movers.append(
            _make_mover(ObjectClass.SHIP, OcclusionLevel.GROUND, journey, distance, length, width, color)
        )
    return _drop_colliding(movers)


def make_aircraft(
    rng: np.random.Generator, extent: tuple[int, int], frames: int, pixels_per_meter: float, number: int
) -> list[Mover]:
    """Return aircraft in straight flight above everything."""
    movers = []
    for _ in range(number):
        speed = float(rng.uniform(2.0, 8.0))
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle)])
        passing = np.array(extent) * rng.uniform(0.2, 0.8, 2)
        closest = rng.uniform(0, frames)
        along = np.arange(int(speed * frames) + 2)
        path = passing + (along - closest * speed)[:, None] * direction
        length = float(rng.uniform(20, 45)) * pixels_per_meter
        gray = rng.uniform(190, 255)
        journey = Journey(path, speed, 0)
        distance = _simulate_driving([journey], frames)[0][:, None]
        movers.append(
            _make_mover(
                ObjectClass.AIRPLANE,
                OcclusionLevel.AIR,
                journey,
                distance,
                length,
                length * rng.uniform(0.85, 1.0),
                (gray, gray, gray),
            )
        )
    return movers


def _make_lane(
    roads: list[Road], places: list[Junction], lane_width: float, rng: np.random.Generator
) -> tuple[Points, Array]:
    """Return the driven line with a point per pixel, and the distance along it of each junction."""
    pieces, junctions = [], [0.0]
    lane = rng.integers(2)
    for road, here, there in zip(roads, places, places[1:], strict=False):
        center_line = road.path if here < there else road.path[::-1]
        offset = lane_width * ((0.55 + lane) if road.is_arterial else 0.55)
        line = center_line + offset * _compute_normals(center_line)
        steps = np.hypot(*np.diff(line, axis=0).T)
        at = np.concatenate([[0.0], np.cumsum(steps)])
        fine = np.arange(0.0, at[-1])
        pieces.append(np.stack([np.interp(fine, at, line[:, axis]) for axis in (0, 1)], axis=1))
        junctions.append(junctions[-1] + len(fine))
    path = np.concatenate(pieces)
    window = int(2 * lane_width) | 1
    path = uniform_filter1d(
        uniform_filter1d(path, window, axis=0, mode="nearest"), window, axis=0, mode="nearest"
    )
    return path, np.array(junctions)


def _compute_normals(path: Points) -> Points:
    """Return unit vectors to the right of a path (y points down)."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T)[:, None], 1e-9)
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def _simulate_driving(journeys: list[Journey], frames: int) -> list[Array]:
    """Return the distance of each journey in each frame: braking for stops, waiting, accelerating."""
    count = len(journeys)
    most = max((len(journey.stops) for journey in journeys), default=0) + 1
    stops = np.full((count, most + 1), np.inf)
    waits = np.zeros((count, most + 1))
    for row, journey in enumerate(journeys):
        stops[row, : len(journey.stops)] = journey.stops
        waits[row, : len(journey.waits)] = journey.waits
    cruise = np.array([journey.speed for journey in journeys])
    start = np.array([journey.start_frame for journey in journeys])
    rows = np.arange(count)
    next_stop = np.zeros(count, int)
    distance, speed = np.array([journey.start_px for journey in journeys]), cruise.copy()
    travelled = np.empty((frames, count))
    braking = 0.12
    for frame in range(frames):
        travelled[frame] = distance
        room = stops[rows, next_stop] - distance
        arrived = room < 0.3
        waits[rows, next_stop] -= arrived
        next_stop += arrived & (waits[rows, next_stop] <= 0)
        permitted = np.where(room < 0.3, 0.0, np.sqrt(2 * braking * np.maximum(room, 0)))
        speed = np.minimum(np.minimum(speed + braking, cruise), permitted)
        distance = distance + speed * (frame >= start)
    return list(travelled.T)


def _make_mover(
    object_class: ObjectClass,
    level: OcclusionLevel,
    journey: Journey,
    distance: Array,
    length: float,
    width: float,
    color: tuple[float, float, float],
) -> Mover:
    index = np.arange(len(journey.path))
    tangent = np.gradient(journey.path, axis=0)
    heading = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    places = np.stack([np.interp(distance, index, journey.path[:, axis]) for axis in (0, 1)], axis=-1)
    lead = distance[:, 0]
    present = (np.arange(len(lead)) >= journey.start_frame) & (lead < len(index) - 1) & (distance[:, -1] >= 0)
    speeds = np.diff(lead, append=2 * lead[-1] - lead[-2] if len(lead) > 1 else lead[-1])
    return Mover(
        object_class,
        level,
        places,
        np.interp(distance, index, heading),
        speeds,
        present,
        length,
        width,
        color,
    )


def _drop_colliding(movers: list[Mover], tolerated_frames: int = 4) -> list[Mover]:
    """Drop movers that would overlap another mover for more than a moment at crossing paths."""
    kept: list[Mover] = []
    for mover in movers:
        place = mover.positions[:, 0]
        others = np.stack([other.positions[:, 0] for other in kept]) if kept else np.zeros((0, *place.shape))
        both = (
            mover.is_present & np.stack([other.is_present for other in kept])
            if kept
            else np.zeros((0, len(place)), bool)
        )
        reach = np.array([0.5 * (mover.length + other.length) for other in kept])
        close = (np.abs(others - place).max(axis=-1) < reach[:, None]) & both
        if not np.any(close.sum(axis=1) > tolerated_frames):
            kept.append(mover)
    return kept
