"""Sprites of a natural scene: parts of photographs, in the spectra of real materials."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.natural.images import Image, NaturalImages, cut_patch
from hsi_tracker_ros.simulation.natural.upsampling import SpectralUpsampling, divide_into_materials
from hsi_tracker_ros.simulation.scene_objects import SpriteShape
from hsi_tracker_ros.simulation.sprites import (
    Outline,
    Sprite,
    TextureLevels,
    make_solid_sprite,
    make_sprite,
    make_texture_levels,
    round_up_size,
)

_NUM_PARTS = 4  # number of places of an image that cover the parts of an object
_MATERIALS = 3  # number of materials of an object
_PART_FRACTION = 0.6  # side of the place of a part, as a fraction of the image's side
_SAME_SHAPE_FRACTION = 0.4  # of the distractors, which have the shape of the target
_SIMILAR_COLOR = 0.5  # exponent of the change of a distractor's mean color to the target's
_OCCLUDER_TEXTURE_PX = 96
_PATCH_PX = 96  # sides of the reflectances of an object


@dataclass(frozen=True)
class PatchPainter:
    """Painter that covers the parts of an object with the reflectances of an image.

    Attributes:
        patch: reflectances `(side, side, bands)`.
    """

    patch: NDArray[np.float32]

    @property
    def num_materials(self) -> int:
        """Number of places of the image."""
        return _NUM_PARTS

    def paint(self, outline: Outline, material: int, rng: np.random.Generator, size: int) -> TextureLevels:
        """Return the levels of a part, see `TexturePainter`. The first material covers the whole image."""
        size = round_up_size(size)
        place = self.patch
        if material:
            side = max(int(_PART_FRACTION * len(place)), 1)
            top, left = (int(value) for value in rng.integers(0, len(place) - side + 1, 2))
            place = place[top : top + side, left : left + side]
        return make_texture_levels(_resize(place, size), outline)


class NaturalSprites:
    """Factory of sprites from images, see `SpriteFactory`.

    Args:
        rng: random generator of the target.
        images: source of the images of objects.
        upsampling: conversion of colors to reflectances.
        light: light `(bands,)` under which spectral look-alikes have the false color of the target.
        background: image from which the target is cut, so that it resembles its background; None: the target
            is another object.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        images: NaturalImages,
        upsampling: SpectralUpsampling,
        light: NDArray[np.float32],
        background: Image | None = None,
    ) -> None:
        self._images, self._upsampling, self._light = images, upsampling, light
        self._background = background
        self._image = images.draw_object(rng) if background is None else cut_patch(background, rng)
        self._target = self._upsample(self._image, rng)

    def make_target(self, shape: SpriteShape) -> Sprite:
        """Return the target."""
        return self._make_shaped_sprite(shape, self._target)

    def make_look_alike(self, shape: SpriteShape, rng: np.random.Generator) -> Sprite:
        """Return the target in other materials of its colors."""
        twin = self._upsampling.make_look_alike(self._target, self._light, rng)
        return self._make_shaped_sprite(shape, twin)

    def make_distractor(self, shape: SpriteShape, rng: np.random.Generator) -> Sprite:
        """Return another object. Its mean color is nearer to the target's than by chance."""
        image = self._draw_other(rng)
        own, other = (np.maximum(part.mean(axis=(0, 1)), 1e-3) for part in (self._image, image))
        image = np.clip(image * (own / other) ** np.float32(_SIMILAR_COLOR), 0, 1)
        patch = self._upsample(image, rng)
        if rng.random() < _SAME_SHAPE_FRACTION:
            return self._make_shaped_sprite(shape, patch)
        return make_sprite(PatchPainter(patch), rng, shape.texture_px, float(rng.uniform(0, 0.8)))

    def make_occluder(self, rng: np.random.Generator) -> Sprite:
        """Return an object of one part."""
        patch = self._upsample(self._draw_other(rng), rng)
        return make_solid_sprite(PatchPainter(patch), rng, _OCCLUDER_TEXTURE_PX)

    def _draw_other(self, rng: np.random.Generator) -> Image:
        if self._background is not None and rng.random() < 0.5:
            return cut_patch(self._background, rng)
        return self._images.draw_object(rng)

    def _upsample(self, image: Image, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return the reflectances of an image at the size of a patch."""
        resized = _resize(image, _PATCH_PX)
        fractions, colors = divide_into_materials(resized, rng, _MATERIALS)
        return self._upsampling.upsample(resized, fractions, self._upsampling.choose_materials(colors, rng))

    @staticmethod
    def _make_shaped_sprite(shape: SpriteShape, patch: NDArray[np.float32]) -> Sprite:
        geometry = shape.make_random_generator()
        return make_sprite(PatchPainter(patch), geometry, shape.texture_px, shape.deformation)


def _resize(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return a square image `(side, side, channels)`. OpenCV averages areas of a few channels only."""
    interpolation = cv2.INTER_AREA if len(image) > side else cv2.INTER_LINEAR
    channels = np.moveaxis(image, 2, 0)
    resized = [
        cv2.resize(np.ascontiguousarray(channel), (side, side), interpolation=interpolation)
        for channel in channels
    ]
    return np.stack(resized, axis=2).astype(np.float32)
