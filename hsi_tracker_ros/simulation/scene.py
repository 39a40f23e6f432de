"""Simulated hyperspectral video with exact ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.background import Palette, make_ground
from hsi_tracker_ros.simulation.illumination import SceneIllumination, make_illumination
from hsi_tracker_ros.simulation.procedural_sprites import ProceduralSprites
from hsi_tracker_ros.simulation.scene_objects import SceneObjectsBuilder, SpriteFactory
from hsi_tracker_ros.simulation.sensor import Kind, Sample, SpectralSensor
from hsi_tracker_ros.simulation.sprites import MARGIN, Pose, draw_sprite, find_bounding_box
from hsi_tracker_ros.simulation.trajectories import CameraPath, make_camera_path
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.spectral_info import SpectralInfo

ATTRIBUTES = ("BC", "OCC", "DEF", "SV", "FM", "IV", "LR", "OV", "SLA")
"""Attributes of the HOT and OTB benchmarks: background clutter, occlusion, deformation, scale variation, fast
motion, illumination variation, low resolution, out of view; and spectral look-alikes (SLA).
"""

TRAINING_SEEDS = range(1_000_000)
BENCHMARK_SEEDS = range(1_000_000, 2_000_000)
"""Seeds for benchmarks. Never train on them."""

MIN_VISIBLE_FRACTION = 0.1
"""A target is absent if a smaller fraction of its silhouette is visible."""

_GROUND_MARGIN = 0.24
"""Extent of the ground beyond the image on each side, as a fraction of the image's size."""
_EPOCH_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Rendering:
    """A frame before the sensor.

    Attributes:
        light: light `(height, width, bands)` float32, 1 at saturation.
        silhouette: silhouette of the target without occluders, `(height, width)` bool.
        visible: visible part of the silhouette, `(height, width)` bool.
        full_area: number of pixels of the silhouette without the border of the image.
        is_touched: True if a look-alike may touch the target.
    """

    light: NDArray[np.float32]
    silhouette: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    full_area: int
    is_touched: bool

    @property
    def visible_fraction(self) -> float:
        """Fraction of the full silhouette that is visible."""
        return float(self.visible.sum()) / max(self.full_area, 1)

    @property
    def covered_fraction(self) -> float:
        """Fraction of the silhouette in the image that is occluded; 0 for a target outside the image."""
        inside = int(self.silhouette.sum())
        return 1 - float(self.visible.sum()) / inside if inside else 0.0

    @property
    def outside_fraction(self) -> float:
        """Fraction of the full silhouette outside the image."""
        return max(1 - float(self.silhouette.sum()) / max(self.full_area, 1), 0.0)


class HyperspectralScene:
    """One target among clutter, look-alikes and occluders, seen by a moving spectral camera.

    The ground truth (id 1) is the bounding box of the target's silhouette inside the image, without
    occluders, in the middle of the exposure. The target is absent if less than `MIN_VISIBLE_FRACTION` of it
    is visible. It is visible in the first frame. Equal arguments give equal frames, and a seed gives the same
    scene to all cameras.

    Args:
        seed: seed of the scene.
        frames: number of frames.
        kind: `cube` or `mosaic`.
        rate_hz: frame rate in Hz.
        size: width and height of the cube in pixels. A mosaic has a whole period of filters for each pixel.
        bands: a camera, or the name of a preset.
        attributes: attributes of the scene, of `ATTRIBUTES`, comma-separated or a sequence; None: by the
            seed.
        sample: type of a sample; None: by the bit depth of the camera.
        stride: number of simulated frames between two frames, for training on longer gaps.
        target_px: length of the target's longer side in pixels; None: by the seed.

    Raises:
        SourceError: an argument is invalid, or the package colour-science is not installed.
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
    ) -> None:
        camera = find_camera_preset(bands) if isinstance(bands, str) else bands
        if frames < 1 or stride < 1 or rate_hz <= 0 or min(size) < 32:
            raise SourceError(
                "a scene has frames, stride and rate_hz above 0 and sides of at least 32 pixels, not "
                f"frames={frames}, stride={stride}, rate_hz={rate_hz}, size={size}"
            )
        default: Sample = "uint8" if 0 < camera.bit_depth <= 8 else "uint16"
        self._seed, self._frames, self._rate, self._size, self._stride = seed, frames, rate_hz, size, stride
        self._sensor = self._make_sensor(camera, kind, sample or default)
        self.attributes = _choose_attributes(attributes, self._make_random_generator(0))
        self._build(camera, target_px)

    def _build(self, camera: SpectralInfo, target_px: float | None) -> None:
        width, height = self._size
        length = (self._frames - 1) * self._stride + 1
        attributes = self.attributes
        rng = self._make_random_generator(1)
        sides = (13.0, 20.0) if "LR" in attributes else (22.0, 80.0)
        longer = float(np.exp(rng.uniform(*np.log(sides))))
        target = min(target_px or longer, 0.45 * height)
        reach = 0.16 if rng.random() < 0.6 else 0.03
        shake = float(rng.uniform(0, 1.2))
        self._blur = float(rng.uniform(0.0, 0.9))
        exposure = float(rng.uniform(0.55, 0.95))
        self._camera_path = self._make_camera_path(rng, length, (reach * width, reach * height), shake)
        self._light = self._make_illumination(camera, length)
        margin = int(_GROUND_MARGIN * width) + 8, int(_GROUND_MARGIN * height) + 8
        ground_size = width + 2 * margin[0], height + 2 * margin[1]
        self._ground, sprites = self._make_materials(camera, ground_size, target)
        self._ground_to_world = np.array([[1.0, 0.0, -margin[0]], [0.0, 1.0, -margin[1]], [0.0, 0.0, 1.0]])
        casting = SceneObjectsBuilder(
            self._make_random_generator(5), sprites, self._camera_path, self._size, attributes, target
        )
        self._cast = casting.build()
        lit = (self._ground[::7, ::7] * self._light.compute_bands(0)).max(axis=2)
        self._gain = np.float32(exposure / max(float(np.percentile(lit, 98)), 1e-3))

    def _make_sensor(self, camera: SpectralInfo, kind: Kind, sample: Sample) -> SpectralSensor:
        """Return the electronics of the camera."""
        return SpectralSensor(camera, kind, sample)

    def _make_camera_path(
        self, rng: np.random.Generator, length: int, max_shift: tuple[float, float], shake: float
    ) -> CameraPath:
        """Return the motion of the camera, see `make_camera_path`."""
        return make_camera_path(rng, length, self._size, max_shift, shake)

    def _make_illumination(self, camera: SpectralInfo, length: int) -> SceneIllumination:
        """Return the light of `length` frames in the bands of a camera."""
        rng = self._make_random_generator(2)
        return make_illumination(rng, camera, length, self._size, varies="IV" in self.attributes)

    def _make_materials(
        self, camera: SpectralInfo, ground_size: tuple[int, int], target_px: float
    ) -> tuple[NDArray[np.float32], SpriteFactory]:
        """Return the ground as reflectances `(rows, columns, bands)`, and the factory of the sprites.

        Args:
            camera: camera of the bands.
            ground_size: number of columns and rows of the ground.
            target_px: length of the target's longer side in pixels.
        """
        palette = Palette(self._make_random_generator(3), cluttered="BC" in self.attributes)
        responses = spectra.compute_band_responses(camera)
        ground = make_ground(self._make_random_generator(4), ground_size, palette, responses, target_px)
        return ground, ProceduralSprites(camera, self._light.full, palette)

    def _make_random_generator(self, *stream: int) -> np.random.Generator:
        """Return the random generator of a stream. Streams are independent of each other."""
        return np.random.default_rng([self._seed, *stream])

    @property
    def name(self) -> str:
        return f"hyperspectral-{self._seed}"

    @property
    def rate_hz(self) -> float:
        return self._rate

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("target",)

    @property
    def spectral_info(self) -> SpectralInfo:
        return self._sensor.spectral_info

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[Frame]:
        return (self.make_frame(index) for index in range(self._frames))

    def make_frame(self, index: int) -> Frame:
        """Return the frame of an index. Frames can be made in any order.

        Raises:
            IndexError: the scene has no such frame.
        """
        if not 0 <= index < self._frames:
            raise IndexError(f"frame index must be 0 to {self._frames - 1}: got {index}")
        rendering = self.render(index)
        image = self._sensor.expose(rendering.light, self._make_random_generator(6, index * self._stride))
        stamp = _EPOCH_NS + round(index * self._stride * 1e9 / self._rate)
        return Frame(stamp, image, self._sensor.encoding, truth=self.make_truth(rendering))

    def make_truth(self, rendering: Rendering) -> GroundTruth:
        """Return the ground truth of a rendering."""
        box = find_bounding_box(rendering.silhouette)
        if box is None or rendering.visible_fraction < MIN_VISIBLE_FRACTION:
            return GroundTruth()
        return GroundTruth(np.array([1], np.int64), np.zeros(1, np.uint8), box[None])

    def render(self, index: int) -> Rendering:
        """Render the light at the sensor and the silhouette of the target in a frame."""
        time = index * self._stride
        width, height = self._size
        to_image = (self._camera_path.compute_matrix(time) @ self._ground_to_world)[:2]
        cube: NDArray[np.float32] = np.asarray(
            cv2.warpAffine(self._ground, to_image, (width, height), borderMode=cv2.BORDER_REFLECT), np.float32
        )
        silhouette = np.zeros((height, width), dtype=bool)
        uncovered = np.ones((height, width), dtype=np.float32)
        for placed in self._cast.objects:
            pose = self._camera_path.compute_pose(placed.path, time)
            before = self._camera_path.compute_pose(placed.path, max(time - 1, 0))
            drawn = draw_sprite(placed.actor, pose, (pose.x - before.x, pose.y - before.y), time, self._size)
            if drawn is None:
                continue
            drawn.blend_into(cube)
            window = drawn.rows, drawn.columns
            if placed is self._cast.target:
                silhouette[window] = drawn.silhouette > 0.5
                uncovered[:] = 1
            else:
                uncovered[window] *= 1 - drawn.coverage
        visible = silhouette & (uncovered > 0.5)
        self._light.illuminate(cube, time)
        cube *= self._gain
        if self._blur > 0.2:
            cube = np.asarray(
                cv2.GaussianBlur(cube, (0, 0), self._blur, borderType=cv2.BORDER_REFLECT), np.float32
            )
        return Rendering(
            cube, silhouette, visible, self._compute_full_area(time), self._cast.is_target_touched(time)
        )

    def _compute_full_area(self, time: int) -> int:
        """Return the number of pixels of the target's silhouette without the border of the image."""
        pose = self._camera_path.compute_pose(self._cast.target.path, time)
        side = int(3 * MARGIN * np.hypot(pose.half_width, pose.half_height)) + 8
        middle = Pose(
            side / 2 + pose.x % 1, side / 2 + pose.y % 1, pose.half_width, pose.half_height, pose.angle
        )
        drawn = draw_sprite(self._cast.target.actor, middle, (0.0, 0.0), time, (side, side))
        return 0 if drawn is None else int((drawn.silhouette > 0.5).sum())


def _choose_attributes(given: Sequence[str] | str | None, rng: np.random.Generator) -> tuple[str, ...]:
    """Return attributes in the order of `ATTRIBUTES`: the given ones, or one to four random ones."""
    names: Sequence[str]
    if given is None:
        names = list(rng.choice(ATTRIBUTES, int(rng.integers(1, 5)), replace=False))
    else:
        names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    unknown = [name for name in names if name and name not in ATTRIBUTES]
    if unknown:
        raise SourceError(f"attributes must be of {', '.join(ATTRIBUTES)}: got {', '.join(unknown)}")
    return tuple(name for name in ATTRIBUTES if name in names)
