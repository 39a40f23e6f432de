"""The static ground as seen by the satellite."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.simulation.noise_fields import (
    Image,
    Points,
    compute_convex_hull,
    draw_polyline,
    fill_polygon,
    make_noise_field,
    make_rectangle,
)
from spax_ros.simulation.roads import RoadNetwork
from spax_ros.simulation.traffic import choose_vehicle_color, choose_vehicle_size

Color = tuple[float, float, float]

_SOIL: tuple[Color, ...] = ((108, 118, 126), (126, 136, 144), (92, 100, 108), (150, 156, 162))
_GREEN: tuple[Color, ...] = ((60, 78, 72), (70, 90, 86), (52, 64, 60), (88, 106, 104))
_PAVED: tuple[Color, ...] = ((62, 62, 64), (104, 104, 104), (140, 142, 142), (172, 174, 174))
_ROOFS: tuple[Color, ...] = (
    (212, 212, 210),
    (236, 236, 236),
    (168, 170, 172),
    (120, 122, 124),
    (96, 104, 138),
    (142, 116, 98),
    (96, 98, 104),
)
_HIGH_RISES = 0.2, (20.0, 70.0)  # share of the blocks of houses, range of heights in meters
_PORT_HIGH_RISES = 0.6, (40.0, 140.0)
_PORT_MIN_URBAN = 0.8
_TALL_M = 12.0  # buildings from this height on are drawn frame by frame


@dataclass(frozen=True)
class Building:
    """A building with visible parallax between its top and its foot.

    Attributes:
        foot: outline on the ground map, `(4, 2)`.
        height: height in pixels.
    """

    foot: Points
    height: float
    roof: Color
    wall: Color


@dataclass(frozen=True)
class Landscape:
    """The static ground in pixels of the ground map.

    Attributes:
        ground: blue, green, red, `(rows, columns, 3)`.
        shade: 255 in full sun, darker in the shadow of buildings, `(rows, columns)`.
        bridges: 255 under a bridge deck, `(rows, columns)`.
        water: 255 on water, `(rows, columns)`.
        track: railway with a point per pixel, `(n, 2)`; empty without a railway.
        sun: shift of a shadow in pixels per pixel of height.
    """

    ground: Image
    shade: Image
    bridges: Image
    water: Image
    buildings: list[Building]
    roads: RoadNetwork
    track: Points
    sun: Points


@dataclass(frozen=True)
class _Site:
    """The maps that buildings are drawn on.

    Attributes:
        closed: nonzero where nothing can be built, `(rows, columns)`.
        scale: pixels per meter.
        high_rise_share: fraction of the blocks of houses that are high-rises.
        high_rise_m: lowest and highest height of high-rises in meters.
    """

    rng: np.random.Generator
    ground: Image
    shade: Image
    closed: Image
    sun: Points
    scale: float
    buildings: list[Building]
    high_rise_share: float
    high_rise_m: tuple[float, float]


def make_landscape(
    rng: np.random.Generator, extent: tuple[int, int], pixels_per_meter: float, *, is_port: bool = False
) -> Landscape:
    """Return a landscape: town, industry, fields, roads, sometimes a coast or a railway.

    Args:
        rng: random generator.
        extent: width and height in pixels.
        pixels_per_meter: scale of the map.
        is_port: True if half of the map is water, and the rest a city with high-rises.
    """
    shape = (extent[1], extent[0])
    roads = RoadNetwork(rng, extent, pixels_per_meter)
    bearing = rng.uniform(0, 2 * np.pi)
    sun = rng.uniform(0.3, 1.1) * np.array([np.cos(bearing), np.sin(bearing)])
    urban = rng.uniform(0.1, 0.95)
    if is_port:
        urban = max(urban, _PORT_MIN_URBAN)
    ground: Image = np.empty((*shape, 3), np.uint8)
    ground[:] = _SOIL[rng.integers(len(_SOIL))]
    shade: Image = np.full(shape, 255, np.uint8)
    if is_port:
        water = _make_coast(rng, shape)
    else:
        water = _make_water(rng, shape) if rng.random() < 0.35 else np.zeros(shape, np.uint8)

    # Step 1: land use of the blocks between the roads.
    roads.remove_roads_in_water(water)
    blocks = list(_list_blocks(roads, extent))
    uses = rng.choice(5, len(blocks), p=_choose_land_use(urban))
    ground = _draw_land(rng, ground, blocks, uses)
    ground[water > 0] = np.array(_vary_color(rng, (74, 66, 52), 14))

    # Step 2: railway and roads.
    has_railway = rng.random() < 0.3
    track = _draw_railway(rng, extent, ground, pixels_per_meter) if has_railway else np.zeros((0, 2))
    bridges = _draw_roads(rng, ground, roads)
    closed = water.copy()
    draw_polyline(closed, track[::8], (255,), int(22 * pixels_per_meter))

    # Step 3: everything on the ground, and its shadows.
    site = _Site(
        rng, ground, shade, closed, sun, pixels_per_meter, [], *(_PORT_HIGH_RISES if is_port else _HIGH_RISES)
    )
    _build_on_blocks(site, blocks, uses, roads.heading)
    _draw_parked_cars(rng, roads, ground, pixels_per_meter)
    shade = cv2.GaussianBlur(shade, (0, 0), 0.8)
    lit = cv2.multiply(ground, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    return Landscape(lit, shade, bridges, water, site.buildings, roads, track, sun)


def _draw_land(
    rng: np.random.Generator, ground: Image, blocks: list[Points], uses: NDArray[np.int64]
) -> Image:
    """Return the ground with the color of each block's use, blurred and textured."""
    for block, use in zip(blocks, uses, strict=True):
        palette = (_PAVED, _PAVED, _GREEN, _SOIL, _PAVED)[use] if rng.random() < 0.75 else _SOIL
        fill_polygon(ground, block, _vary_color(rng, palette[rng.integers(len(palette))], 14))
    return _add_texture(rng, cv2.GaussianBlur(ground, (0, 0), 1.5))


def _build_on_blocks(site: _Site, blocks: list[Points], uses: NDArray[np.int64], heading: float) -> None:
    """Draw clutter, houses, halls, trees and parking lots by the use of each block."""
    for block, use in zip(blocks, uses, strict=True):
        if use in (0, 1, 3):
            _draw_clutter(site, block)
        if use == 0:
            _draw_houses(site, block)
        elif use == 1:
            _draw_halls(site, block)
        elif use == 2:
            _draw_trees(site, block)
        elif use == 4:
            _draw_parking_lot(site, block, heading)


def _choose_land_use(urban: float) -> NDArray[np.float64]:
    """Return the fractions of houses, halls, green, bare ground and parking lots."""
    shares = np.array(
        [0.45 * urban, 0.4 * urban, 0.15 + 0.5 * (1 - urban), 0.1 + 0.4 * (1 - urban), 0.12 * urban]
    )
    return shares / shares.sum()


def _vary_color(rng: np.random.Generator, color: Color, amount: float) -> Color:
    common = rng.normal(0, amount)
    blue, green, red = (float(np.clip(c + common + rng.normal(0, amount / 4), 0, 255)) for c in color)
    return blue, green, red


def _add_texture(rng: np.random.Generator, ground: Image) -> Image:
    shape = (ground.shape[0], ground.shape[1])
    coarse = make_noise_field(rng, shape, 160, 4) * rng.uniform(0.08, 0.2)
    fine = make_noise_field(rng, shape, 8, 3) * rng.uniform(0.03, 0.14)
    tint = make_noise_field(rng, shape, 60, 2) * 0.02
    factor = cv2.merge([coarse + fine - tint, coarse + fine, coarse + fine + tint])
    return cv2.multiply(ground, np.float32(1.0) + factor, dtype=cv2.CV_8U)


def _make_water(rng: np.random.Generator, shape: tuple[int, int]) -> Image:
    """Return the mask of water on one side of a ragged shore, or of a river."""
    size = float(np.hypot(*shape))
    distance = _compute_shore_distance(rng, shape)
    if rng.random() < 0.4:
        return np.where(np.abs(distance) < rng.uniform(0.05, 0.12) * size, 255, 0).astype(np.uint8)
    return np.where(distance > rng.uniform(-0.25, 0.2) * size, 255, 0).astype(np.uint8)


def _make_coast(rng: np.random.Generator, shape: tuple[int, int]) -> Image:
    """Return the mask of water on one side of a ragged shore through the middle of the map."""
    return np.where(_compute_shore_distance(rng, shape) > 0, 255, 0).astype(np.uint8)


def _compute_shore_distance(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the distance of each pixel from a ragged line through the middle of the map."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    size = float(np.hypot(*shape))
    distance = np.cos(angle) * (columns - shape[1] / 2) + np.sin(angle) * (rows - shape[0] / 2)
    distance += make_noise_field(rng, shape, size / 4, 4) * size / 25
    return np.asarray(distance)


def _draw_railway(
    rng: np.random.Generator, extent: tuple[int, int], ground: Image, pixels_per_meter: float
) -> Points:
    angle = rng.uniform(0, np.pi)
    reach = np.hypot(*extent) / 2 + 200
    along = np.arange(-reach, reach)
    bend = rng.uniform(0, 60) * np.sin(along / rng.uniform(200, 500) + rng.uniform(0, 6))
    cosine, sine = np.cos(angle), np.sin(angle)
    middle = np.array(extent) * rng.uniform(0.25, 0.75, 2)
    track = middle + np.stack([cosine * along - sine * bend, sine * along + cosine * bend], axis=1)
    draw_polyline(ground, track[::8], (86, 94, 104), int(14 * pixels_per_meter))
    across = np.array([-sine, cosine])
    for offset in np.arange(-2, 2.1, 1) * 2.6 * pixels_per_meter:
        draw_polyline(ground, track[::8] + offset * across, (66, 70, 78), 1)
    return track


def _list_blocks(roads: RoadNetwork, extent: tuple[int, int]) -> list[Points]:
    """Return the corners of the blocks between the roads, as far as they are on the map."""
    rows, columns = roads.cells
    i, j = (a.ravel() for a in np.mgrid[:rows, :columns])
    inset = 0.08
    corner = [
        roads.to_ground(i + a, j + b)
        for a, b in ((inset, inset), (1 - inset, inset), (1 - inset, 1 - inset), (inset, 1 - inset))
    ]
    blocks = np.stack(corner, axis=1)
    upper, lower = blocks.max(axis=1), blocks.min(axis=1)
    return list(blocks[np.all((upper > 0) & (lower < extent), axis=1)])


def _draw_roads(rng: np.random.Generator, ground: Image, roads: RoadNetwork) -> Image:
    """Draw the roads. Return the mask of bridge decks that cross above some of them."""
    asphalt = _vary_color(rng, (84, 84, 86), 16)
    curb = _vary_color(rng, (140, 142, 144), 12)
    for road in roads.roads.values():
        draw_polyline(ground, road.path, curb, round(road.width * 1.25) + 1)
    bridges = np.zeros(ground.shape[:2], np.uint8)
    for arterial in (False, True):
        for road in roads.roads.values():
            if road.is_arterial == arterial:
                draw_polyline(ground, road.path, _vary_color(rng, asphalt, 2), max(round(road.width), 2))
    marking = tuple(min(c + 55, 255) for c in asphalt)
    for road in roads.roads.values():
        if road.is_arterial:
            draw_polyline(ground, road.path, marking, 1)
        if rng.random() < 0.04:
            _overpass(rng, road.path, road.width, ground, bridges)
    return bridges


def _overpass(rng: np.random.Generator, path: Points, width: float, ground: Image, bridges: Image) -> None:
    middle = path[len(path) // 2]
    along = path[len(path) // 2] - path[len(path) // 2 - 1]
    heading = np.arctan2(along[1], along[0]) + np.pi / 2
    deck = make_rectangle(middle, width * 2.2, rng.uniform(6, 18), float(heading))
    gray = rng.uniform(110, 190)
    fill_polygon(ground, deck, (gray, gray, gray))
    fill_polygon(bridges, deck, (255,))


def _can_build(closed: Image, place: Points) -> bool:
    """Return whether a position is free: on the map or just beside it, not in water, not on rails."""
    column, row = int(place[0]), int(place[1])
    if not (0 <= column < closed.shape[1] and 0 <= row < closed.shape[0]):
        return -40 < column < closed.shape[1] + 40 and -40 < row < closed.shape[0] + 40
    return not closed[row, column]


def _in_block(block: Points, s: float, t: float) -> Points:
    return (1 - t) * ((1 - s) * block[0] + s * block[1]) + t * ((1 - s) * block[3] + s * block[2])


def _add_building(site: _Site, foot: Points, height: float) -> None:
    """Draw a building's shadow, and the building unless it is tall: tall ones are drawn in each frame."""
    rng, ground, shade = site.rng, site.ground, site.shade
    fill_polygon(
        shade, compute_convex_hull(np.concatenate([foot, foot + height * site.sun])), (rng.uniform(105, 155),)
    )
    fill_polygon(shade, foot, (255,))
    roof = _vary_color(rng, _ROOFS[rng.integers(len(_ROOFS))], 12)
    fill_polygon(ground, foot, roof)
    if height > _TALL_M * site.scale:
        wall = _vary_color(rng, (112, 114, 118), 16)
        site.buildings.append(Building(foot, height, roof, wall))
        return
    if rng.random() < 0.5:
        ridge = np.stack([foot[:2].mean(axis=0), foot[2:].mean(axis=0)])
        half = np.stack([foot[0], ridge[0], ridge[1], foot[3]])
        fill_polygon(ground, half, tuple(0.8 * c for c in roof))


def _draw_houses(site: _Site, block: Points) -> None:
    rng, scale = site.rng, site.scale
    sides = np.hypot(*(block[1] - block[0])), np.hypot(*(block[3] - block[0]))
    heading = float(np.arctan2(*(block[1] - block[0])[::-1]))
    pitch = rng.uniform(14, 22) * scale
    high_rise = rng.random() < site.high_rise_share
    if high_rise:
        pitch *= 2
    across, down = (max(int(side / pitch), 1) for side in sides)
    for s in (np.arange(across) + 0.5) / across:
        for t in (np.arange(down) + 0.5) / down:
            center = _in_block(block, s, t) + rng.normal(0, 1.5, 2)
            if rng.random() < 0.2 or not _can_build(site.closed, center):
                continue
            length, width = pitch * rng.uniform(0.45, 0.75, 2)
            foot = make_rectangle(center, length, width, heading + np.pi / 2 * rng.integers(2))
            height = rng.uniform(*(site.high_rise_m if high_rise else (4.0, 9.0))) * scale
            _add_building(site, foot, height)


def _draw_halls(site: _Site, block: Points) -> None:
    rng, scale = site.rng, site.scale
    heading = float(np.arctan2(*(block[1] - block[0])[::-1]))
    side = np.hypot(*(block[1] - block[0])), np.hypot(*(block[3] - block[0]))
    for _ in range(rng.integers(1, 5)):
        s, t = rng.uniform(0.2, 0.8, 2)
        center = _in_block(block, s, t)
        if not _can_build(site.closed, center):
            continue
        length, width = side[0] * rng.uniform(0.15, 0.55), side[1] * rng.uniform(0.1, 0.4)
        foot = make_rectangle(center, length, width, heading)
        _add_building(site, foot, rng.uniform(6, 22) * scale)


def _draw_clutter(site: _Site, block: Points) -> None:
    """Draw containers, sheds, rubble and tracks: small static things of all brightnesses."""
    rng, scale = site.rng, site.scale
    heading = float(np.arctan2(*(block[1] - block[0])[::-1]))
    for s, t in rng.uniform(0.02, 0.98, (rng.integers(0, 60), 2)):
        place = _in_block(block, s, t)
        if _can_build(site.closed, place):
            along = heading + (np.pi / 2 * rng.integers(2) if rng.random() < 0.7 else rng.uniform(0, np.pi))
            box = make_rectangle(place, rng.uniform(1.5, 9) * scale, rng.uniform(1, 2.8) * scale, along)
            fill_polygon(site.ground, box, _vary_color(rng, _ROOFS[rng.integers(len(_ROOFS))], 25))


def _draw_trees(site: _Site, block: Points) -> None:
    rng, scale = site.rng, site.scale
    area = np.hypot(*(block[1] - block[0])) * np.hypot(*(block[3] - block[0]))
    for s, t in rng.uniform(0.02, 0.98, (int(area * rng.uniform(0, 0.004)), 2)):
        place = _in_block(block, s, t)
        if not _can_build(site.closed, place):
            continue
        radius = rng.uniform(1.5, 4.0) * scale
        crown = make_rectangle(place, radius * 2, radius * 1.6, rng.uniform(0, np.pi))
        fill_polygon(site.shade, crown + site.sun * radius * 1.5, (130,))
        fill_polygon(site.ground, crown, _vary_color(rng, _GREEN[rng.integers(len(_GREEN))], 8))


def _draw_parking_lot(site: _Site, block: Points, heading: float) -> None:
    rng, scale = site.rng, site.scale
    sides = np.hypot(*(block[1] - block[0])), np.hypot(*(block[3] - block[0]))
    across, down = (
        max(int(side / (pitch * scale)), 1) for side, pitch in zip(sides, (3.2, 9.0), strict=True)
    )
    filled = rng.uniform(0.1, 0.8)
    for s in (np.arange(across) + 0.5) / across:
        for t in (np.arange(down) + 0.5) / down:
            place = _in_block(block, s, t)
            if rng.random() < filled and _can_build(site.closed, place):
                length, width = choose_vehicle_size(rng, scale)
                fill_polygon(
                    site.ground,
                    make_rectangle(place, min(length, 6 * scale), width, heading + np.pi / 2),
                    choose_vehicle_color(rng),
                )


def _draw_parked_cars(rng: np.random.Generator, roads: RoadNetwork, ground: Image, scale: float) -> None:
    """Draw parked cars along streets: static look-alikes that are not in the ground truth."""
    for road in roads.roads.values():
        if road.is_arterial:
            continue
        for _ in range(rng.poisson(2.5)):
            k = rng.integers(len(road.path) - 1)
            along = road.path[k + 1] - road.path[k]
            heading = float(np.arctan2(along[1], along[0]))
            side = rng.choice([-0.5, 0.5]) * road.width
            place = road.path[k] + rng.random() * along + side * np.array([-np.sin(heading), np.cos(heading)])
            length, width = choose_vehicle_size(rng, scale)
            fill_polygon(ground, make_rectangle(place, length, width, heading), choose_vehicle_color(rng))
