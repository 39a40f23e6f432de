"""Sprites of a procedural scene: measured reflectances in random textures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.background import Palette
from hsi_tracker_ros.simulation.scene_objects import SpriteShape
from hsi_tracker_ros.simulation.spectra import Spectra
from hsi_tracker_ros.simulation.sprites import MaterialPainter, Sprite, make_solid_sprite, make_sprite
from tracking_runtime.spectral_info import SpectralInfo

_SAME_SHAPE_FRACTION = 0.4
"""Fraction of the distractors with the shape of the target."""
_OCCLUDER_TEXTURE_PX = 64


class ProceduralSprites:
    """Factory of sprites in the materials of a palette, see `SpriteFactory`.

    Args:
        camera: camera for whose bands reflectances are computed.
        light: light `(bands,)` under which spectral look-alikes have the false color of the target.
        palette: materials of the scene.
    """

    def __init__(self, camera: SpectralInfo, light: NDArray[np.float32], palette: Palette) -> None:
        self._camera, self._light, self._palette = camera, light, palette
        self._responses = spectra.compute_band_responses(camera)

    def make_target(self, shape: SpriteShape) -> Sprite:
        """Return the target."""
        return self._make_shaped_sprite(shape, self._palette.target)

    def make_look_alike(self, shape: SpriteShape, rng: np.random.Generator) -> Sprite:
        """Return the target in metamers of its materials."""
        twins = [spectra.make_metamer(r, self._light, self._camera, rng) for r in self._palette.target]
        return self._make_shaped_sprite(shape, np.stack(twins))

    def make_distractor(self, shape: SpriteShape, rng: np.random.Generator) -> Sprite:
        """Return an object in materials similar to the target's."""
        materials = self._palette.choose_similar()
        if rng.random() < _SAME_SHAPE_FRACTION:
            return self._make_shaped_sprite(shape, materials)
        deformation = float(rng.uniform(0, 0.8))
        return make_sprite(self._make_painter(materials), rng, shape.texture_px, deformation)

    def make_occluder(self, rng: np.random.Generator) -> Sprite:
        """Return an object in the materials of the scenery."""
        painter = self._make_painter(self._palette.choose_scenery())
        return make_solid_sprite(painter, rng, _OCCLUDER_TEXTURE_PX)

    def _make_shaped_sprite(self, shape: SpriteShape, reflectances: Spectra) -> Sprite:
        """Return a sprite with the target's shape, texture and motion in other materials."""
        geometry = shape.make_random_generator()
        return make_sprite(self._make_painter(reflectances), geometry, shape.texture_px, shape.deformation)

    def _make_painter(self, reflectances: Spectra) -> MaterialPainter:
        return MaterialPainter(reflectances @ self._responses.T)
