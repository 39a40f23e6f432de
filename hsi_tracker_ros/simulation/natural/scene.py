"""Natural hyperspectral video with exact ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.simulation.natural.images import NaturalImages
from hsi_tracker_ros.simulation.natural.light import NaturalLight, make_natural_light
from hsi_tracker_ros.simulation.natural.shake import make_shaken_path
from hsi_tracker_ros.simulation.natural.sprites import NaturalSprites
from hsi_tracker_ros.simulation.natural.upsampling import SpectralUpsampling, divide_into_materials
from hsi_tracker_ros.simulation.scene import HyperspectralScene
from hsi_tracker_ros.simulation.scene_objects import SpriteFactory
from hsi_tracker_ros.simulation.sensor import Kind, Sample, SpectralSensor, draw_measured_noise
from hsi_tracker_ros.simulation.trajectories import CameraPath
from tracking_runtime.spectral_info import SpectralInfo

_GROUND_MATERIALS = 7


class NaturalScene(HyperspectralScene):
    """A scene of photographs in spectra, with the shake, the light and the noise of real cameras.

    Objects, motions, attributes and ground truth are those of `HyperspectralScene`. The ground is a
    photograph, and objects are parts of photographs. Their colors become smooth reflectances, to which real
    materials of these colors add their own spectra. Spectral look-alikes have the target's colors in another
    material. Without photographs, images of the dead leaves model take their place.

    Args:
        seed: seed of the scene.
        frames: number of frames.
        kind: `cube` or `mosaic`.
        rate_hz: frame rate in Hz.
        size: width and height of the cube in pixels. A mosaic has a whole period of filters for each pixel.
        bands: a camera, or the name of a preset.
        attributes: attributes of the scene, as of `HyperspectralScene`.
        sample: type of a sample; None: by the bit depth of the camera.
        stride: number of simulated frames between two frames.
        target_px: length of the target's longer side in pixels; None: by the seed.
        photographs: folder of photographs. `NAME.txt` beside `NAME.jpg` contains its objects in the format of
            YOLO; without such a file, random parts are objects. None or empty: images of the dead leaves
            model.

    Raises:
        SourceError: an argument is invalid, the folder contains no photographs, a photograph cannot be read,
            or the package colour-science is not installed.
    """

    def __init__(
        self,
        seed: int = 0,
        frames: int = 150,
        kind: Kind = "cube",
        rate_hz: float = 25.0,
        size: tuple[int, int] = (512, 256),
        bands: SpectralInfo | str = "vis16",
        attributes: Sequence[str] | str | None = None,
        sample: Sample | None = None,
        stride: int = 1,
        target_px: float | None = None,
        photographs: str | Path | None = None,
    ) -> None:
        self._images = NaturalImages(Path(photographs).expanduser() if photographs else None)
        super().__init__(seed, frames, kind, rate_hz, size, bands, attributes, sample, stride, target_px)

    @property
    def name(self) -> str:
        return f"natural-{self._seed}"

    def _make_sensor(self, camera: SpectralInfo, kind: Kind, sample: Sample) -> SpectralSensor:
        shape = (self._size[1], self._size[0], len(camera.wavelengths_nm))
        rng = self._make_random_generator(7)
        noise = draw_measured_noise(rng)
        return SpectralSensor(camera, kind, sample, noise, noise.draw_fixed_pattern(shape, rng))

    def _make_camera_path(
        self, rng: np.random.Generator, length: int, max_shift: tuple[float, float], shake: float
    ) -> CameraPath:
        return make_shaken_path(rng, length, self._size, max_shift, self._rate)

    def _make_illumination(self, camera: SpectralInfo, length: int) -> NaturalLight:
        rng = self._make_random_generator(2)
        varies = "IV" in self.attributes
        return make_natural_light(rng, camera, length, self._size, self._rate, varies=varies)

    def _make_materials(
        self, camera: SpectralInfo, ground_size: tuple[int, int], target_px: float
    ) -> tuple[NDArray[np.float32], SpriteFactory]:
        upsampling = SpectralUpsampling(camera)
        rng = self._make_random_generator(4)
        image = self._images.draw_scene(rng, ground_size)
        fractions, colors = divide_into_materials(image, rng, _GROUND_MATERIALS)
        ground = upsampling.upsample(image, fractions, upsampling.choose_materials(colors, rng))
        background = image if "BC" in self.attributes else None
        rng = self._make_random_generator(3)
        return ground, NaturalSprites(rng, self._images, upsampling, self._light.full, background)
