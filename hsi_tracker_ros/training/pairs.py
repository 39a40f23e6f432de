"""Training pairs of HA-Net: short clips kept on disk, and template and search crops cut from them.

A clip is ``NAME.npy``, its cubes as 8-bit square roots (about as coarse as shot noise), beside ``NAME.json``,
its boxes and bands. ``render_clips`` fills a folder from the simulator and from photographs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from hsi_tracker_ros.cubes.channelwise import filtered
from hsi_tracker_ros.cubes.false_color import false_color
from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.crops import SquareCrop, cut, search_side, template_side
from tracking_runtime.boxes import Boxes, centres
from tracking_runtime.errors import SourceError


@dataclass(frozen=True)
class Clip:
    """A few frames with one target.

    Attributes:
        roots: ``(frames, height, width, bands)`` uint8, square roots of the light, 255 at saturation.
        boxes: ``(frames, 4)`` x, y, width, height; NaN where the target is not seen.
        wavelengths_nm: centre of each band.
        band_means: ``(frames, bands)`` mean light of each frame.
        white: light shown white in false colour, of each frame.
    """

    roots: NDArray[np.uint8]
    boxes: Boxes
    wavelengths_nm: tuple[float, ...]
    band_means: NDArray[np.float32]
    white: NDArray[np.float32]


def make_clip(light: Sequence[NDArray[np.float32]], boxes: Boxes, wavelengths_nm: Sequence[float]) -> Clip:
    """A clip of cubes ``(height, width, bands)`` of light, 1 where a sample saturates."""
    clipped = [np.clip(cube, 0, 1) for cube in light]
    return Clip(
        np.stack([np.round(255 * np.sqrt(cube)).astype(np.uint8) for cube in clipped]),
        boxes,
        tuple(float(value) for value in wavelengths_nm),
        np.stack([cube[::4, ::4].mean(axis=(0, 1)) for cube in clipped]),
        np.array([np.percentile(cube[::4, ::4].max(axis=2), 99.5) for cube in clipped], np.float32),
    )


def write_clip(folder: Path, name: str, clip: Clip) -> None:
    """Write a clip; the description comes last, so that a clip with one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", clip.roots)
    description = {
        "boxes": clip.boxes.tolist(),
        "wavelengths_nm": clip.wavelengths_nm,
        "band_means": clip.band_means.tolist(),
        "white": clip.white.tolist(),
    }
    (folder / f"{name}.json").write_text(json.dumps(description))


def read_clips(folder: Path) -> list[Clip]:
    """Every clip of a folder, their frames left on disk until they are used.

    Raises:
        SourceError: the folder has none.
    """
    clips = []
    for path in sorted(folder.glob("*.json")):
        description = json.loads(path.read_text())
        roots = np.load(path.with_suffix(".npy"), mmap_mode="r")
        clips.append(
            Clip(
                roots,
                np.array(description["boxes"], dtype=np.float64),
                tuple(description["wavelengths_nm"]),
                np.array(description["band_means"], dtype=np.float32),
                np.array(description["white"], dtype=np.float32),
            )
        )
    if not clips:
        raise SourceError(f"no training clips in {folder}; render some first")
    return clips


@dataclass(frozen=True)
class Augmentation:
    """How crops vary, as in SiamBAN: shifts in crop pixels, the rest as shares.

    Attributes:
        template_shift: largest shift of a template.
        template_scale: largest change of its scale.
        search_shift: largest shift of a search crop.
        search_scale: largest change of its scale.
        blur: share of search crops that are blurred.
        color: largest change of false colour's brightness, contrast and balance.
        spectrum: spread of each band's gain, as a logarithm.
        unpaired: share of pairs whose template shows something else.
        elsewhere: share of pairs whose search crop shows another part of the target's frame, also unpaired.
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
    """A template and a search crop; stacked, each has an axis of pairs before its own.

    Attributes:
        template_image: ``(3, 127, 127)`` BGR, 0..255.
        template_cube: ``(bands, size, size)`` relative to the frame's mean.
        search_image: ``(3, 255, 255)``.
        search_cube: ``(bands, size, size)``.
        wavelengths_nm: ``(bands,)`` of the camera; in a batch 0 where the camera has no band.
        box: left, top, right, bottom in pixels of the search crop.
        paired: whether both show the same target.
    """

    template_image: Tensor
    template_cube: Tensor
    search_image: Tensor
    search_cube: Tensor
    wavelengths_nm: Tensor
    box: Tensor
    paired: Tensor


def stack_pairs(pairs: Sequence[Pair]) -> Pair:
    """A batch, its bands padded with zeros to as many as its widest camera has."""
    return Pair(
        template_image=torch.stack([pair.template_image for pair in pairs]),
        template_cube=pad_sequence([pair.template_cube for pair in pairs], batch_first=True),
        search_image=torch.stack([pair.search_image for pair in pairs]),
        search_cube=pad_sequence([pair.search_cube for pair in pairs], batch_first=True),
        wavelengths_nm=pad_sequence([pair.wavelengths_nm for pair in pairs], batch_first=True),
        box=torch.stack([pair.box for pair in pairs]),
        paired=torch.stack([pair.paired for pair in pairs]),
    )


class PairDataset(Dataset[Pair]):
    """Endless random pairs: item ``i`` depends on the seed and ``i`` alone.

    Args:
        clips: to draw from.
        config: of the network, for the crops' sizes.
        augmentation: how crops vary.
        seed: of all draws.
        length: how many pairs there are.
    """

    def __init__(
        self, clips: Sequence[Clip], config: HANetConfig, augmentation: Augmentation, seed: int, length: int
    ) -> None:
        if config.spectral is None:
            raise ValueError("pairs are made for a network with a spectral branch")
        self._clips, self._seen = clips, [np.flatnonzero(np.isfinite(clip.boxes[:, 0])) for clip in clips]
        self._usable = [index for index, seen in enumerate(self._seen) if len(seen)]
        self._by_camera: dict[tuple[float, ...], list[int]] = {}
        for index in self._usable:
            self._by_camera.setdefault(clips[index].wavelengths_nm, []).append(index)
        self._image_sizes = config.template_size, config.search_size
        self._cube_sizes = config.spectral.template_size, config.spectral.search_size
        self._augmentation, self._seed, self._length = augmentation, seed, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Pair:
        rng = np.random.default_rng([self._seed, index])
        varied = self._augmentation
        place = int(rng.choice(self._usable))
        clip = self._clips[place]
        others = self._by_camera[clip.wavelengths_nm]
        kind = rng.random()
        elsewhere = kind > 1 - varied.elsewhere
        paired = kind >= varied.unpaired or len(others) == 1
        other = place if paired else int(rng.choice([each for each in others if each != place]))
        frame, search_frame = int(rng.choice(self._seen[other])), int(rng.choice(self._seen[place]))
        gains = np.exp(varied.spectrum * rng.standard_normal((2, len(clip.wavelengths_nm)))).astype(
            np.float32
        )

        box = self._clips[other].boxes[frame]
        template = _jittered(
            rng, box, template_side(box), self._image_sizes[0], varied.template_shift, varied.template_scale
        )
        template_image, template_cube = self._crops(
            self._clips[other], frame, template, self._image_sizes[0], self._cube_sizes[0]
        )
        box = clip.boxes[search_frame]
        search = _jittered(
            rng, box, search_side(box), self._image_sizes[1], varied.search_shift, varied.search_scale
        )
        if elsewhere:
            search, paired = _away(rng, search, box, clip.roots.shape[2], clip.roots.shape[1])
        search_image, search_cube = self._crops(
            clip, search_frame, search, self._image_sizes[1], self._cube_sizes[1]
        )
        if rng.random() < varied.blur:
            width = float(rng.uniform(0.5, 2.0))
            cv2.GaussianBlur(search_image, (0, 0), width, dst=search_image)
            search_cube = filtered(search_cube, partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=width / 2))
        return Pair(
            _channels_first(_recolored(rng, template_image, varied.color)),
            _channels_first(template_cube * gains[0]),
            _channels_first(_recolored(rng, search_image, varied.color)),
            _channels_first(search_cube * gains[1]),
            torch.tensor(clip.wavelengths_nm, dtype=torch.float32),
            torch.from_numpy(search.corners_inside(box, self._image_sizes[1]).astype(np.float32)),
            torch.tensor(paired),
        )

    @staticmethod
    def _crops(
        clip: Clip, frame: int, crop: SquareCrop, image_size: int, cube_size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """False colour and relative cube of a square of a frame."""
        rows, columns = crop.window(*clip.roots.shape[1:3])
        light = np.square(clip.roots[frame, rows, columns].astype(np.float32) * np.float32(1 / 255))
        if not light.size:
            light = np.broadcast_to(clip.band_means[frame], (1, 1, len(clip.wavelengths_nm)))
        local = crop.moved(-columns.start, -rows.start)
        image = false_color(light, clip.wavelengths_nm, white=float(clip.white[frame]))
        mean = false_color(
            clip.band_means[frame][None, None], clip.wavelengths_nm, white=float(clip.white[frame])
        )
        relative = light / np.maximum(clip.band_means[frame], 1e-4)
        return (
            cut(image, local, image_size, mean[0, 0].astype(np.float64)).astype(np.float32),
            cut(relative, local, cube_size, fill=1.0),
        )


def _jittered(
    rng: np.random.Generator, box: NDArray[np.float64], side: float, size: int, shift: float, scale: float
) -> SquareCrop:
    side *= 1 + float(rng.uniform(-scale, scale))
    x, y = centres(box)[0] + rng.uniform(-shift, shift, 2) * side / size
    return SquareCrop(float(x), float(y), side)


def _away(
    rng: np.random.Generator, crop: SquareCrop, box: NDArray[np.float64], width: int, height: int
) -> tuple[SquareCrop, bool]:
    """The crop moved off the box, and whether it was not because no such place was found."""
    for _ in range(10):
        moved = SquareCrop(float(rng.uniform(0, width)), float(rng.uniform(0, height)), crop.side)
        left, top, right, bottom = moved.corners_inside(box, 1)
        if right < 0 or bottom < 0 or left > 1 or top > 1:
            return moved, False
    return crop, True


def _recolored(rng: np.random.Generator, image: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    gain = np.float32(1 + rng.uniform(-strength, strength)) * (1 + rng.uniform(-strength, strength, 3) / 3)
    offset = 255 * rng.uniform(-strength, strength) / 4
    return np.clip(image * gain.astype(np.float32) + np.float32(offset), 0, 255)


def _channels_first(image: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))
