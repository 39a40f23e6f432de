"""Hyperspectral video made from a seed, with exact ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_presets import preset
from hsi_tracker_ros.simulation import spectra
from hsi_tracker_ros.simulation.background import Palette, make_ground
from hsi_tracker_ros.simulation.illumination import make_light
from hsi_tracker_ros.simulation.scene_objects import Casting
from hsi_tracker_ros.simulation.sensor import Kind, Sample, Sensor
from hsi_tracker_ros.simulation.sprites import MARGIN, Pose, bounding_box, draw
from hsi_tracker_ros.simulation.trajectories import camera_path
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.spectral_info import SpectralInfo

ATTRIBUTES = ("BC", "OCC", "DEF", "SV", "FM", "IV", "LR", "OV", "SLA")
"""Challenges as the HOT and OTB benchmarks name them: background clutter, occlusion, deformation, scale
variation, fast motion, illumination variation, low resolution, out of view; and spectral look-alikes."""

TRAINING_SEEDS = range(1_000_000)
BENCHMARK_SEEDS = range(1_000_000, 2_000_000)
"""Scenes for measuring; never train on them."""

VISIBLE_SHARE = 0.1
"""A target is absent if less is seen of it, of what would be with nothing in front and no image border."""

_GROUND_MARGIN = 0.24
"""How far the ground reaches beyond the image on each side, in widths and heights of it."""
_EPOCH_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Rendering:
    """A frame before the sensor.

    Attributes:
        light: ``(height, width, bands)`` float32, 1 where a sample saturates.
        silhouette: ``(height, width)`` bool, the target's as if nothing were in front of it.
        visible: ``(height, width)`` bool, what of it is seen.
        whole_area: pixels of its silhouette if no image border cut it.
        touched: whether a look-alike may touch it.
    """

    light: NDArray[np.float32]
    silhouette: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    whole_area: int
    touched: bool

    @property
    def visible_share(self) -> float:
        """What is seen of the target, of its whole silhouette."""
        return float(self.visible.sum()) / max(self.whole_area, 1)

    @property
    def covered_share(self) -> float:
        """What something in front covers, of the silhouette in the image; 0 where nothing of it is there."""
        inside = int(self.silhouette.sum())
        return 1 - float(self.visible.sum()) / inside if inside else 0.0

    @property
    def outside_share(self) -> float:
        """What lies outside the image, of the whole silhouette."""
        return max(1 - float(self.silhouette.sum()) / max(self.whole_area, 1), 0.0)


class HyperspectralScene:
    """One target among clutter, look-alikes and things in front of it, seen by a moving spectral camera.

    The ground truth (id 1) is the tight box of the target's silhouette inside the image, as if nothing were
    in front of it, in the middle of the exposure; the target is absent where less than ``VISIBLE_SHARE`` of
    it is seen. In the first frame it is there. The same arguments give the same frames, and a seed gives
    the same scene to every camera.

    Args:
        seed: of everything in the scene.
        frames: how many.
        kind: ``cube`` or ``mosaic``.
        rate_hz: frames a second.
        size: width and height of the cube in pixels; in a mosaic each is a whole period of filters.
        bands: a camera, or the name of a preset.
        attributes: what to provoke, of ``ATTRIBUTES``, comma-separated or a sequence; None: the seed chooses.
        sample: type of a sample; None: as the camera's bit depth asks.
        stride: simulated frames from one delivered frame to the next, for training on longer gaps.
        target_px: length of the target's longer side in pixels; None: the seed chooses.

    Raises:
        SourceError: an argument is none of these, or colour-science is not installed.
    """

    def __init__(
        self,
        seed: int,
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
        camera = preset(bands) if isinstance(bands, str) else bands
        if frames < 1 or stride < 1 or rate_hz <= 0 or min(size) < 32:
            raise SourceError(
                "a scene has frames, stride and rate_hz above 0 and sides of at least 32 pixels, not "
                f"frames={frames}, stride={stride}, rate_hz={rate_hz}, size={size}"
            )
        default: Sample = "uint8" if 0 < camera.bit_depth <= 8 else "uint16"
        self._sensor = Sensor(camera, kind, sample or default)
        self._seed, self._frames, self._rate, self._size, self._stride = seed, frames, rate_hz, size, stride
        self.attributes = _attributes(attributes, self._chance(0))
        self._build(camera, target_px)

    def _build(self, camera: SpectralInfo, target_px: float | None) -> None:
        width, height = self._size
        length = (self._frames - 1) * self._stride + 1
        attributes = self.attributes
        rng = self._chance(1)
        sides = (13.0, 20.0) if "LR" in attributes else (22.0, 80.0)
        longer = float(np.exp(rng.uniform(*np.log(sides))))
        target = min(target_px or longer, 0.45 * height)
        reach = 0.16 if rng.random() < 0.6 else 0.03
        shake = float(rng.uniform(0, 1.2))
        self._blur = float(rng.uniform(0.0, 0.9))
        exposure = float(rng.uniform(0.55, 0.95))
        self._camera_path = camera_path(rng, length, self._size, (reach * width, reach * height), shake)
        self._light = make_light(self._chance(2), camera, length, self._size, varies="IV" in attributes)
        palette = Palette(self._chance(3), cluttered="BC" in attributes)
        margin = int(_GROUND_MARGIN * width) + 8, int(_GROUND_MARGIN * height) + 8
        ground_size = width + 2 * margin[0], height + 2 * margin[1]
        responses = spectra.band_responses(camera)
        self._ground = make_ground(self._chance(4), ground_size, palette, responses, target)
        self._ground_to_world = np.array([[1.0, 0.0, -margin[0]], [0.0, 1.0, -margin[1]], [0.0, 0.0, 1.0]])
        casting = Casting(
            self._chance(5),
            camera,
            self._light.pair[0],
            self._camera_path,
            self._size,
            palette,
            attributes,
            target,
        )
        self._cast = casting.choose()
        lit = (self._ground[::7, ::7] * self._light.bands(0)).max(axis=2)
        self._gain = np.float32(exposure / max(float(np.percentile(lit, 98)), 1e-3))

    def _chance(self, *stream: int) -> np.random.Generator:
        """A source of chance of its own for each purpose, so that none depends on another's use."""
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
        return (self.frame(index) for index in range(self._frames))

    def frame(self, index: int) -> Frame:
        """The frame of that index; any order will do.

        Raises:
            IndexError: there is no such frame.
        """
        if not 0 <= index < self._frames:
            raise IndexError(f"frame {index} of a scene of {self._frames}")
        rendering = self.render(index)
        image = self._sensor.expose(rendering.light, self._chance(6, index * self._stride))
        stamp = _EPOCH_NS + round(index * self._stride * 1e9 / self._rate)
        return Frame(stamp, image, self._sensor.encoding, truth=self.truth(rendering))

    def truth(self, rendering: Rendering) -> GroundTruth:
        """What there is to find in a rendering."""
        box = bounding_box(rendering.silhouette)
        if box is None or rendering.visible_share < VISIBLE_SHARE:
            return GroundTruth()
        return GroundTruth(np.array([1], np.int64), np.zeros(1, np.uint8), box[None])

    def render(self, index: int) -> Rendering:
        """The light that reaches the sensor in a frame, and where the target is in it."""
        time = index * self._stride
        width, height = self._size
        to_image = (self._camera_path.matrix(time) @ self._ground_to_world)[:2]
        cube: NDArray[np.float32] = np.asarray(
            cv2.warpAffine(self._ground, to_image, (width, height), borderMode=cv2.BORDER_REFLECT), np.float32
        )
        silhouette = np.zeros((height, width), dtype=bool)
        uncovered = np.ones((height, width), dtype=np.float32)
        for placed in self._cast.actors:
            pose = self._camera_path.pose(placed.path, time)
            before = self._camera_path.pose(placed.path, max(time - 1, 0))
            drawn = draw(placed.actor, pose, (pose.x - before.x, pose.y - before.y), time, self._size)
            if drawn is None:
                continue
            drawn.put_into(cube)
            window = drawn.rows, drawn.columns
            if placed is self._cast.target:
                silhouette[window] = drawn.silhouette > 0.5
                uncovered[:] = 1
            else:
                uncovered[window] *= 1 - drawn.coverage
        visible = silhouette & (uncovered > 0.5)
        self._light.shine_on(cube, time)
        cube *= self._gain
        if self._blur > 0.2:
            cube = np.asarray(
                cv2.GaussianBlur(cube, (0, 0), self._blur, borderType=cv2.BORDER_REFLECT), np.float32
            )
        return Rendering(cube, silhouette, visible, self._whole_area(time), self._cast.touched(time))

    def _whole_area(self, time: int) -> int:
        """Pixels of the target's silhouette if no image border cut it."""
        pose = self._camera_path.pose(self._cast.target.path, time)
        side = int(3 * MARGIN * np.hypot(pose.half_width, pose.half_height)) + 8
        middle = Pose(
            side / 2 + pose.x % 1, side / 2 + pose.y % 1, pose.half_width, pose.half_height, pose.angle
        )
        drawn = draw(self._cast.target.actor, middle, (0.0, 0.0), time, (side, side))
        return 0 if drawn is None else int((drawn.silhouette > 0.5).sum())


def _attributes(given: Sequence[str] | str | None, rng: np.random.Generator) -> tuple[str, ...]:
    """Attributes in the order of ``ATTRIBUTES``: those given, or one to four at random."""
    names: Sequence[str]
    if given is None:
        names = list(rng.choice(ATTRIBUTES, int(rng.integers(1, 5)), replace=False))
    else:
        names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    unknown = [name for name in names if name and name not in ATTRIBUTES]
    if unknown:
        raise SourceError(f"no attribute {', '.join(unknown)}; known: {', '.join(ATTRIBUTES)}")
    return tuple(name for name in ATTRIBUTES if name in names)
