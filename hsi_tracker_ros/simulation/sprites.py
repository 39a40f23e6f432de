"""Sprites of a scene: textured, deformable objects of hinged parts, drawn into a cube at a pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.channelwise import apply_channelwise
from hsi_tracker_ros.simulation.textures import compute_fractions, make_fractal_noise

MARGIN = 1.2
"""Half extent of a sprite's texture in its own coordinates. The shape stays within -1..1."""

_MIN_LEVEL_SIZE = 16
"""Side of the smallest level of a texture in pixels."""

_EXPOSURE_FRACTION = 0.4
"""Exposure time as a fraction of the time between two frames; determines motion blur."""

Outline = NDArray[np.float64]
TextureLevels = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class SpritePart:
    """A textured shape, hinged to its sprite.

    Attributes:
        levels: premultiplied reflectances and coverage `(size, size, bands + 1)`, each half the previous
            size.
        offset: offset of the center from the hinge.
        extent: half width and half height in units of the sprite.
        hinge: position of the hinge in coordinates of the sprite.
        swing: amplitude of the swing in radians.
        rate: angular rate of the swing in radians per frame.
        phase: phase of the swing in radians.
    """

    levels: tuple[NDArray[np.float32], ...]
    offset: tuple[float, float] = (0.0, 0.0)
    extent: tuple[float, float] = (1.0, 1.0)
    hinge: tuple[float, float] = (0.0, 0.0)
    swing: float = 0.0
    rate: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Bend:
    """A wave through the coordinates of a sprite.

    Attributes:
        amplitude: amplitude in units of the sprite; 0 for a stiff sprite.
        wave: wave number in radians per unit.
        rate: angular rate in radians per frame.
        phase: phase in radians.
    """

    amplitude: float = 0.0
    wave: float = 2.0
    rate: float = 0.1
    phase: float = 0.0


@dataclass(frozen=True)
class Pose:
    """The pose of a sprite: center in pixels, half size along its axes in pixels, angle in radians."""

    x: float
    y: float
    half_width: float
    half_height: float
    angle: float


@dataclass(frozen=True)
class Sprite:
    """An object that can be drawn: its parts from back to front, and its bend."""

    parts: tuple[SpritePart, ...]
    bend: Bend = Bend()


@dataclass(frozen=True)
class DrawnSprite:
    """A sprite drawn in a window of the image.

    Attributes:
        rows: rows of the window.
        columns: columns of the window.
        premultiplied: reflectances times coverage, `(height, width, bands)`.
        coverage: coverage 0..1 with motion blur, `(height, width)`.
        silhouette: coverage in the middle of the exposure, `(height, width)`.
    """

    rows: slice
    columns: slice
    premultiplied: NDArray[np.float32]
    coverage: NDArray[np.float32]
    silhouette: NDArray[np.float32]

    def blend_into(self, cube: NDArray[np.float32]) -> None:
        """Blend the sprite over a cube."""
        window = cube[self.rows, self.columns]
        window *= 1 - self.coverage[..., None]
        window += self.premultiplied


def draw_sprite(
    actor: Sprite, pose: Pose, velocity: tuple[float, float], time: float, size: tuple[int, int]
) -> DrawnSprite | None:
    """Draw a sprite for an image. Return None for a sprite outside the image.

    Args:
        actor: the sprite.
        pose: pose in the middle of the exposure.
        velocity: velocity in pixels per frame.
        time: time in frames, for the deformation.
        size: width and height of the image in pixels.
    """
    blur = float(np.hypot(*velocity)) * _EXPOSURE_FRACTION
    steps = 1 if blur < 1.5 else 3 if blur < 6 else 5
    reach = MARGIN * 1.3 * float(np.hypot(pose.half_width, pose.half_height)) + blur / 2 + 2
    left, right = max(int(pose.x - reach), 0), min(int(pose.x + reach) + 1, size[0])
    top, bottom = max(int(pose.y - reach), 0), min(int(pose.y + reach) + 1, size[1])
    if left >= right or top >= bottom:
        return None
    window = (left, top, right, bottom)
    moments = [0.0] if steps == 1 else np.linspace(-_EXPOSURE_FRACTION / 2, _EXPOSURE_FRACTION / 2, steps)
    places = [(pose.x + velocity[0] * moment, pose.y + velocity[1] * moment) for moment in moments]
    layers = [_draw_still(actor, replace(pose, x=x, y=y), time, window) for x, y in places]
    silhouette = layers[steps // 2][..., -1].copy()
    total = layers[0]
    for layer in layers[1:]:
        total += layer
    total /= steps
    return DrawnSprite(slice(top, bottom), slice(left, right), total[..., :-1], total[..., -1], silhouette)


def _draw_still(
    actor: Sprite, pose: Pose, time: float, window: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """Return premultiplied reflectances and coverage in a window left, top, right, bottom."""
    left, top, right, bottom = window
    dx = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - pose.x))[None]
    dy = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - pose.y))[:, None]
    cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    u = (cos * dx + sin * dy) / np.float32(pose.half_width)
    v = (cos * dy - sin * dx) / np.float32(pose.half_height)
    if actor.bend.amplitude:
        bend = actor.bend
        argument = np.float32(bend.rate * time + bend.phase)
        u, v = (
            u + np.float32(bend.amplitude) * np.sin(np.float32(bend.wave) * v + argument),
            v
            + np.float32(bend.amplitude * 0.7)
            * np.sin(np.float32(bend.wave) * u + argument * np.float32(1.3)),
        )
    half_size = min(pose.half_width, pose.half_height)
    result = _draw_part(actor.parts[0], u, v, time, half_size)
    for part in actor.parts[1:]:
        layer = _draw_part(part, u, v, time, half_size)
        result *= 1 - layer[..., -1:]
        result += layer
    return result


def _draw_part(
    part: SpritePart, u: NDArray[np.float32], v: NDArray[np.float32], time: float, half_size: float
) -> NDArray[np.float32]:
    angle = part.swing * np.sin(part.rate * time + part.phase)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = u - np.float32(part.hinge[0]), v - np.float32(part.hinge[1])
    s = (cos * x + sin * y - np.float32(part.offset[0])) / np.float32(part.extent[0])
    t = (cos * y - sin * x - np.float32(part.offset[1])) / np.float32(part.extent[1])
    drawn_pixels = 2 * MARGIN * half_size * float(np.sqrt(part.extent[0] * part.extent[1]))
    level = 0
    while level + 1 < len(part.levels) and part.levels[level].shape[0] > 1.5 * drawn_pixels:
        level += 1
    texture = part.levels[level]
    scale = np.float32(texture.shape[0] / (2 * MARGIN))
    sample = partial(
        cv2.remap,
        map1=(s + np.float32(MARGIN)) * scale - np.float32(0.5),
        map2=(t + np.float32(MARGIN)) * scale - np.float32(0.5),
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(apply_channelwise(texture, sample), np.float32)


class TexturePainter(Protocol):
    """Painter of the parts of an object.

    Attributes:
        num_materials: number of materials of the object.
    """

    @property
    def num_materials(self) -> int: ...

    def paint(self, outline: Outline, material: int, rng: np.random.Generator, size: int) -> TextureLevels:
        """Return the levels of a part.

        Args:
            outline: polygon within -1..1, `(n, 2)`.
            material: number of the material that covers most.
            rng: random generator of the texture.
            size: side in pixels, rounded up to a multiple of 16.
        """


@dataclass(frozen=True)
class MaterialPainter:
    """Painter of shaded textures of several materials.

    Attributes:
        reflectances: reflectances `(materials, bands)`.
    """

    reflectances: NDArray[np.float32]

    @property
    def num_materials(self) -> int:
        """Number of materials."""
        return len(self.reflectances)

    def paint(self, outline: Outline, material: int, rng: np.random.Generator, size: int) -> TextureLevels:
        """Return the levels of a part, see `TexturePainter`."""
        size = round_up_size(size)
        color = _make_material_texture(np.roll(self.reflectances, -material, axis=0), rng, size)
        return make_texture_levels(color, outline)


def round_up_size(size: int) -> int:
    """Return the side of a texture in pixels: a multiple of the side of the smallest level."""
    return -(-size // _MIN_LEVEL_SIZE) * _MIN_LEVEL_SIZE


def _make_material_texture(
    reflectances: NDArray[np.float32], rng: np.random.Generator, size: int
) -> NDArray[np.floating[Any]]:
    """Return a shaded texture `(size, size, bands)` of materials. The first covers most."""
    materials = len(reflectances)
    period = size * rng.uniform(0.12, 0.5)
    logits = np.stack([make_fractal_noise(rng, size, size, period, 4) for _ in range(materials)], axis=-1)
    logits += _make_pattern(rng, size, materials)
    logits[..., 0] += 0.6
    shares = compute_fractions(logits, float(rng.uniform(1.5, 7.0)))
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    light = rng.uniform(-0.3, 0.3, 2)
    dome = np.float32(rng.uniform(0.0, 0.35)) * (x * x + y * y)
    grain = np.float32(rng.uniform(0.04, 0.16)) * make_fractal_noise(rng, size, size, size * 0.25, 5, 0.7)
    shading = np.clip(0.9 + light[0] * x + light[1] * y - dome + grain, 0.2, 1.3)
    flat = (shares.reshape(-1, materials) @ reflectances).reshape(size, size, -1)
    texture: NDArray[np.floating[Any]] = flat * shading[..., None]
    return texture


def make_texture_levels(color: NDArray[np.floating[Any]], outline: Outline) -> TextureLevels:
    """Return the levels of a part from its reflectances `(size, size, bands)` and its outline."""
    coverage = fill_outline(outline, len(color))
    full = np.concatenate([color * coverage[..., None], coverage[..., None]], axis=-1).astype(np.float32)
    levels = [full]
    while levels[-1].shape[0] >= 2 * _MIN_LEVEL_SIZE:
        half = levels[-1].shape[0] // 2
        quads = levels[-1][: 2 * half, : 2 * half].reshape(half, 2, half, 2, -1)
        levels.append(quads.mean(axis=(1, 3)))
    for level in levels:
        level[[0, -1]] = level[:, [0, -1]] = 0  # what lies outside a sprite repeats its border
    return tuple(levels)


def _make_pattern(rng: np.random.Generator, size: int, materials: int) -> NDArray[np.float32]:
    """Return bands, halves or spots in which a material is concentrated."""
    logits = np.zeros((size, size, materials), dtype=np.float32)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    for material in range(1, materials):
        angle = rng.uniform(0, np.pi)
        along = np.cos(angle) * x + np.sin(angle) * y
        kind = rng.integers(4)
        if kind == 0:
            logits[..., material] += 2 * np.sin(rng.uniform(4, 14) * along + rng.uniform(0, 6))
        elif kind == 1:
            logits[..., material] += 3 * np.sign(along - rng.uniform(-0.4, 0.4))
        elif kind == 2:
            center = rng.uniform(-0.5, 0.5, 2)
            distance = np.hypot(x - center[0], y - center[1])
            logits[..., material] += 5 * (distance < rng.uniform(0.15, 0.5)) - 1
    return logits


def fill_outline(outline: Outline, size: int) -> NDArray[np.float32]:
    """Return the coverage of each pixel of a sprite by an outline, 0..1, (size, size)."""
    fine = size * 4
    points = np.round((outline + MARGIN) / (2 * MARGIN) * fine).astype(np.int32)
    mask = np.zeros((fine, fine), dtype=np.uint8)
    cv2.fillPoly(mask, [points], 255)
    coverage = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(coverage, np.float32) / np.float32(255)


def _make_ellipse(_: np.random.Generator) -> Outline:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _make_blob(rng: np.random.Generator) -> Outline:
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = 1 + sum(
        rng.uniform(0, 0.35 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        for order in range(2, 8)
    )
    points: Outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return points / np.abs(points).max(axis=0)


def _make_polygon(rng: np.random.Generator) -> Outline:
    corners = int(rng.integers(3, 9))
    angle = np.sort(
        rng.uniform(0, 2 * np.pi, corners) * 0.3 + np.linspace(0, 2 * np.pi, corners, endpoint=False)
    )
    radius = rng.uniform(0.55, 1, corners)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    return points / np.abs(points).max(axis=0)


def _make_box(rng: np.random.Generator) -> Outline:
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    power = rng.uniform(0.15, 0.6)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.sign(cos) * np.abs(cos) ** power, np.sign(sin) * np.abs(sin) ** power], axis=-1)


def _make_star(rng: np.random.Generator) -> Outline:
    arms = int(rng.integers(4, 9))
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = 1 - rng.uniform(0.15, 0.45) * (0.5 + 0.5 * np.cos(arms * angle))
    points: Outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return points / np.abs(points).max(axis=0)


_OUTLINES: tuple[Callable[[np.random.Generator], Outline], ...] = (
    _make_ellipse,
    _make_blob,
    _make_blob,
    _make_polygon,
    _make_box,
    _make_box,
    _make_star,
)


def make_random_outline(rng: np.random.Generator) -> Outline:
    """Return a polygon `(n, 2)` that fits -1..1: ellipse, blob, box, star or irregular polygon."""
    return _OUTLINES[int(rng.integers(len(_OUTLINES)))](rng)


def make_solid_sprite(painter: TexturePainter, geometry: np.random.Generator, size: int) -> Sprite:
    """Return a sprite of one part. Equal `geometry` gives equal shape and texture in all materials."""
    outline = make_random_outline(geometry)
    return Sprite((SpritePart(painter.paint(outline, 0, geometry, size)),))


def make_sprite(
    painter: TexturePainter, geometry: np.random.Generator, size: int, deformation: float
) -> Sprite:
    """Return a solid, compound or articulated sprite.

    Args:
        painter: painter of the parts, with at least three materials.
        geometry: random generator of shape, texture and motion.
        size: side of the texture in pixels.
        deformation: 0 for stiff to 1 for strong bending and swinging.
    """
    bend = Bend(
        amplitude=deformation * geometry.uniform(0.05, 0.22),
        wave=geometry.uniform(1.2, 3.0),
        rate=geometry.uniform(0.05, 0.35),
        phase=geometry.uniform(0, 6),
    )
    kind = geometry.choice(["solid", "compound", "figure"], p=[0.45, 0.3, 0.25])
    builders: dict[str, Callable[..., tuple[SpritePart, ...]]] = {
        "solid": _make_solid_parts,
        "compound": _make_compound_parts,
        "figure": _make_figure_parts,
    }
    return Sprite(builders[str(kind)](painter, geometry, size, deformation), bend)


def _make_solid_parts(
    painter: TexturePainter, rng: np.random.Generator, size: int, _: float
) -> tuple[SpritePart, ...]:
    return make_solid_sprite(painter, rng, size).parts


def _make_compound_parts(
    painter: TexturePainter, rng: np.random.Generator, size: int, deformation: float
) -> tuple[SpritePart, ...]:
    """Return a body with two or three smaller shapes hinged to it."""
    body = SpritePart(painter.paint(_make_box(rng), 0, rng, size), extent=(0.75, 0.75))
    parts = [body]
    for _ in range(int(rng.integers(2, 4))):
        angle = rng.uniform(0, 2 * np.pi)
        outline = make_random_outline(rng)
        material = painter.num_materials - int(rng.integers(1, painter.num_materials))
        extent = tuple(rng.uniform(0.2, 0.45, 2))
        hinge = (0.5 * np.cos(angle), 0.5 * np.sin(angle))
        parts.append(
            SpritePart(
                painter.paint(outline, material, rng, max(size // 2, _MIN_LEVEL_SIZE)),
                offset=(0.15 * np.cos(angle), 0.15 * np.sin(angle)),
                extent=(extent[0], extent[1]),
                hinge=hinge,
                swing=deformation * rng.uniform(0.2, 0.9),
                rate=rng.uniform(0.1, 0.5),
                phase=rng.uniform(0, 6),
            )
        )
    return tuple(parts)


def _make_figure_parts(
    painter: TexturePainter, rng: np.random.Generator, size: int, deformation: float
) -> tuple[SpritePart, ...]:
    """Return a walker: two legs, a trunk, two arms, a head."""
    swing, rate, phase = 0.15 + 0.5 * deformation, rng.uniform(0.15, 0.5), rng.uniform(0, 6)
    trousers, shirt, skin = (-shift % painter.num_materials for shift in (1, 0, 2))
    half = max(size // 2, _MIN_LEVEL_SIZE)

    def make_limb(material: int, x: float, y: float, length: float, width: float, turn: float) -> SpritePart:
        levels = painter.paint(_make_box(rng), material, rng, half)
        return SpritePart(levels, (0.0, length), (width, length), (x, y), swing, rate, phase + turn)

    return (
        make_limb(trousers, -0.15, 0.1, 0.44, 0.16, 0.0),
        make_limb(trousers, 0.15, 0.1, 0.44, 0.16, np.pi),
        make_limb(shirt, -0.38, -0.45, 0.3, 0.11, np.pi),
        SpritePart(painter.paint(_make_box(rng), shirt, rng, size), (0.0, -0.22), (0.42, 0.42)),
        make_limb(shirt, 0.38, -0.45, 0.3, 0.11, 0.0),
        SpritePart(painter.paint(_make_ellipse(rng), skin, rng, half), (0.0, -0.8), (0.24, 0.19)),
    )


def choose_half_size(rng: np.random.Generator, long_side: float) -> tuple[float, float]:
    """Choose the half width and half height of an object with a longer side of `long_side` pixels."""
    ratio = float(np.exp(rng.uniform(-0.8, 0.8)))
    half = long_side / 2
    return (half, half / ratio) if ratio > 1 else (half * ratio, half)


def find_bounding_box(mask: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return the bounding box x, y, width, height of a mask's pixels, (4,); None for an empty mask."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    left, top = columns[0], rows[0]
    return np.array([left, top, columns[-1] + 1 - left, rows[-1] + 1 - top], dtype=np.float64)
