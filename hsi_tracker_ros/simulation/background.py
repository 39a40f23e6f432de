"""The static background of a scene: its materials, the ground, and static objects on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.spectra import Spectra
from hsi_tracker_ros.simulation.sprites import (
    MaterialPainter,
    Pose,
    Sprite,
    choose_half_size,
    draw_sprite,
    make_solid_sprite,
)
from hsi_tracker_ros.simulation.textures import compute_fractions, make_fractal_noise, warp_field

MATERIALS = 4
"""Number of materials of each object."""


class Palette:
    """The materials of a scene, each a reflectance over the simulation's wavelengths.

    Args:
        rng: random generator.
        cluttered: True if ground and objects are similar to the target.

    Attributes:
        is_natural: True if the ground is soil and plants, not man-made.
        ground: materials of the ground.
        target: materials of the target, the main material first.
    """

    def __init__(self, rng: np.random.Generator, *, cluttered: bool) -> None:
        self._rng, self._cluttered = rng, cluttered
        self._measured = spectra.load_measured_reflectances()
        theme = rng.choice(["natural", "urban", "indoor"])
        self.is_natural = bool(theme == "natural")
        outdoors = np.concatenate([spectra.make_vegetation(rng, 5), spectra.make_ground_spectra(rng, 4)])
        if theme == "natural":
            self.ground = outdoors[rng.permutation(len(outdoors))[:7]]
        elif theme == "urban":
            self.ground = np.concatenate(
                [spectra.make_ground_spectra(rng, 4), outdoors[:1], self._choose_muted(2)]
            )
        else:
            self.ground = self._choose_muted(7)
        self._scenery = np.concatenate([outdoors, self._choose_muted(8), self._choose_measured(6)])
        self.target = self._choose_measured(MATERIALS)
        if rng.random() < 0.5:
            self.target[0] = 0.5 * self.target[0] + 0.5 * self._scenery[rng.integers(len(self._scenery))]
        if cluttered:
            self.ground[:2] = 0.35 * self.ground[:2] + 0.65 * self.target[:2]

    def choose_scenery(self) -> Spectra:
        """Choose the materials of a static object."""
        chance = self._rng.random()
        if chance < (0.5 if self._cluttered else 0.2):
            return self.choose_similar()
        pool = self._scenery if chance < 0.8 else self._measured
        return pool[self._rng.integers(len(pool), size=MATERIALS)]

    def choose_similar(self) -> Spectra:
        """Choose materials similar to the target's: some shared, some mixed, some new."""
        shares = np.array([0.0, 0.0, 0.5, 0.8, 1.0], dtype=np.float32)
        share = self._rng.choice(shares, (MATERIALS, 1))
        if share.min() == 1:
            share[0] = 0
        mixed = share * self.target + (1 - share) * self._choose_measured(MATERIALS)
        return mixed.astype(np.float32)

    def _choose_measured(self, count: int) -> Spectra:
        return self._measured[self._rng.integers(len(self._measured), size=count)]

    def _choose_muted(self, count: int) -> Spectra:
        picked = self._choose_measured(count)
        gray = picked.mean(axis=1, keepdims=True)
        strength = self._rng.uniform(0.1, 0.8, (count, 1)).astype(np.float32)
        darkening = self._rng.uniform(0.4, 1.0, (count, 1)).astype(np.float32)
        return (gray + strength * (picked - gray)) * darkening


def make_ground(
    rng: np.random.Generator, size: tuple[int, int], palette: Palette, responses: Spectra, target_px: float
) -> NDArray[np.float32]:
    """Return the static world as reflectance in each band, `(rows, columns, bands)`.

    Args:
        rng: random generator.
        size: number of columns and rows.
        palette: materials of the scene.
        responses: responses of the camera's bands, `(bands, wavelengths)`.
        target_px: size of the target in pixels, which two fifths of the static objects have too.
    """
    columns, rows = size
    shares = _make_material_fractions(rng, rows, columns, palette)
    relief = make_fractal_noise(rng, rows, columns, rng.uniform(20, 90), 6, rng.uniform(0.5, 0.75))
    shading = np.clip(1 + np.float32(rng.uniform(0.1, 0.35)) * relief, 0.12, 1.7)
    flat = shares.reshape(rows * columns, -1) @ (palette.ground @ responses.T)
    field = flat.reshape(rows, columns, -1) * shading[..., None]
    sun = rng.uniform(-0.35, 0.35, 2)
    density = rng.uniform(0.9, 2.6) / 10_000
    for _ in range(max(int(density * rows * columns), 4)):
        if rng.random() < 0.4:
            long_side = target_px * np.exp(rng.uniform(-0.4, 0.4))
        else:
            long_side = np.exp(rng.uniform(np.log(6), np.log(rows / 3)))
        painter = MaterialPainter(palette.choose_scenery() @ responses.T)
        thing = make_solid_sprite(painter, rng, int(np.clip(long_side, 12, 128)))
        half = choose_half_size(rng, float(long_side))
        pose = Pose(rng.uniform(0, columns), rng.uniform(0, rows), *half, rng.uniform(-np.pi, np.pi))
        _place_sprite(field, thing, pose, sun)
    return field


def _make_material_fractions(
    rng: np.random.Generator, rows: int, columns: int, palette: Palette
) -> NDArray[np.float32]:
    """Return the fractions of the ground's materials at each pixel, `(rows, columns, materials)`."""
    materials = len(palette.ground)
    period = [rng.uniform(0.06, 0.24) * rows for _ in range(materials)]
    coarse = [make_fractal_noise(rng, rows // 2 + 1, columns // 2 + 1, p, 5, 0.5) for p in period]
    logits = cv2.resize(np.stack(coarse, axis=-1), (columns, rows), interpolation=cv2.INTER_LINEAR)
    logits = logits + _make_cells(rng, rows, columns, materials, straight=not palette.is_natural)
    reach = rng.uniform(2, 12) if palette.is_natural else rng.uniform(0, 2)
    logits = warp_field(logits, rng, 0.13 * rows, reach)
    for material in range(materials):
        grain = make_fractal_noise(rng, rows, columns, rng.uniform(4, 24), 4, 0.7)
        logits[..., material] += np.float32(rng.uniform(0.15, 0.7)) * grain
    return compute_fractions(logits, float(rng.uniform(1.5, 6)))


def _make_cells(
    rng: np.random.Generator, rows: int, columns: int, materials: int, *, straight: bool
) -> NDArray[np.float32]:
    """Return preferences for materials in cells around random sites: fields, roofs or panels."""
    sites = np.full((rows, columns), 255, dtype=np.uint8)
    count = int(rng.integers(12, 90))
    sites[rng.integers(0, rows, count), rng.integers(0, columns, count)] = 0
    metric, mask = (cv2.DIST_C, 3) if straight else (cv2.DIST_L2, 5)
    _, cell = cv2.distanceTransformWithLabels(sites, metric, mask, labelType=cv2.DIST_LABEL_PIXEL)
    preference = rng.standard_normal((count + 1, materials), dtype=np.float32)
    preference *= np.float32(rng.uniform(0.3, 1.8))
    return np.asarray(cv2.blur(preference[cell], (3, 3)), dtype=np.float32)


def _place_sprite(field: NDArray[np.float32], thing: Sprite, pose: Pose, sun: NDArray[np.float64]) -> None:
    """Draw a static object and its shadow."""
    rows, columns = field.shape[:2]
    thickness = min(pose.half_width, pose.half_height)
    beside = Pose(
        pose.x + sun[0] * thickness,
        pose.y + sun[1] * thickness,
        pose.half_width,
        pose.half_height,
        pose.angle,
    )
    shadow = draw_sprite(thing, beside, (0.0, 0.0), 0.0, (columns, rows))
    if shadow is not None:
        soft = cv2.GaussianBlur(shadow.coverage, (0, 0), max(0.08 * thickness, 0.8))
        field[shadow.rows, shadow.columns] *= 1 - 0.55 * soft[..., None]
    drawn = draw_sprite(thing, pose, (0.0, 0.0), 0.0, (columns, rows))
    if drawn is not None:
        drawn.blend_into(field)
