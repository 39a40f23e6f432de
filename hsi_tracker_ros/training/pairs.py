"""Training pairs of HA-Net: template and search crops, cut from clips and augmented at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from hsi_tracker_ros.cubes.channelwise import apply_channelwise
from hsi_tracker_ros.cubes.false_color import render_false_color
from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.crops import SquareCrop, compute_search_side, compute_template_side, cut_crop
from hsi_tracker_ros.training.clips import CubeClip
from tracking_runtime.boxes import compute_centers

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AnyPair = TypeVar("AnyPair", bound="DataclassInstance")

_MIN_BAND_MEAN = 1e-4  # light; a frame's mean is at least this where cubes are divided by it
_MAX_SQUARE_DRAWS = 10  # attempts to find a square beside the target


@dataclass(frozen=True)
class AugmentationSettings:
    """Random variation of the crops, as in SiamBAN. Higher values make the crops vary more.

    Attributes:
        template_shift: maximum shift of a template in pixels of the crop.
        template_scale: maximum relative change of a template's scale.
        search_shift: maximum shift of a search crop in pixels of the crop.
        search_scale: maximum relative change of a search crop's scale.
        blur: fraction of the search crops that are blurred.
        color: maximum relative change of false color's brightness, contrast and balance.
        spectrum: standard deviation of the logarithm of each band's gain.
        unpaired: fraction of the pairs whose template shows another object.
        elsewhere: fraction of the pairs whose search crop shows another part of the target's frame. These
            pairs are unpaired as well.
    """

    template_shift: float = 4.0
    template_scale: float = 0.05
    search_shift: float = 64.0
    search_scale: float = 0.18
    blur: float = 0.2
    color: float = 0.2
    spectrum: float = 0.03
    unpaired: float = 0.2
    elsewhere: float = 0.0


@dataclass(frozen=True)
class Pair:
    """A template and a search crop, or a batch of them, whose arrays have a leading batch axis.

    Attributes:
        template_image: false color of the template, (3, 127, 127), blue, green, red, 0 to 255.
        template_cube: cube of the template relative to the frame's mean, (bands, size, size).
        search_image: false color of the search crop, (3, 255, 255).
        search_cube: cube of the search crop relative to the frame's mean, (bands, size, size).
        wavelengths_nm: center of each band in nm, (bands,); 0 for the padded bands of a batch.
        box: left, top, right, bottom of the object in pixels of the search crop, (4,).
        is_paired: True if template and search crop show the same object, () bool.
    """

    template_image: Tensor
    template_cube: Tensor
    search_image: Tensor
    search_cube: Tensor
    wavelengths_nm: Tensor
    box: Tensor
    is_paired: Tensor


def stack_pairs(pairs: Sequence[AnyPair]) -> AnyPair:
    """Stack pairs of any kind to a batch, field by field.

    The first axis of a field is padded with zeros to the longest of the pairs: cameras may differ in bands.
    """
    batch = {field.name: _stack([getattr(pair, field.name) for pair in pairs]) for field in fields(pairs[0])}
    return replace(pairs[0], **batch)


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(tensors), batch_first=True) if tensors[0].ndim else torch.stack(list(tensors))


@dataclass(frozen=True)
class _PairFrames:
    """Frames from which a pair is cut.

    Attributes:
        template_clip: number of the template's clip.
        template_frame: number of the template's frame in that clip.
        search_clip: number of the search crop's clip.
        search_frame: number of the search crop's frame in that clip.
        is_paired: True if both clips are the same.
        is_search_elsewhere: True if the search crop must not show the target.
    """

    template_clip: int
    template_frame: int
    search_clip: int
    search_frame: int
    is_paired: bool
    is_search_elsewhere: bool


@dataclass(frozen=True)
class _CropPixels:
    """Pixels of a crop.

    Attributes:
        image: false color, (size, size, 3), blue, green, red, 0 to 255.
        cube: cube relative to the frame's mean, (size, size, bands).
    """

    image: NDArray[np.float32]
    cube: NDArray[np.float32]


class PairDataset(Dataset[Pair]):
    """Random pairs. A pair depends on the seed and its index alone.

    Args:
        clips: clips that the pairs are cut from.
        config: configuration of the network, which has the sizes of the crops.
        augmentation: random variation of the crops.
        seed: seed of all draws.
        length: number of pairs.

    Raises:
        ValueError: the network has no spectral branch.
    """

    def __init__(
        self,
        clips: Sequence[CubeClip],
        config: HANetConfig,
        augmentation: AugmentationSettings,
        seed: int,
        length: int,
    ) -> None:
        if config.spectral is None:
            raise ValueError("config must have a spectral branch: got an RGB branch alone")
        self._clips = clips
        self._visible_frames = [np.flatnonzero(np.isfinite(clip.boxes[:, 0])) for clip in clips]
        self._usable_clips = [index for index, frames in enumerate(self._visible_frames) if len(frames)]
        self._clips_by_camera: dict[tuple[float, ...], list[int]] = {}
        for index in self._usable_clips:
            self._clips_by_camera.setdefault(clips[index].wavelengths_nm, []).append(index)
        self._template_sizes = (config.template_size, config.spectral.template_size)
        self._search_sizes = (config.search_size, config.spectral.search_size)
        self._augmentation = augmentation
        self._seed = seed
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Pair:
        # The order of the random draws decides which pairs a seed gives.
        rng = np.random.default_rng([self._seed, index])
        frames = self._draw_frames(rng)
        clip = self._clips[frames.search_clip]
        gains = self._draw_band_gains(rng, len(clip.wavelengths_nm))
        template = self._cut_template(rng, frames)
        search_square, is_paired = self._draw_search_square(rng, frames)
        search = self._cut(clip, frames.search_frame, search_square, *self._search_sizes)
        search = self._blur_at_random(rng, search)
        box = search_square.compute_crop_corners(clip.boxes[frames.search_frame], self._search_sizes[0])
        color = self._augmentation.color
        return Pair(
            template_image=to_tensor(vary_colors(rng, template.image, color)),
            template_cube=to_tensor(template.cube * gains[0]),
            search_image=to_tensor(vary_colors(rng, search.image, color)),
            search_cube=to_tensor(search.cube * gains[1]),
            wavelengths_nm=torch.tensor(clip.wavelengths_nm, dtype=torch.float32),
            box=torch.from_numpy(box.astype(np.float32)),
            is_paired=torch.tensor(is_paired),
        )

    def _draw_frames(self, rng: np.random.Generator) -> _PairFrames:
        search_clip = int(rng.choice(self._usable_clips))
        candidates = self._clips_by_camera[self._clips[search_clip].wavelengths_nm]
        kind = rng.random()
        is_search_elsewhere = kind > 1 - self._augmentation.elsewhere
        is_paired = kind >= self._augmentation.unpaired or len(candidates) == 1
        template_clip = search_clip
        if not is_paired:
            template_clip = int(rng.choice([clip for clip in candidates if clip != search_clip]))
        template_frame = int(rng.choice(self._visible_frames[template_clip]))
        search_frame = int(rng.choice(self._visible_frames[search_clip]))
        return _PairFrames(
            template_clip=template_clip,
            template_frame=template_frame,
            search_clip=search_clip,
            search_frame=search_frame,
            is_paired=is_paired,
            is_search_elsewhere=is_search_elsewhere,
        )

    def _draw_band_gains(self, rng: np.random.Generator, num_bands: int) -> NDArray[np.float32]:
        """Return the gain of each band of template and search crop, (2, bands)."""
        gains = np.exp(self._augmentation.spectrum * rng.standard_normal((2, num_bands)))
        return np.asarray(gains, np.float32)

    def _cut_template(self, rng: np.random.Generator, frames: _PairFrames) -> _CropPixels:
        clip = self._clips[frames.template_clip]
        box = clip.boxes[frames.template_frame]
        square = draw_square(
            rng,
            box,
            side=compute_template_side(box),
            size=self._template_sizes[0],
            max_shift=self._augmentation.template_shift,
            max_scale=self._augmentation.template_scale,
        )
        return self._cut(clip, frames.template_frame, square, *self._template_sizes)

    def _draw_search_square(self, rng: np.random.Generator, frames: _PairFrames) -> tuple[SquareCrop, bool]:
        """Return the square of the search crop, and whether it shows the object of the template."""
        clip = self._clips[frames.search_clip]
        box = clip.boxes[frames.search_frame]
        square = draw_square(
            rng,
            box,
            side=compute_search_side(box),
            size=self._search_sizes[0],
            max_shift=self._augmentation.search_shift,
            max_scale=self._augmentation.search_scale,
        )
        if not frames.is_search_elsewhere:
            return square, frames.is_paired
        height, width = clip.square_roots.shape[1:3]
        square_beside = draw_square_beside(rng, box, square.side, width, height)
        return (square, True) if square_beside is None else (square_beside, False)

    def _cut(
        self, clip: CubeClip, frame: int, square: SquareCrop, image_size: int, cube_size: int
    ) -> _CropPixels:
        """Cut a square out of a frame, in false color and as a cube."""
        band_means = clip.band_means[frame]
        white_level = float(clip.white_levels[frame])

        # Step 1: read the pixels under the square only; a square outside the frame has the mean spectrum.
        rows, columns = square.compute_window(*clip.square_roots.shape[1:3])
        light = np.square(clip.square_roots[frame, rows, columns].astype(np.float32) * np.float32(1 / 255))
        if not light.size:
            light = np.broadcast_to(band_means, (1, 1, len(clip.wavelengths_nm)))
        local_square = square.translate(-columns.start, -rows.start)

        # Step 2: resize; pixels outside the frame get the frame's mean color and spectrum.
        image = render_false_color(light, clip.wavelengths_nm, white=white_level)
        mean_color = render_false_color(band_means[None, None], clip.wavelengths_nm, white=white_level)[0, 0]
        relative_cube = light / np.maximum(band_means, _MIN_BAND_MEAN)
        return _CropPixels(
            image=cut_crop(image, local_square, image_size, mean_color.astype(np.float64)).astype(np.float32),
            cube=cut_crop(relative_cube, local_square, cube_size, fill=1.0),
        )

    def _blur_at_random(self, rng: np.random.Generator, crop: _CropPixels) -> _CropPixels:
        if rng.random() >= self._augmentation.blur:
            return crop
        sigma = float(rng.uniform(0.5, 2.0))  # pixels of the image; a cube has half as many
        return _CropPixels(
            image=np.asarray(cv2.GaussianBlur(crop.image, (0, 0), sigma), np.float32),
            cube=apply_channelwise(crop.cube, partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma / 2)),
        )


def draw_square(
    rng: np.random.Generator,
    box: NDArray[np.float64],
    *,
    side: float,
    size: int,
    max_shift: float,
    max_scale: float,
) -> SquareCrop:
    """Draw a square around a box.

    Args:
        rng: random number generator.
        box: box in pixels of the image, (4,): x, y, width, height.
        side: side of the square in pixels of the image before its scale varies.
        size: side of the crop in its own pixels.
        max_shift: maximum shift in pixels of the crop.
        max_scale: maximum relative change of the side.
    """
    side *= 1 + float(rng.uniform(-max_scale, max_scale))
    x, y = compute_centers(box)[0] + rng.uniform(-max_shift, max_shift, 2) * side / size
    return SquareCrop(float(x), float(y), side)


def draw_square_beside(
    rng: np.random.Generator, box: NDArray[np.float64], side: float, width: int, height: int
) -> SquareCrop | None:
    """Draw a square of an image that does not touch a box; None if no such square was found."""
    for _ in range(_MAX_SQUARE_DRAWS):
        square = SquareCrop(float(rng.uniform(0, width)), float(rng.uniform(0, height)), side)
        left, top, right, bottom = square.compute_crop_corners(box, 1)
        if right < 0 or bottom < 0 or left > 1 or top > 1:
            return square
    return None


def vary_colors(rng: np.random.Generator, image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """Return an image with another brightness, contrast and color balance, in 0..255.

    Args:
        rng: random number generator.
        image: image (H, W, 3), 0..255.
        strength: largest change as a fraction; 0 changes nothing.
    """
    gain = np.float32(1 + rng.uniform(-strength, strength)) * (1 + rng.uniform(-strength, strength, 3) / 3)
    offset = 255 * rng.uniform(-strength, strength) / 4
    return np.clip(image * gain.astype(np.float32) + np.float32(offset), 0, 255)


def to_tensor(image: NDArray[Any]) -> Tensor:
    """Return an image (height, width, channels) as a tensor (channels, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))
