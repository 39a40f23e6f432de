"""Hyperspectral video made from a seed, with exact ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.presets import preset
from hsi_tracker_ros.simulation import actors, spectra
from hsi_tracker_ros.simulation.actors import Actor, bounding_box, draw, half_sizes, make_actor, make_solid
from hsi_tracker_ros.simulation.sensor import Kind, Sample, Sensor
from hsi_tracker_ros.simulation.textures import fractal_noise, mixture, smooth_walk, warped
from hsi_tracker_ros.simulation.trajectories import CameraPath, Trajectory, away, camera_path, wandering
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.spectral import SpectralInfo

ATTRIBUTES = ("BC", "OCC", "DEF", "SV", "FM", "IV", "LR", "OV", "SLA")
"""Challenges as the HOT and OTB benchmarks name them (background clutter, occlusion, deformation, scale variation,
fast motion, illumination variation, low resolution, out of view), and SLA: spectral look-alikes."""

TRAINING_SEEDS = range(1_000_000)
BENCHMARK_SEEDS = range(1_000_000, 2_000_000)
"""Scenes for measuring; never train on them."""

VISIBLE_SHARE = 0.1
"""A target of which less than this is seen, of all that would be with nothing in front and no image border, is absent."""

_MATERIALS = 4
_EPOCH_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Rendering:
    """A frame before the sensor.

    Attributes:
        light: ``(height, width, bands)`` float32, 1 where a sample saturates.
        silhouette: ``(height, width)`` bool, the target's as if nothing were in front of it.
        visible: ``(height, width)`` bool, what of it is seen.
        visible_share: visible pixels over the pixels of its whole silhouette, in the image or not.
    """

    light: NDArray[np.float32]
    silhouette: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    visible_share: float


@dataclass(frozen=True)
class _Placed:
    actor: Actor
    path: Trajectory


class HyperspectralScene:
    """One target among clutter, look-alikes and things in front of it, seen by a moving spectral camera.

    The ground truth (id 1) is the tight box of the target's silhouette inside the image, as if nothing were in front
    of it and at the middle of the exposure; the target is absent where less than ``VISIBLE_SHARE`` of it is seen.
    The same arguments give the same frames, and a seed gives the same scene to every camera.

    Args:
        seed: of everything in the scene.
        frames: how many.
        kind: ``cube`` or ``mosaic``.
        rate_hz: frames a second.
        size: width and height of the cube in pixels; of a mosaic, one filter period is one pixel of it.
        bands: a camera, or the name of a preset.
        attributes: what to provoke, of ``ATTRIBUTES``, comma-separated or a sequence; None: chosen by the seed.
        sample: type of a sample; None: as the camera's bit depth asks.
        stride: simulated frames from one delivered frame to the next, for training on longer gaps.
        target_px: length of the target's longer side in pixels; None: chosen by the seed.
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
        if kind not in ("cube", "mosaic"):
            raise SourceError(f"kind is cube or mosaic, not {kind}")
        if kind == "mosaic" and camera.mosaic is None:
            raise SourceError("a mosaic needs a camera with a mosaic; this one has none. Ask for kind=cube")
        if frames < 1 or stride < 1:
            raise SourceError(
                f"a scene has at least one frame and a stride of at least 1, not {frames} and {stride}"
            )
        self.seed = int(seed)
        self._frames, self._rate, self._size, self._stride = (
            int(frames),
            float(rate_hz),
            tuple(size),
            int(stride),
        )
        default: Sample = "uint8" if 0 < camera.bit_depth <= 8 else "uint16"
        self._sensor = Sensor(camera, kind, sample or default)
        rng = np.random.default_rng([self.seed, 0])
        self.attributes = _attributes(attributes, rng)
        self._build(camera, rng, target_px)

    @property
    def name(self) -> str:
        return f"hyperspectral-{self.seed}"

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
        image = self._sensor.expose(
            rendering.light, np.random.default_rng([self.seed, 1, index * self._stride])
        )
        stamp = _EPOCH_NS + round(index * self._stride * 1e9 / self._rate)
        return Frame(stamp, image, self._sensor.encoding, truth=self._truth(rendering))

    def _truth(self, rendering: Rendering) -> GroundTruth:
        box = bounding_box(rendering.silhouette)
        if box is None or rendering.visible_share < VISIBLE_SHARE:
            return GroundTruth()
        if self._sensor.kind == "mosaic":
            assert self._sensor.camera.mosaic is not None
            rows, columns = self._sensor.camera.mosaic
            box = box * (columns, rows, columns, rows)
        return GroundTruth(np.array([1], np.int64), np.zeros(1, np.uint8), box[None])

    def render(self, index: int) -> Rendering:
        """The light that reaches the sensor in a frame, and where the target is in it."""
        time = index * self._stride
        width, height = self._size
        camera_matrix = self._camera.matrix(time) @ self._map_to_world
        cube = cv2.warpAffine(
            self._background,
            camera_matrix[:2],
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        silhouette = np.zeros((height, width), dtype=bool)
        unhidden = np.zeros((height, width), dtype=np.float32)
        share = 0.0
        for placed in self._actors:
            pose = self._camera.pose(placed.path, time)
            before = self._camera.pose(placed.path, max(time - 1, 0))
            drawn = draw(placed.actor, pose, (pose.x - before.x, pose.y - before.y), time, self._size)
            if drawn is None:
                continue
            drawn.put_into(cube)
            unhidden[drawn.rows, drawn.columns] *= 1 - drawn.coverage
            if placed is self._target:
                silhouette[drawn.rows, drawn.columns] = drawn.silhouette > 0.5
                unhidden[silhouette] = 1.0
        visible = silhouette & (unhidden > 0.5)
        if silhouette.any():
            share = float(visible.sum()) / max(self._whole_area(time), 1.0)
        self._illuminate(cube, time)
        if self._blur > 0.2:
            cube = cv2.GaussianBlur(cube, (0, 0), self._blur, borderType=cv2.BORDER_REFLECT)
        return Rendering(cube, silhouette, visible, share)

    def _whole_area(self, time: int) -> float:
        """Pixels of the target's silhouette with no image border."""
        pose = self._camera.pose(self._target.path, time)
        reach = int(2 * actors.MARGIN * 1.3 * np.hypot(pose.half_width, pose.half_height)) + 8
        centred = actors.Pose(
            reach / 2 + pose.x % 1, reach / 2 + pose.y % 1, pose.half_width, pose.half_height, pose.angle
        )
        drawn = draw(self._target.actor, centred, (0.0, 0.0), time, (reach, reach))
        return 0.0 if drawn is None else float((drawn.silhouette > 0.5).sum())

    def _illuminate(self, cube: NDArray[np.float32], time: int) -> None:
        width, height = self._size
        mix = self._light_mix[time]
        light = self._light_level[time] * (mix * self._lights[0] + (1 - mix) * self._lights[1])
        cube *= light.astype(np.float32)
        shade = self._vignette
        if self._cloud is not None:
            x = int(time * 0.7) % (self._cloud.shape[1] - 64)
            patch = cv2.resize(self._cloud[:, x : x + 64], (width, height), interpolation=cv2.INTER_LINEAR)
            shade = shade * patch
        cube *= shade[..., None]

    # -- making a scene ------------------------------------------------------------------------------------------------

    def _build(self, camera: SpectralInfo, rng: np.random.Generator, target_px: float | None) -> None:
        width, height = self._size
        length = (self._frames - 1) * self._stride + 1
        provoked = set(self.attributes)
        reach = (0.16 * width, 0.16 * height)
        pans = rng.random() < 0.6
        self._camera: CameraPath = camera_path(
            rng,
            length,
            self._size,
            reach if pans else (0.03 * width, 0.03 * height),
            float(rng.uniform(0, 1.2)),
        )
        responses = spectra.band_responses(camera)
        palette = _Palette(rng, "BC" in provoked)
        target_px = target_px or float(
            rng.uniform(13, 20) if "LR" in provoked else np.exp(rng.uniform(3.1, 4.4))
        )
        target_px = min(target_px, 0.45 * height)
        self._build_light(camera, rng, responses, length, "IV" in provoked)
        self._background, self._map_to_world = _background(self._size, palette, responses, rng, target_px)
        self._actors, self._target = self._build_actors(
            camera, rng, responses, palette, provoked, target_px, length
        )
        lit = self._background[::7, ::7] * (
            self._light_mix[0] * self._lights[0] + (1 - self._light_mix[0]) * self._lights[1]
        )
        exposure = rng.uniform(0.55, 0.95) / max(float(np.percentile(lit.max(axis=2), 98)), 1e-3)
        self._light_level = self._light_level * exposure
        self._blur = float(rng.uniform(0.0, 0.9))

    def _build_light(
        self,
        camera: SpectralInfo,
        rng: np.random.Generator,
        responses: spectra.Spectra,
        length: int,
        varies: bool,
    ) -> None:
        lights = spectra.illuminants()
        outdoors = rng.random() < 0.75
        first, second = rng.integers(0, spectra.DAYLIGHTS, 2) if outdoors else rng.integers(0, len(lights), 2)
        sensitivity = np.exp(-0.5 * ((np.array(camera.wavelengths_nm) - rng.uniform(560, 680)) / 220) ** 2)
        sensitivity *= rng.uniform(0.75, 1.0, len(sensitivity))
        self._reference_light = lights[first]
        pair = np.stack([responses @ lights[first], responses @ lights[second]]) * sensitivity
        self._lights = (pair / pair[0].mean()).astype(np.float32)
        swing = 0.5 if varies else 0.08
        self._light_level = np.exp(
            swing * np.clip(smooth_walk(rng, length, 25 if varies else 60)[:, 0], -2, 1.2)
        )
        wander = smooth_walk(rng, length, 40)[:, 0]
        self._light_mix = 0.5 + 0.5 * np.tanh(wander) if varies else np.ones(length)
        width, height = self._size
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        self._vignette = (1 - np.float32(rng.uniform(0.0, 0.3)) * (x * x + y * y) / 2).astype(np.float32)
        self._cloud: NDArray[np.float32] | None = None
        if varies:
            field = fractal_noise(rng, 32, 64 + max(int(0.7 * length), 64), 24, 3)
            self._cloud = 1 - np.float32(rng.uniform(0.3, 0.6)) / (1 + np.exp(-4 * field)).astype(np.float32)

    def _build_actors(
        self,
        camera: SpectralInfo,
        rng: np.random.Generator,
        responses: spectra.Spectra,
        palette: _Palette,
        provoked: set[str],
        target_px: float,
        length: int,
    ) -> tuple[list[_Placed], _Placed]:
        geometry_seed = int(rng.integers(1 << 31))
        texture_px = int(np.clip(1.6 * target_px, 16, 160))
        deformation = float(rng.uniform(0.6, 1.0) if "DEF" in provoked else rng.uniform(0, 0.3))

        def like_target(reflectances: spectra.Spectra) -> Actor:
            return make_actor(
                reflectances @ responses.T, np.random.default_rng(geometry_seed), texture_px, deformation
            )

        half = half_sizes(rng, target_px)
        in_image = wandering(
            rng,
            length,
            self._size,
            half,
            speed=float(rng.uniform(0.4, 2.5)),
            bursts="FM" in provoked,
            scale_change=0.45 if "SV" in provoked else 0.12,
            turn=float(rng.choice([0.1, 0.4, 1.0])),
        )
        if "OV" in provoked:
            in_image = _leaving(in_image, rng, self._size)
        world = self._camera.to_world(np.stack([in_image.x, in_image.y], axis=1))
        path = in_image.moved(world[:, 0] - in_image.x, world[:, 1] - in_image.y)
        target = _Placed(like_target(palette.target), path)

        behind: list[_Placed] = []
        front: list[_Placed] = []
        doubles = int(rng.integers(2, 4)) if "SLA" in provoked else 0
        for _ in range(doubles):
            twin = np.stack([spectra.metamer(r, self._reference_light, camera, rng) for r in palette.target])
            placed = _Placed(like_target(twin), self._companion(rng, path, half, length, meets=True))
            (behind if rng.random() < 0.7 else front).append(placed)
        for _ in range(int(rng.integers(4, 9)) if "BC" in provoked else int(rng.integers(2, 6))):
            materials = palette.similar(rng)
            if rng.random() < 0.4:
                actor = like_target(materials)
            else:
                actor = make_actor(materials @ responses.T, rng, texture_px, float(rng.uniform(0, 0.8)))
            placed = _Placed(actor, self._companion(rng, path, half, length, meets=bool(rng.random() < 0.5)))
            (behind if rng.random() < 0.7 else front).append(placed)
        if "OCC" in provoked:
            front += self._occluders(rng, responses, palette, path, length)
        return [*behind, target, *front], target

    def _companion(
        self,
        rng: np.random.Generator,
        path: Trajectory,
        half: tuple[float, float],
        length: int,
        *,
        meets: bool,
    ) -> Trajectory:
        """A path of another moving thing of about the target's size, which may come close to it at some time."""
        own = tuple(float(h * np.exp(rng.uniform(-0.35, 0.35))) for h in half)
        companion = wandering(rng, length, self._size, (own[0], own[1]), speed=float(rng.uniform(0.2, 2.5)))
        if meets:
            meeting = int(rng.integers(length // 8, length))
            gap = rng.uniform(1.0, 4.0) * max(half)
            angle = rng.uniform(0, 2 * np.pi)
            dx = path.x[meeting] + gap * np.cos(angle) - companion.x[meeting]
            dy = path.y[meeting] + gap * np.sin(angle) - companion.y[meeting]
            companion = companion.moved(np.full(length, dx), np.full(length, dy))
        return companion

    def _occluders(
        self,
        rng: np.random.Generator,
        responses: spectra.Spectra,
        palette: _Palette,
        path: Trajectory,
        length: int,
    ) -> list[_Placed]:
        """Still things in front of places where the target will be; not over its first position."""
        result = []
        for _ in range(int(rng.integers(1, 4))):
            moment = int(rng.integers(min(length // 6, length - 1), length))
            whole = rng.random() < 0.5
            tall = rng.random() < 0.5
            around = max(path.half_width[moment], path.half_height[moment])
            across = around * (rng.uniform(1.1, 1.7) if whole else rng.uniform(0.25, 0.8))
            along = around * rng.uniform(1.5, 4.0)
            aside = 0.0 if whole else rng.uniform(-0.5, 0.5) * around
            half = (across, along) if tall else (along, across)
            x, y = path.x[moment] + aside, path.y[moment] + aside
            start = np.hypot(x - path.x[0], y - path.y[0])
            if start < np.hypot(*half) + np.hypot(path.half_width[0], path.half_height[0]):
                continue
            actor = make_solid(palette.scenery(rng) @ responses.T, rng, 64)
            still = np.ones(length)
            result.append(
                _Placed(
                    actor,
                    Trajectory(
                        x * still, y * still, half[0] * still, half[1] * still, rng.uniform(-0.3, 0.3) * still
                    ),
                )
            )
        return result


def _attributes(given: Sequence[str] | str | None, rng: np.random.Generator) -> tuple[str, ...]:
    chosen = tuple(str(a) for a in rng.choice(ATTRIBUTES, int(rng.integers(1, 5)), replace=False))
    if given is None:
        return tuple(a for a in ATTRIBUTES if a in chosen)
    names = [a.strip() for a in given.split(",")] if isinstance(given, str) else list(given)
    unknown = [a for a in names if a and a not in ATTRIBUTES]
    if unknown:
        raise SourceError(f"no attribute {', '.join(unknown)}; known: {', '.join(ATTRIBUTES)}")
    return tuple(a for a in ATTRIBUTES if a in names)


def _leaving(path: Trajectory, rng: np.random.Generator, size: tuple[int, int]) -> Trajectory:
    """The path with one or two excursions out of the image, over the nearest border."""
    length = len(path.x)
    dx, dy = np.zeros(length), np.zeros(length)
    moments = np.sort(rng.integers(length // 6, max(length - 30, length // 6 + 1), int(rng.integers(1, 3))))
    last_end = 0
    for start in moments:
        if start < last_end:
            continue
        hold, travel = int(rng.integers(10, 35)), int(rng.integers(10, 25))
        last_end = int(start) + hold + 2 * travel
        amount = away(int(start), hold, travel, length)
        margin = 1.6 * float(np.hypot(path.half_width.max(), path.half_height.max())) + 6
        ways = {
            "left": (-(path.x + margin), 0.0),
            "right": (size[0] + margin - path.x, 0.0),
            "top": (0.0, -(path.y + margin)),
            "bottom": (0.0, size[1] + margin - path.y),
        }
        at = min(int(start), length - 1)
        nearest = min(
            ways.values(), key=lambda way: float(np.abs(np.broadcast_to(way[0] + way[1], length)[at]))
        )
        dx, dy = dx + amount * nearest[0], dy + amount * nearest[1]
    return path.moved(dx, dy)


class _Palette:
    """The materials of a scene, each a reflectance over the simulation's wavelengths."""

    def __init__(self, rng: np.random.Generator, cluttered: bool) -> None:
        self._measured = spectra.measured_reflectances()
        self.theme = str(rng.choice(["natural", "urban", "indoor"]))
        natural = np.concatenate([spectra.vegetation(rng, 5), spectra.ground(rng, 4)])
        if self.theme == "natural":
            self.base = natural[rng.permutation(len(natural))[:7]]
        elif self.theme == "urban":
            self.base = np.concatenate([spectra.ground(rng, 4), natural[:1], self._muted(rng, 2)])
        else:
            self.base = self._muted(rng, 7)
        self._scenery = np.concatenate([natural, self._muted(rng, 8), self._pick(rng, 6)])
        self.target = self._pick(rng, _MATERIALS)
        if rng.random() < 0.5:
            self.target[0] = 0.5 * self.target[0] + 0.5 * self._scenery[rng.integers(len(self._scenery))]
        self._cluttered = cluttered
        if cluttered:
            self.base[:2] = 0.35 * self.base[:2] + 0.65 * self.target[:2]

    def _pick(self, rng: np.random.Generator, count: int) -> spectra.Spectra:
        return self._measured[rng.integers(len(self._measured), size=count)].copy()

    def _muted(self, rng: np.random.Generator, count: int) -> spectra.Spectra:
        picked = self._pick(rng, count)
        grey = picked.mean(axis=1, keepdims=True)
        strength = rng.uniform(0.1, 0.8, (count, 1)).astype(np.float32)
        return (grey + strength * (picked - grey)) * rng.uniform(0.4, 1.0, (count, 1)).astype(np.float32)

    def scenery(self, rng: np.random.Generator) -> spectra.Spectra:
        """Materials of a thing that stands around."""
        chance = rng.random()
        if chance < (0.5 if self._cluttered else 0.2):
            return self.similar(rng)
        pool = self._scenery if chance < 0.8 else self._measured
        return pool[rng.integers(len(pool), size=_MATERIALS)].copy()

    def similar(self, rng: np.random.Generator) -> spectra.Spectra:
        """Materials of a thing that is somewhat like the target: some shared, some mixed, some its own."""
        others = self._pick(rng, _MATERIALS)
        share = rng.choice(np.array([0.0, 0.0, 0.5, 0.8, 1.0], dtype=np.float32), (_MATERIALS, 1))
        if share.min() == 1:
            share[0] = 0
        return share * self.target + (1 - share) * others


def _background(
    size: tuple[int, int],
    palette: _Palette,
    responses: spectra.Spectra,
    rng: np.random.Generator,
    target_px: float,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A still world larger than the image, as reflectance in each band, and where its pixels lie in the world.

    Returns:
        ``(rows, columns, bands)`` and the ``(3, 3)`` matrix from its pixels to world coordinates.
    """
    width, height = size
    margin_x, margin_y = int(0.24 * width) + 8, int(0.24 * height) + 8
    columns, rows = width + 2 * margin_x, height + 2 * margin_y
    materials = len(palette.base)
    coarse = [
        fractal_noise(rng, rows // 2 + 1, columns // 2 + 1, rng.uniform(0.08, 0.35) * height, 5, 0.5)
        for _ in range(materials)
    ]
    logits = cv2.resize(np.stack(coarse, axis=-1), (columns, rows), interpolation=cv2.INTER_LINEAR)
    logits += _cells(rng, rows, columns, materials, straight=palette.theme != "natural")
    logits = warped(
        logits, rng, 0.2 * height, rng.uniform(2, 12) if palette.theme == "natural" else rng.uniform(0, 2)
    )
    for material in range(materials):
        grain = fractal_noise(rng, rows, columns, rng.uniform(4, 24), 4, 0.7)
        logits[..., material] += np.float32(rng.uniform(0.15, 0.7)) * grain
    shares = mixture(logits, float(rng.uniform(1.5, 6)))
    relief = fractal_noise(rng, rows, columns, rng.uniform(20, 90), 6, rng.uniform(0.5, 0.75))
    shading = np.clip(1 + np.float32(rng.uniform(0.1, 0.35)) * relief, 0.12, 1.7)
    bands = len(responses)
    field = (shares.reshape(-1, materials) @ (palette.base @ responses.T)).reshape(rows, columns, bands)
    field *= shading[..., None]
    sun = rng.uniform(-0.35, 0.35, 2)
    for _ in range(int(rng.integers(25, 75))):
        long_side = float(np.exp(rng.uniform(np.log(6), np.log(0.5 * height))))
        if rng.random() < 0.4:
            long_side = target_px * float(np.exp(rng.uniform(-0.4, 0.4)))
        _place(
            field,
            make_solid(palette.scenery(rng) @ responses.T, rng, int(np.clip(long_side, 12, 128))),
            rng,
            long_side,
            sun,
        )
    to_world = np.array([[1.0, 0.0, -margin_x], [0.0, 1.0, -margin_y], [0.0, 0.0, 1.0]])
    return field, to_world


def _cells(
    rng: np.random.Generator, rows: int, columns: int, materials: int, *, straight: bool
) -> NDArray[np.float32]:
    """Fields, roofs or panels: a preference for some of the materials in each cell around random sites."""
    sites = np.full((rows, columns), 255, dtype=np.uint8)
    count = int(rng.integers(12, 90))
    sites[rng.integers(0, rows, count), rng.integers(0, columns, count)] = 0
    metric = cv2.DIST_C if straight else cv2.DIST_L2
    _, cell = cv2.distanceTransformWithLabels(
        sites, metric, 3 if straight else 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    preference = rng.standard_normal((count + 1, materials), dtype=np.float32) * np.float32(
        rng.uniform(0.3, 1.8)
    )
    return cv2.blur(preference[cell], (3, 3))


def _place(
    field: NDArray[np.float32],
    actor: Actor,
    rng: np.random.Generator,
    long_side: float,
    sun: NDArray[np.float64],
) -> None:
    """Put a still thing somewhere, with its shadow."""
    rows, columns = field.shape[:2]
    half = half_sizes(rng, long_side)
    pose = actors.Pose(rng.uniform(0, columns), rng.uniform(0, rows), *half, rng.uniform(-np.pi, np.pi))
    shadow_pose = actors.Pose(pose.x + sun[0] * min(half), pose.y + sun[1] * min(half), *half, pose.angle)
    shadow = draw(actor, shadow_pose, (0.0, 0.0), 0.0, (columns, rows))
    drawn = draw(actor, pose, (0.0, 0.0), 0.0, (columns, rows))
    if shadow is not None:
        soft = cv2.GaussianBlur(shadow.coverage, (0, 0), max(0.08 * min(half), 0.8))
        field[shadow.rows, shadow.columns] *= 1 - 0.55 * soft[..., None]
    if drawn is not None:
        drawn.put_into(field)


def training_gap_scene(rng: np.random.Generator, **settings: Any) -> HyperspectralScene:
    """A random training scene: any seed reserved for training, with ``settings`` passed on."""
    return HyperspectralScene(int(rng.integers(TRAINING_SEEDS.stop)), **settings)
