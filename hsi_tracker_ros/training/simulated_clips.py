"""Training clips from the hyperspectral simulator, and from photographs that are cut up and moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.photographs import find_photograph_paths
from hsi_tracker_ros.simulation import ATTRIBUTES, TRAINING_SEEDS, HyperspectralScene, make_random_camera
from hsi_tracker_ros.training.clips import CubeClip, make_clip, write_clip
from hsi_tracker_ros.training.object_images import read_color_image
from tracking_runtime.spectral_info import SpectralInfo

_RANDOM_CAMERA_FRACTION = 1 / 3  # of the clips; the others have the bands of the camera vis16
_LOOKALIKE_FRACTION = 0.4  # of the simulated clips, which contain objects that differ only in spectrum

_IMAGE_SIZE = (512, 256)  # width and height of composed clips in pixels
_CUTOUT_SIZE = 160  # side of a cutout in its own pixels
_CUTOUT_RADIUS = 78
_TARGET = 0  # number of the target among the cutouts
_MIN_VISIBLE_FRACTION = 0.3  # of the target; if less is visible, the frame has no box
_MIN_VISIBLE_PIXELS = 30
_WARP_CHANNELS = 4  # maximum number of channels of cv2.warpAffine


def render_clips(
    folder: Path,
    num_clips: int,
    *,
    photographs: Path | None = None,
    photograph_fraction: float = 0.25,
    num_frames: int = 6,
) -> Iterator[int]:
    """Render clips until a folder contains `num_clips`. Yield the number of clips after each new one.

    A clip depends on its number alone, so that an interrupted call can be repeated.

    Args:
        folder: folder of the clips; it is created if needed.
        num_clips: number of clips in the end.
        photographs: folder of photographs; None renders simulated clips only.
        photograph_fraction: fraction of the clips that are composed of photographs.
        num_frames: number of frames of a clip.

    Raises:
        SourceError: the folder of photographs contains none, or one of them cannot be read.
    """
    photos = find_photograph_paths(photographs) if photographs else []
    for number in range(num_clips):
        name = f"{number:06d}"
        if (folder / f"{name}.json").exists():
            continue
        rng = np.random.default_rng([2, number])
        if photos and rng.random() < photograph_fraction:
            clip = compose_photograph_clip(photos, rng, num_frames)
        else:
            clip = simulate_clip(rng, num_frames)
        write_clip(folder, name, clip)
        yield number + 1


def simulate_clip(rng: np.random.Generator, num_frames: int) -> CubeClip:
    """Render a clip of a training scene, several frames of the scene apart.

    Args:
        rng: random number generator.
        num_frames: number of frames.
    """
    is_random = rng.random() < _RANDOM_CAMERA_FRACTION
    camera, sample = make_random_camera(rng) if is_random else (find_camera_preset("vis16"), None)
    attributes = [str(name) for name in rng.choice(ATTRIBUTES, int(rng.integers(1, 4)), replace=False)]
    if rng.random() < _LOOKALIKE_FRACTION:
        attributes.append("SLA")
    scene = HyperspectralScene(
        int(rng.integers(TRAINING_SEEDS.stop)),
        frames=num_frames,
        stride=int(rng.integers(6, 20)),
        bands=camera,
        sample=sample,
        attributes=sorted(set(attributes)),
    )
    info = scene.spectral_info
    cubes = []
    boxes = []
    for frame in scene:
        digital_numbers = frame.image.astype(np.float32)
        cubes.append((digital_numbers - info.black_level) / (info.saturation_level - info.black_level))
        true_boxes = frame.truth.boxes if frame.truth is not None else np.zeros((0, 4))
        boxes.append(true_boxes[0] if len(true_boxes) else np.full(4, np.nan))
    return make_clip(cubes, np.stack(boxes), info.wavelengths_nm)


@dataclass(frozen=True)
class _Cutout:
    """A shape cut out of a photograph.

    Attributes:
        cube: light of the photograph, (160, 160, bands).
        mask: coverage of the shape, (160, 160), 0 to 1.
        position: mean position of its center in pixels of the image: x, y.
        length: mean length in pixels of the image.
        aspect: width divided by height.
    """

    cube: NDArray[np.float32]
    mask: NDArray[np.float32]
    position: NDArray[np.float64]
    length: float
    aspect: float


@dataclass(frozen=True)
class _PhotographScene:
    """Cutouts before a background. The first cutout is the target.

    Attributes:
        camera: camera of the cubes.
        background: light of the background, (height, width, bands), larger than the image.
        cutouts: target and distractors.
    """

    camera: SpectralInfo
    background: NDArray[np.float32]
    cutouts: tuple[_Cutout, ...]


def compose_photograph_clip(photos: Sequence[Path], rng: np.random.Generator, num_frames: int) -> CubeClip:
    """Compose a clip of shapes that are cut from photographs and move over another photograph.

    The colors of the photographs are turned into spectra.

    Args:
        photos: JPEG files.
        rng: random number generator.
        num_frames: number of frames.

    Raises:
        SourceError: a photograph cannot be read.
    """
    scene = _draw_scene(photos, rng)
    cubes = []
    boxes = []
    for _ in range(num_frames):
        cube, box = _compose_frame(scene, rng)
        gain = np.float32(np.exp(rng.uniform(-0.2, 0.2)))
        noise = rng.standard_normal(cube.shape, dtype=np.float32) * np.float32(0.01)
        cubes.append(cube * gain + noise)
        boxes.append(box)
    return make_clip(cubes, np.stack(boxes), scene.camera.wavelengths_nm)


def _draw_scene(photos: Sequence[Path], rng: np.random.Generator) -> _PhotographScene:
    is_random = rng.random() < _RANDOM_CAMERA_FRACTION
    camera, _ = make_random_camera(rng) if is_random else (find_camera_preset("vis16"), None)
    width, height = _IMAGE_SIZE
    background = _make_cube(_draw_patch(photos, rng, (width * 5 // 4, height * 5 // 4)), camera, rng)
    return _PhotographScene(camera, background, _draw_cutouts(photos, camera, rng))


def _draw_cutouts(
    photos: Sequence[Path], camera: SpectralInfo, rng: np.random.Generator
) -> tuple[_Cutout, ...]:
    target_length = float(np.exp(rng.uniform(np.log(16), np.log(110))))
    size = (_CUTOUT_SIZE, _CUTOUT_SIZE)
    num_cutouts = int(rng.integers(2, 5))
    cubes = [_make_cube(_draw_patch(photos, rng, size), camera, rng) for _ in range(num_cutouts)]
    masks = [_draw_mask(rng) for _ in range(num_cutouts)]
    if rng.random() < 0.5:
        masks[-1] = masks[_TARGET]  # a distractor of the target's shape
    positions = rng.uniform((0.15, 0.2), (0.85, 0.8), (num_cutouts, 2)) * _IMAGE_SIZE
    lengths = target_length * np.exp(rng.uniform(-0.3, 0.3, num_cutouts))
    lengths[_TARGET] = target_length
    aspects = np.exp(rng.uniform(-0.6, 0.6, num_cutouts))
    return tuple(
        _Cutout(cube, mask, position, length, aspect)
        for cube, mask, position, length, aspect in zip(
            cubes, masks, positions, lengths, aspects, strict=True
        )
    )


def _compose_frame(
    scene: _PhotographScene, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the cube of a frame and the box of its target, NaN if too little of it is visible."""
    cube = _pan(scene.background, rng)
    target_length = scene.cutouts[_TARGET].length
    target_coverage = np.zeros(cube.shape[:2], np.float32)
    occlusion = np.zeros(cube.shape[:2], np.float32)
    for index in _draw_order(rng, len(scene.cutouts)):
        cutout = scene.cutouts[index]
        pose = _draw_pose(rng, cutout, shift_deviation=0.25 * target_length)
        coverage = _warp(cutout.mask, pose)
        cube += coverage[..., None] * (_warp(cutout.cube, pose) - cube)
        if index == _TARGET:
            target_coverage = coverage
            occlusion = np.zeros_like(coverage)
        else:
            occlusion = np.maximum(occlusion, coverage)
    return cube, _find_visible_box(target_coverage, occlusion)


def _pan(background: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a copy of the image's size from a random position of the background."""
    width, height = _IMAGE_SIZE
    margin = (background.shape[1] - width, background.shape[0] - height)
    x, y = (rng.uniform(0, 1, 2) * margin).astype(int)
    return background[y : y + height, x : x + width].copy()


def _draw_order(rng: np.random.Generator, num_cutouts: int) -> list[int]:
    """Return the order in which the cutouts are drawn. In 7 of 10 frames the target is in front."""
    order = rng.permutation(num_cutouts).tolist()
    is_target_last = rng.random() < 0.7
    return sorted(order, key=lambda index: index == _TARGET and is_target_last)


def _find_visible_box(coverage: NDArray[np.float32], occlusion: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the bounding box of the target; NaN if it is too small or occluded.

    Args:
        coverage: coverage of each pixel by the target, (height, width), 0 to 1.
        occlusion: coverage of each pixel by what is in front of the target.
    """
    y, x = np.nonzero(coverage > 0.5)
    is_occluded = (coverage * (1 - occlusion)).sum() < _MIN_VISIBLE_FRACTION * coverage.sum()
    if len(x) < _MIN_VISIBLE_PIXELS or is_occluded:
        return np.full(4, np.nan)
    return np.array([x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()], np.float64)


def _make_cube(
    photo: NDArray[np.uint8], camera: SpectralInfo, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Turn a photograph into a cube.

    Each color becomes a smooth lobe of reflectance. One random curve bends all spectra of the photograph.

    Args:
        photo: photograph, (height, width, 3), blue, green, red.
        camera: camera with the bands of the cube.
        rng: random number generator.
    """
    nm = np.array(camera.wavelengths_nm)
    lobes = np.exp(-0.5 * ((nm[:, None] - (460, 545, 620)) / (45, 45, 60)) ** 2) + 0.02
    lobes[nm > 620, 2] = 1
    lobes /= lobes.sum(axis=1, keepdims=True)
    phase = rng.uniform(0, 2 * np.pi)
    period_nm = rng.uniform(60, 250)
    curve = 1 + rng.uniform(0, 0.4) * np.sin(2 * np.pi * nm / period_nm + phase)
    linear = np.square(photo.astype(np.float32) / 255)
    cube: NDArray[np.float32] = (linear @ lobes.T.astype(np.float32)) * curve.astype(np.float32)
    return cube


def _draw_patch(photos: Sequence[Path], rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a random part of a random photograph, at a random scale; `size` is its width and height."""
    path = photos[int(rng.integers(len(photos)))]
    whole = read_color_image(path)
    photo = cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    width, height = size
    min_scale = max(width / photo.shape[1], height / photo.shape[0])
    scale = max(min_scale, float(np.exp(rng.uniform(-1.6, 0))))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=interpolation)
    photo = cv2.resize(photo, (max(photo.shape[1], width), max(photo.shape[0], height)))  # rounding
    x, y = (int(rng.integers(margin + 1)) for margin in (photo.shape[1] - width, photo.shape[0] - height))
    return np.ascontiguousarray(photo[y : y + height, x : x + width])


def _draw_mask(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the mask of a smooth blob, an ellipse or a polygon that nearly fills a cutout."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    kind = rng.integers(3)
    radii = np.ones_like(angles)
    if kind == 0:
        for order in range(2, 6):
            radii += rng.normal(0, 0.25 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    elif kind == 1:
        corners = int(rng.integers(3, 7))
        radii = np.cos(np.pi / corners) / np.cos((angles % (2 * np.pi / corners)) - np.pi / corners)
    points = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = _CUTOUT_RADIUS * points / np.abs(points).max(axis=0) + _CUTOUT_SIZE / 2
    mask = np.zeros((_CUTOUT_SIZE, _CUTOUT_SIZE), np.float32)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 1.0)
    return mask


def _draw_pose(rng: np.random.Generator, cutout: _Cutout, *, shift_deviation: float) -> NDArray[np.float64]:
    """Return a random affine matrix from pixels of a cutout to pixels of the image, (2, 3)."""
    center = cutout.position + shift_deviation * rng.standard_normal(2)
    scale = cutout.length * np.exp(rng.uniform(-0.15, 0.15)) / _CUTOUT_SIZE
    angle = rng.normal(0, 0.2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([scale * np.sqrt(cutout.aspect), scale / np.sqrt(cutout.aspect)])
    middle = (_CUTOUT_SIZE / 2, _CUTOUT_SIZE / 2)
    return np.concatenate([linear, (center - linear @ middle)[:, None]], axis=1)


def _warp(image: NDArray[np.float32], pose: NDArray[np.float64]) -> NDArray[np.float32]:
    """Warp a mask (height, width) or cube (height, width, bands) of a cutout into the image."""
    planes = image[..., None] if image.ndim == 2 else image
    width, height = _IMAGE_SIZE
    parts = []
    for first in range(0, planes.shape[2], _WARP_CHANNELS):
        channels = np.ascontiguousarray(planes[..., first : first + _WARP_CHANNELS])
        parts.append(cv2.warpAffine(channels, pose, _IMAGE_SIZE).reshape(height, width, -1))
    warped = np.concatenate(parts, axis=2, dtype=np.float32)
    return warped[..., 0] if image.ndim == 2 else warped
