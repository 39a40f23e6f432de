"""Training clips made here: from the hyperspectral simulator, and from photographs cut up and moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_presets import preset
from hsi_tracker_ros.simulation import ATTRIBUTES, TRAINING_SEEDS, HyperspectralScene, random_camera
from hsi_tracker_ros.training.pairs import Clip, make_clip, write_clip
from tracking_runtime.datasets.file_tree import paths_below
from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import SpectralInfo

_JPEG = (".jpg", ".jpeg")

RANDOM_CAMERAS = 1 / 3
SIZE = (512, 256)


def render_clips(
    folder: Path,
    count: int,
    *,
    photographs: Path | None = None,
    photograph_share: float = 0.25,
    frames: int = 6,
) -> Iterator[int]:
    """Fill a folder with clips up to ``count``, yielding how many there are after each new one.

    A clip depends on its number alone, so an interrupted rendering goes on where it was.

    Raises:
        SourceError: the folder of photographs has none that can be read.
    """
    photos = (
        [path for path in paths_below(photographs) if path.suffix.lower() in _JPEG] if photographs else []
    )
    if photographs and not photos:
        raise SourceError(f"no JPEG photographs in {photographs}")
    for number in range(count):
        name = f"{number:06d}"
        if (folder / f"{name}.json").exists():
            continue
        rng = np.random.default_rng([2, number])
        if photos and rng.random() < photograph_share:
            clip = photograph_clip(photos, rng, frames)
        else:
            clip = simulated_clip(rng, frames)
        write_clip(folder, name, clip)
        yield number + 1


def simulated_clip(rng: np.random.Generator, frames: int) -> Clip:
    """Frames of a training scene, some way apart; look-alikes that differ only in spectrum in two fifths."""
    camera, sample = random_camera(rng) if rng.random() < RANDOM_CAMERAS else (preset("vis16"), None)
    attributes = [str(name) for name in rng.choice(ATTRIBUTES, int(rng.integers(1, 4)), replace=False)]
    if rng.random() < 0.4:
        attributes.append("SLA")
    scene = HyperspectralScene(
        int(rng.integers(TRAINING_SEEDS.stop)),
        frames=frames,
        stride=int(rng.integers(6, 20)),
        bands=camera,
        sample=sample,
        attributes=sorted(set(attributes)),
    )
    info = scene.spectral_info
    light, boxes = [], []
    for frame in scene:
        light.append(
            (frame.image.astype(np.float32) - info.black_level) / (info.saturation_level - info.black_level)
        )
        truth = frame.truth.boxes if frame.truth is not None else np.zeros((0, 4))
        boxes.append(truth[0] if len(truth) else np.full(4, np.nan))
    return make_clip(light, np.stack(boxes), info.wavelengths_nm)


def photograph_clip(photos: Sequence[Path], rng: np.random.Generator, frames: int) -> Clip:
    """Shapes cut from photographs, moving over another one, their colours turned into spectra."""
    camera, _ = random_camera(rng) if rng.random() < RANDOM_CAMERAS else (preset("vis16"), None)
    background = _Sheet(_patch(photos, rng, (SIZE[0] * 5 // 4, SIZE[1] * 5 // 4)), camera, rng)
    length = float(np.exp(rng.uniform(np.log(16), np.log(110))))
    sheets = [_Sheet(_patch(photos, rng, (160, 160)), camera, rng) for _ in range(int(rng.integers(2, 5)))]
    masks = [_shape(rng) for _ in sheets]
    if rng.random() < 0.5:
        masks[-1] = masks[0]
    start = rng.uniform((0.15, 0.2), (0.85, 0.8), (len(sheets), 2)) * SIZE
    lengths = length * np.exp(rng.uniform(-0.3, 0.3, len(sheets)))
    lengths[0] = length
    aspect = np.exp(rng.uniform(-0.6, 0.6, len(sheets)))
    light, boxes = [], []
    for _ in range(frames):
        shift = rng.uniform(0, 1, 2) * (
            background.cube.shape[1] - SIZE[0],
            background.cube.shape[0] - SIZE[1],
        )
        x, y = shift.astype(int)
        cube = background.cube[y : y + SIZE[1], x : x + SIZE[0]].copy()
        box = np.full(4, np.nan)
        order = rng.permutation(len(sheets))
        hidden = np.zeros(SIZE[::-1], np.float32)
        for index in sorted(order, key=lambda each: each == 0 and rng.random() < 0.7):
            centre = start[index] + 0.25 * length * rng.standard_normal(2)
            pose = _pose(rng, centre, lengths[index] * np.exp(rng.uniform(-0.15, 0.15)), aspect[index])
            coverage = _warp(masks[index], pose)
            cube += coverage[..., None] * (_warp(sheets[index].cube, pose) - cube)
            if index == 0:
                box, hidden = _bounds(coverage), np.zeros_like(coverage)
                seen = coverage
            else:
                hidden = np.maximum(hidden, coverage)
        if np.isfinite(box[0]) and (seen * (1 - hidden)).sum() < 0.3 * seen.sum():
            box = np.full(4, np.nan)
        gain = np.float32(np.exp(rng.uniform(-0.2, 0.2)))
        noise = rng.standard_normal(cube.shape, dtype=np.float32) * np.float32(0.01)
        light.append(cube * gain + noise)
        boxes.append(box)
    return make_clip(light, np.stack(boxes), camera.wavelengths_nm)


class _Sheet:
    """A patch of a photograph as a cube: each colour a smooth lobe, all bent by one curve of its own."""

    def __init__(self, photo: NDArray[np.uint8], camera: SpectralInfo, rng: np.random.Generator) -> None:
        nm = np.array(camera.wavelengths_nm)
        lobes = np.exp(-0.5 * ((nm[:, None] - (460, 545, 620)) / (45, 45, 60)) ** 2) + 0.02
        lobes[nm > 620, 2] = 1
        lobes /= lobes.sum(axis=1, keepdims=True)
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(60, 250)
        bend = 1 + rng.uniform(0, 0.4) * np.sin(2 * np.pi * nm / period + phase)
        linear = np.square(photo.astype(np.float32) / 255)
        self.cube: NDArray[np.float32] = (linear @ lobes.T.astype(np.float32)) * bend.astype(np.float32)


def _patch(photos: Sequence[Path], rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A random piece of a random photograph, at a random scale."""
    photo = cv2.imread(str(photos[int(rng.integers(len(photos)))]), cv2.IMREAD_REDUCED_COLOR_2)
    if photo is None:
        raise SourceError("a photograph cannot be read")
    width, height = size
    zoom = max(width / photo.shape[1], height / photo.shape[0], float(np.exp(rng.uniform(-1.6, 0))))
    photo = cv2.resize(
        photo, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    )
    photo = cv2.resize(photo, (max(photo.shape[1], width), max(photo.shape[0], height)))
    x, y = (int(rng.integers(space + 1)) for space in (photo.shape[1] - width, photo.shape[0] - height))
    return np.ascontiguousarray(photo[y : y + height, x : x + width])


def _shape(rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth blob, an ellipse or a polygon, ``(160, 160)``, its bounds near those of the array."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    kind = rng.integers(3)
    radius = np.ones_like(angles)
    if kind == 0:
        for order in range(2, 6):
            radius += rng.normal(0, 0.25 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    elif kind == 1:
        corners = int(rng.integers(3, 7))
        radius = np.cos(np.pi / corners) / np.cos((angles % (2 * np.pi / corners)) - np.pi / corners)
    points = radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = 78 * points / np.abs(points).max(axis=0) + 80
    mask = np.zeros((160, 160), np.float32)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 1.0)
    return mask


def _pose(
    rng: np.random.Generator, centre: NDArray[np.float64], length: float, aspect: float
) -> NDArray[np.float64]:
    """Affine ``(2, 3)`` from a sheet's pixels to the image's."""
    angle = rng.normal(0, 0.2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([length / 160 * np.sqrt(aspect), length / 160 / np.sqrt(aspect)])
    return np.concatenate([linear, (centre - linear @ (80.0, 80.0))[:, None]], axis=1)


def _warp(image: NDArray[np.float32], pose: NDArray[np.float64]) -> NDArray[np.float32]:
    planes = image[..., None] if image.ndim == 2 else image
    parts = [
        cv2.warpAffine(np.ascontiguousarray(planes[..., first : first + 4]), pose, SIZE).reshape(
            *SIZE[::-1], -1
        )
        for first in range(0, planes.shape[2], 4)
    ]
    warped = np.concatenate(parts, axis=2, dtype=np.float32)
    return warped[..., 0] if image.ndim == 2 else warped


def _bounds(coverage: NDArray[np.float32]) -> NDArray[np.float64]:
    y, x = np.nonzero(coverage > 0.5)
    if len(x) < 30:
        return np.full(4, np.nan)
    return np.array([x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()], np.float64)
