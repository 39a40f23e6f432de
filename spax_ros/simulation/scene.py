"""Simulated satellite video with exact ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from spax_ros.simulation.camera_motion import CameraMotion, simulate_camera_motion, simulate_flight
from spax_ros.simulation.disturbances import Disturbances
from spax_ros.simulation.landscape import make_landscape
from spax_ros.simulation.noise_fields import Image
from spax_ros.simulation.rendering import (
    Clouds,
    Exposure,
    VideoCodec,
    draw_building,
    draw_contrast,
    draw_rigid_body,
    draw_wake,
    make_noisy_sensor,
    make_random_sensor,
)
from spax_ros.simulation.traffic import (
    Mover,
    ObjectClass,
    OcclusionLevel,
    make_aircraft,
    make_road_vehicles,
    make_ships,
    make_trains,
)
from spax_ros.transforms import (
    compose_transforms,
    compute_jacobians,
    invert_transform,
    is_affine,
    transform_points,
    warp_image,
)
from tracking_runtime.boxes import clip_to_image, from_corners
from tracking_runtime.frames import Frame, GroundTruth

TRAINING_SEEDS = range(1_000_000)
BENCHMARK_SEEDS = range(1_000_000, 2_000_000)
CLASS_NAMES = ("car", "airplane", "ship", "train")

PLACES = ("land", "port")
TRAFFIC = ("invented", "measured", "flow")
CODECS = ("none", "video")
PLATFORMS = ("satellite", "drone", "aslant")

_MOVING_PX_PER_FRAME = 0.2
_BACKGROUND_WINDOW_FRAMES = 20
_MIN_VISIBLE_FRACTION = 0.4
_PORT_LEAN_RATES = (0.001, 0.003)  # change of a high-rise's lean a frame, in its heights
_PORT_SHIP_SPEEDS = (0.25, 1.2)  # pixels a frame
_PORT_SHIPS_PER_MEGAPIXEL = 30


class SatelliteScene:
    """A `FrameSource` of simulated satellite video.

    The ground truth has *moving* objects, as SatVideoDT: an object enters when it moves by 0.2 pixels per
    frame over the ground, stays while it waits for up to 20 frames (a background window), and returns with
    the same id. Parked vehicles are never in it. A box is the axis-aligned extent of the body plus one
    standard deviation of the blur on each side, clipped to the image. An object is omitted while less than 40
    % of it is visible (image border, bridges, buildings, clouds).

    Args:
        seed: seed of the scene: `TRAINING_SEEDS` for training, `BENCHMARK_SEEDS` for benchmarks.
        frames: number of frames.
        size: image width and height, or one number for both. The density of objects does not depend on it.
        rate_hz: frame rate in Hz. Speeds are per frame and do not depend on it.
        color: bgr8 images; otherwise mono8.
        density: number of vehicles per megapixel; None: random, 15 to 110.
        first_stamp_ns: stamp of the first frame in nanoseconds.
        place: `land`, or `port`: half of it water with slow ships, high-rises with growing parallax, glint,
            waves, wakes, smoke, moving shadows and seams.
        platform: `satellite`; `drone`, which turns, zooms and moves; or `aslant`, a drone that looks aslant.
        traffic: `invented`; `measured`: speeds, sizes and stops as in the ground truth of a real video;
            `flow`: gaps between vehicles, turns and contrasts as well.
        codec: `none`, or `video`: the blocks of a video encoder, which change with every frame.
        snr: contrast of the vehicles, brighter or darker than what is under them, in standard deviations of a
            pixel's noise. The images are noisy then, without clouds, compression and other objects. None:
            vehicles have colors.

    Raises:
        ValueError: an argument is not one of its choices, or there are less than 1 frame or 64 x 64 pixels.
    """

    spectral_info = None
    class_names = CLASS_NAMES

    def __init__(
        self,
        seed: int = 0,
        frames: int = 100,
        size: tuple[int, int] | int = (1024, 1024),
        rate_hz: float = 10.0,
        *,
        color: bool = True,
        density: float | None = None,
        first_stamp_ns: int = 1_000_000_000,
        place: str = "land",
        traffic: str = "invented",
        platform: str = "satellite",
        snr: float | None = None,
        codec: str = "none",
    ) -> None:
        width, height = (size, size) if isinstance(size, int) else size
        choices = (
            ("place", place, PLACES),
            ("traffic", traffic, TRAFFIC),
            ("platform", platform, PLATFORMS),
            ("codec", codec, CODECS),
        )
        for name, value, allowed in choices:
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}: got {value!r}")
        if frames < 1 or min(width, height) < 64:
            raise ValueError(
                f"a scene needs 1 frame and 64 x 64 pixels at least, not {frames} and {width} x {height}"
            )
        self.name = f"satellite-{seed}"
        self.rate_hz = rate_hz
        self.size = (int(width), int(height))
        self._seed, self._frames, self._color, self._first_stamp_ns = seed, frames, color, first_stamp_ns
        rng = np.random.default_rng(seed)
        is_port = place == "port"
        if platform == "satellite":
            self._platform = simulate_camera_motion(rng, frames, self.size)
        else:
            self._platform = simulate_flight(rng, frames, self.size, is_aslant=platform == "aslant")
        if is_port:
            self._platform = _add_parallax(self._platform, seed)
        margin = self._platform.margin
        extent = (width + 2 * margin, height + 2 * margin)
        scale = float(rng.uniform(0.95, 1.6))
        self._landscape = make_landscape(rng, extent, scale, is_port=is_port)
        crowd = density if density is not None else float(np.exp(rng.uniform(np.log(15), np.log(110))))
        self._movers = self._populate(rng, extent, scale, crowd, is_port=is_port, traffic=traffic)
        self._sensor = make_random_sensor(rng)
        self._contrasts: NDArray[np.float64] | None = None  # of the vehicles, in levels of the radiance
        if snr is not None:
            self._make_faint(snr)
        self._exposure = Exposure(rng, self._sensor, self.size)
        self._codec = VideoCodec(np.random.default_rng((seed, 5))) if codec == "video" else None
        self._clouds = Clouds(rng, self.size, frames) if snr is None and rng.random() < 0.35 else None
        self._disturbances = self._make_disturbances() if is_port else None
        self._expected = [_find_truth_frames(mover) for mover in self._movers]

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[Frame]:
        return (self.make_frame(index) for index in range(self._frames))

    def make_frame(self, index: int) -> Frame:
        """Return the frame of an index. Frames can be made in any order."""
        if not 0 <= index < self._frames:
            raise IndexError(f"frame index of {self.name} must be 0 to {self._frames - 1}: got {index}")
        rng = np.random.default_rng((self._seed, index))
        radiance, truth = self._render(index)
        image = self._exposure(radiance, index, rng)
        if self._codec is not None:
            image = self._codec(image, index)
        stamp = self._first_stamp_ns + round(index * 1e9 / self.rate_hz)
        if not self._color:
            return Frame(stamp, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), "mono8", "satellite", truth)
        return Frame(stamp, image, "bgr8", "satellite", truth)

    def compute_camera_motion(self, index: int) -> NDArray[np.float64]:
        """Return the true transform of the ground from the frame before to a frame, `(3, 3)`.

        Args:
            index: number of the frame, from 0. Frame 0 has the identity.
        """
        before, after = (self._platform.to_image[k] for k in (max(index - 1, 0), index))
        return compose_transforms(after, invert_transform(before))

    def _make_faint(self, snr: float) -> None:
        """Keep the vehicles only, with a contrast in units of the noise of a new sensor."""
        rng = np.random.default_rng((self._seed, 3))
        self._movers = [mover for mover in self._movers if mover.object_class is ObjectClass.CAR]
        self._sensor = make_noisy_sensor(rng)
        self._contrasts = rng.choice([-1.0, 1.0], len(self._movers)) * snr * self._sensor.read_noise

    def _make_disturbances(self) -> Disturbances:
        ships = [
            np.where(mover.is_present[:, None], mover.positions[:, 0], np.nan)
            for mover in self._movers
            if mover.object_class is ObjectClass.SHIP
        ]
        tops = [building.foot.mean(axis=0) for building in self._landscape.buildings]
        return Disturbances(
            self._seed, self._landscape.water, np.reshape(tops, (-1, 2)), ships, self._frames, self.size
        )

    def _populate(
        self,
        rng: np.random.Generator,
        extent: tuple[int, int],
        scale: float,
        per_megapixel: float,
        *,
        is_port: bool,
        traffic: str,
    ) -> list[Mover]:
        megapixels = self.size[0] * self.size[1] / 1e6
        land = self._landscape
        movers = make_road_vehicles(
            rng,
            land.roads,
            self._frames,
            per_megapixel,
            extent,
            scale,
            is_measured=traffic != "invented",
            is_flow=traffic == "flow",
        )
        if len(land.track):
            movers += make_trains(rng, land.track, self._frames, scale, int(rng.integers(1, 3)))
        if is_port:
            number = 2 + rng.poisson(_PORT_SHIPS_PER_MEGAPIXEL * megapixels)
            movers += make_ships(rng, land.water, self._frames, scale, number, _PORT_SHIP_SPEEDS)
        elif land.water.any():
            movers += make_ships(rng, land.water, self._frames, scale, 1 + rng.poisson(15 * megapixels))
        if rng.random() < 0.25:
            movers += make_aircraft(rng, extent, self._frames, scale, 1 + rng.poisson(0.5))
        return movers

    def _render(self, index: int) -> tuple[Image, GroundTruth]:
        to_image = self._platform.to_image[index]
        ground = _warp(self._landscape.ground, to_image, self.size, cv2.INTER_LINEAR)
        bridges = _warp(self._landscape.bridges, to_image, self.size, cv2.INTER_NEAREST)
        radiance = ground.copy()
        for number, mover in enumerate(self._movers):
            if mover.level is OcclusionLevel.GROUND:
                self._draw(
                    radiance, mover, index, None if self._contrasts is None else self._contrasts[number]
                )
        cv2.copyTo(ground, bridges, radiance)
        hidden = bridges
        lean = self._platform.lean[index]
        for building in self._landscape.buildings:
            foot = transform_points(building.foot, to_image)
            draw_building(radiance, hidden, building, foot, building.height * lean)
        for mover in self._movers:
            if mover.level is OcclusionLevel.AIR:
                self._draw(radiance, mover, index)
        if self._disturbances is not None:
            radiance = self._disturbances.draw(radiance, index, to_image)
        opacity = np.zeros(hidden.shape, np.float32)
        if self._clouds is not None:
            opacity = self._clouds.compute_opacity(index)
            radiance = self._clouds.cover(radiance, opacity)
        return radiance, self._truth(index, hidden, opacity)

    def _draw(self, image: Image, mover: Mover, index: int, contrast: float | None = None) -> None:
        """Draw a mover in its color, or with a contrast to what is under it."""
        if not mover.is_present[index]:
            return
        to_image = self._platform.to_image[index]
        places = transform_points(mover.positions[index], to_image)
        jacobians = compute_jacobians(mover.positions[index], to_image)
        scales = np.hypot(jacobians[:, 0, 0], jacobians[:, 1, 0])
        turns = np.arctan2(jacobians[:, 1, 0], jacobians[:, 0, 0])
        for ground_place, heading, place, scale, turn in zip(
            mover.positions[index], mover.headings[index], places, scales, turns, strict=True
        ):
            length, width = mover.length * scale, mover.width * scale
            if not np.all((place > -length) & (place < np.add(self.size, length))):
                continue
            if contrast is not None:
                draw_contrast(image, mover.object_class, place, heading + turn, length, width, contrast)
                continue
            light = self._compute_sunlight(mover, ground_place)
            if mover.contrast is not None:
                contrast_now = light * mover.contrast
                draw_contrast(image, mover.object_class, place, heading + turn, length, width, contrast_now)
                continue
            if mover.object_class is ObjectClass.SHIP:
                draw_wake(image, place, heading + turn, length, width, float(mover.speeds[index]))
            draw_rigid_body(
                image,
                mover.object_class,
                place,
                heading + turn,
                length,
                width,
                light * np.array(mover.color),
            )

    def _compute_sunlight(self, mover: Mover, place: NDArray[np.float64]) -> float:
        """Return the fraction of sunlight at a position, 0..1."""
        if mover.level is OcclusionLevel.AIR:
            return 1.0
        shade = self._landscape.shade
        column = int(np.clip(place[0], 0, shade.shape[1] - 1))
        row = int(np.clip(place[1], 0, shade.shape[0] - 1))
        return float(shade[row, column]) / 255

    def _truth(self, index: int, hidden: Image, opacity: NDArray[np.float32]) -> GroundTruth:
        ids, class_ids, boxes = [], [], []
        for number, (mover, expected) in enumerate(zip(self._movers, self._expected, strict=True), start=1):
            if not expected[index]:
                continue
            corners = self._compute_outline(mover, index)
            if not np.any(np.all((corners > 0) & (corners < self.size), axis=-1)):
                continue
            seen = _compute_visible_fraction(
                corners, hidden, opacity, under_roofs=mover.level is not OcclusionLevel.AIR
            )
            if seen < _MIN_VISIBLE_FRACTION:
                continue
            low, high = corners.reshape(-1, 2).min(axis=0), corners.reshape(-1, 2).max(axis=0)
            blur = self._sensor.blur
            ids.append(number)
            class_ids.append(int(mover.object_class))
            boxes.append(np.concatenate([low - blur, high + blur]))
        if not ids:
            return GroundTruth()
        cut = clip_to_image(from_corners(np.array(boxes)), *self.size)
        return GroundTruth(np.array(ids, np.int64), np.array(class_ids, np.uint8), cut)

    def _compute_outline(self, mover: Mover, index: int) -> NDArray[np.float64]:
        """Return the corners of the body's parts in the image, `(parts, 4, 2)`."""
        to_image = self._platform.to_image[index]
        heading = mover.headings[index]
        along = np.stack([np.cos(heading), np.sin(heading)], axis=-1)[:, None] * mover.length / 2
        across = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)[:, None] * mover.width / 2
        signs = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
        corners = mover.positions[index][:, None] + signs[:, :1] * along + signs[:, 1:] * across
        return transform_points(corners, to_image)


def _add_parallax(motion: CameraMotion, seed: int) -> CameraMotion:
    """Return the camera motion with a steady growth of the buildings' lean, as during a pass."""
    rng = np.random.default_rng((seed, 2))
    angle = rng.uniform(0, 2 * np.pi)
    drift = rng.uniform(*_PORT_LEAN_RATES) * np.array([np.cos(angle), np.sin(angle)])
    frames = np.arange(len(motion.lean))[:, None] - len(motion.lean) / 2
    return replace(motion, lean=motion.lean + frames * drift)


def _find_truth_frames(mover: Mover) -> NDArray[np.bool_]:
    """Return the frames in which a mover counts as moving: now, or within the background window."""
    moving = mover.is_present & (np.abs(mover.speeds) >= _MOVING_PX_PER_FRAME)
    last = np.maximum.accumulate(np.where(moving, np.arange(len(moving)), -_BACKGROUND_WINDOW_FRAMES - 1))
    return mover.is_present & (np.arange(len(moving)) - last <= _BACKGROUND_WINDOW_FRAMES)


def _warp(image: Image, to_image: NDArray[np.float64], size: tuple[int, int], how: int) -> Image:
    """Warp between images with pixel centers at integers + 0.5 (OpenCV has them at integers)."""
    if is_affine(to_image):
        shifted = to_image.copy()
        shifted[:2, 2] += to_image[:2, :2] @ [0.5, 0.5] - 0.5
    else:
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        shifted = compose_transforms(invert_transform(half), compose_transforms(to_image, half))
    return warp_image(image, shifted, size, interpolation=how, border_mode=cv2.BORDER_REPLICATE)


def _compute_visible_fraction(
    corners: NDArray[np.float64],
    hidden: Image,
    opacity: NDArray[np.float32],
    *,
    under_roofs: bool,
) -> float:
    """Return the fraction of a body's parts that is inside the image and not hidden, by sampling."""
    grid = np.linspace(0.1, 0.9, 4)
    s, t = (a.ravel()[:, None] for a in np.meshgrid(grid, grid))
    first, second, third, fourth = (corners[:, k, None] for k in range(4))
    samples = ((1 - t) * ((1 - s) * first + s * second) + t * ((1 - s) * fourth + s * third)).reshape(-1, 2)
    column, row = np.floor(samples).astype(int).T
    inside = (column >= 0) & (column < hidden.shape[1]) & (row >= 0) & (row < hidden.shape[0])
    column, row = column[inside], row[inside]
    clear = opacity[row, column] < 0.6
    if under_roofs:
        clear &= hidden[row, column] == 0
    return float(clear.sum()) / len(samples)
