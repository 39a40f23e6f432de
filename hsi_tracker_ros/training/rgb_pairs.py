"""Training pairs of an RGB branch: of sequences, of photographs, and of objects pasted over photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.crops import compute_search_side, compute_template_side, cut_crop
from hsi_tracker_ros.photographs import Photograph
from hsi_tracker_ros.training.object_images import ObjectSequence, read_color_image
from hsi_tracker_ros.training.pairs import draw_square, draw_square_beside, to_tensor, vary_colors

_MIN_OBJECT_SIDE_PX = 12  # objects of photographs with a shorter side show too little
_MAX_OBJECT_FRACTION = 0.8  # of the photograph's side; larger objects leave no background
_RANDOM_FRACTIONS = (0.06, 0.4)  # sides of random boxes, as fractions of the photograph
_PASTE_SCALE = 0.4  # standard deviation of the logarithm of a pasted object's scale
_PASTE_ANGLE_RAD = 0.2  # standard deviation of a pasted object's rotation
_MASK_POWER = 4.0  # exponent of the superellipse that a pasted object is cut out by


@dataclass(frozen=True)
class RgbAugmentationSettings:
    """Random variation of the pairs. Higher values make the crops vary more.

    Attributes:
        from_photographs: fraction of the pairs that show an object of a photograph.
        pasted: fraction of these whose object is pasted over another photograph for the search crop.
        max_interval: maximum number of frames between template and search crop of a sequence.
        template_shift: maximum shift of a template in pixels of the crop.
        template_scale: maximum relative change of a template's scale.
        search_shift: maximum shift of a search crop in pixels of the crop.
        search_scale: maximum relative change of a search crop's scale.
        flip: fraction of the pairs that are mirrored.
        gray: fraction of the pairs without color.
        blur: fraction of the search crops with motion blur.
        coarse: fraction of the search crops with a lower resolution.
        occluded: fraction of the search crops whose object is partly occluded.
        color: maximum relative change of brightness, contrast and balance.
        unpaired: fraction of the pairs whose template shows another object.
        elsewhere: fraction of the pairs whose search crop shows another part of the target's frame.
    """

    from_photographs: float = 0.5
    pasted: float = 0.4
    max_interval: int = 100
    template_shift: float = 4.0
    template_scale: float = 0.05
    search_shift: float = 64.0
    search_scale: float = 0.18
    flip: float = 0.5
    gray: float = 0.1
    blur: float = 0.15
    coarse: float = 0.15
    occluded: float = 0.1
    color: float = 0.2
    unpaired: float = 0.15
    elsewhere: float = 0.05


@dataclass(frozen=True)
class RgbPair:
    """A template and a search crop, or a batch of them, whose arrays have a leading batch axis.

    Attributes:
        template: template, (3, 127, 127), blue, green, red, 0 to 255.
        search: search crop, (3, 255, 255).
        box: left, top, right, bottom of the object in pixels of the search crop, (4,).
        is_paired: True if template and search crop show the same object, () bool.
    """

    template: Tensor
    search: Tensor
    box: Tensor
    is_paired: Tensor


@dataclass(frozen=True)
class _ObjectView:
    """An object in an image.

    Attributes:
        image: image, (height, width, 3), blue, green, red.
        box: x, y, width, height of the object in pixels, (4,).
    """

    image: NDArray[np.uint8]
    box: NDArray[np.float64]


class RgbPairDataset(Dataset[RgbPair]):
    """Random pairs. A pair depends on the seed and its index alone.

    Args:
        sequences: tracking sequences; may be empty if there are photographs.
        photographs: photographs; may be empty if there are sequences.
        config: configuration of the network, which has the sizes of the crops.
        augmentation: random variation of the pairs.
        seed: seed of all draws.
        length: number of pairs.

    Raises:
        ValueError: there are neither sequences nor photographs.
    """

    def __init__(
        self,
        sequences: Sequence[ObjectSequence],
        photographs: Sequence[Photograph],
        config: HANetConfig,
        augmentation: RgbAugmentationSettings,
        seed: int,
        length: int,
    ) -> None:
        if not sequences and not photographs:
            raise ValueError("sequences or photographs must be given: got none of both")
        self._sequences = sequences
        self._photographs = photographs
        self._config = config
        self._augmentation = augmentation
        self._seed = seed
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> RgbPair:
        # The order of the random draws decides which pairs a seed gives.
        rng = np.random.default_rng([self._seed, index])
        kind = rng.random()
        template_view, search_view = self._draw_views(rng)
        is_paired = kind >= self._augmentation.unpaired
        if not is_paired:
            template_view = self._draw_views(rng)[0]
        is_elsewhere = kind > 1 - self._augmentation.elsewhere
        template = self._cut_template(rng, template_view)
        search, box, is_visible = self._cut_search(rng, search_view, is_elsewhere=is_elsewhere)
        is_paired &= is_visible
        return self._make_pair(rng, template, search, box, is_paired=is_paired)

    def _draw_views(self, rng: np.random.Generator) -> tuple[_ObjectView, _ObjectView]:
        """Return two views of one object: for the template and for the search crop."""
        from_photograph = rng.random() < self._augmentation.from_photographs
        if not self._sequences or (from_photograph and self._photographs):
            return self._draw_photograph_views(rng)
        return self._draw_sequence_views(rng)

    def _draw_sequence_views(self, rng: np.random.Generator) -> tuple[_ObjectView, _ObjectView]:
        sequence = self._sequences[int(rng.integers(len(self._sequences)))]
        visible = np.flatnonzero(np.isfinite(sequence.boxes[:, 0]))
        first = int(rng.choice(visible))
        others = visible[np.abs(visible - first) <= self._augmentation.max_interval]
        second = int(rng.choice(others))
        template, search = (
            _ObjectView(read_color_image(sequence.image_paths[index]), sequence.boxes[index])
            for index in (first, second)
        )
        return template, search

    def _draw_photograph_views(self, rng: np.random.Generator) -> tuple[_ObjectView, _ObjectView]:
        photograph = self._photographs[int(rng.integers(len(self._photographs)))]
        image = read_color_image(photograph.path)
        view = _ObjectView(image, _draw_object_box(rng, image, photograph.boxes))
        if rng.random() >= self._augmentation.pasted or len(self._photographs) == 1:
            return view, view
        background = self._photographs[int(rng.integers(len(self._photographs)))]
        return view, _paste_object(rng, view, read_color_image(background.path))

    def _cut_template(self, rng: np.random.Generator, view: _ObjectView) -> NDArray[np.float32]:
        square = draw_square(
            rng,
            view.box,
            side=compute_template_side(view.box),
            size=self._config.template_size,
            max_shift=self._augmentation.template_shift,
            max_scale=self._augmentation.template_scale,
        )
        return _cut(view.image, square, self._config.template_size)

    def _cut_search(
        self, rng: np.random.Generator, view: _ObjectView, *, is_elsewhere: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], bool]:
        """Return the search crop, the corners of the object in it, and whether the crop shows the object."""
        size = self._config.search_size
        square = draw_square(
            rng,
            view.box,
            side=compute_search_side(view.box),
            size=size,
            max_shift=self._augmentation.search_shift,
            max_scale=self._augmentation.search_scale,
        )
        height, width = view.image.shape[:2]
        beside = draw_square_beside(rng, view.box, square.side, width, height) if is_elsewhere else None
        shown = square if beside is None else beside
        corners = shown.compute_crop_corners(view.box, size)
        return _cut(view.image, shown, size), corners, beside is None

    def _make_pair(
        self,
        rng: np.random.Generator,
        template: NDArray[np.float32],
        search: NDArray[np.float32],
        box: NDArray[np.float64],
        *,
        is_paired: bool,
    ) -> RgbPair:
        settings = self._augmentation
        if rng.random() < settings.occluded:
            search = _occlude_object(rng, search, box)
        if rng.random() < settings.blur:
            search = _blur_by_motion(rng, search)
        if rng.random() < settings.coarse:
            search = _reduce_resolution(rng, search)
        template, search = (vary_colors(rng, image, settings.color) for image in (template, search))
        if rng.random() < settings.gray:
            template, search = _remove_color(template), _remove_color(search)
        if rng.random() < settings.flip:
            template, search = template[:, ::-1], search[:, ::-1]
            left, top, right, bottom = box
            box = np.array([self._config.search_size - right, top, self._config.search_size - left, bottom])
        return RgbPair(
            template=to_tensor(template),
            search=to_tensor(search),
            box=torch.from_numpy(box.astype(np.float32)),
            is_paired=torch.tensor(is_paired),
        )


def _draw_object_box(
    rng: np.random.Generator, image: NDArray[np.uint8], fractions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the box of a random object of a photograph in pixels; a random box if none is usable."""
    height, width = image.shape[:2]
    boxes = fractions * (width, height, width, height)
    is_usable = (boxes[:, 2:].min(axis=1, initial=np.inf) >= _MIN_OBJECT_SIDE_PX) & (
        (fractions[:, 2:] <= _MAX_OBJECT_FRACTION).all(axis=1)
    )
    if is_usable.any():
        return np.asarray(rng.choice(boxes[is_usable]))
    size = rng.uniform(*_RANDOM_FRACTIONS, 2) * (width, height)
    corner = rng.uniform(0, 1, 2) * ((width, height) - size)
    return np.concatenate([corner, size])


def _paste_object(rng: np.random.Generator, view: _ObjectView, background: NDArray[np.uint8]) -> _ObjectView:
    """Return a view of the object over another image, at a random position, scale and rotation."""
    box = view.box
    height, width = background.shape[:2]
    limit = 0.5 * min(width, height) / box[2:].max()
    scale = min(float(np.exp(_PASTE_SCALE * rng.standard_normal())), limit)
    angle = _PASTE_ANGLE_RAD * float(rng.standard_normal())
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    # Step 1: place the object's center inside the background.
    center = box[:2] + box[2:] / 2
    half = scale * box[2:] / 2
    place = rng.uniform(half, np.maximum((width, height) - half, half + 1))
    matrix = np.concatenate([linear, (place - linear @ center)[:, None]], axis=1)

    # Step 2: blend by a superellipse that fills the box.
    ys, xs = np.mgrid[: view.image.shape[0], : view.image.shape[1]]
    radius = (np.abs((xs + 0.5 - center[0]) / (box[2] / 2)) ** _MASK_POWER) + (
        np.abs((ys + 0.5 - center[1]) / (box[3] / 2)) ** _MASK_POWER
    )
    mask = cv2.warpAffine(np.clip(1.5 - radius, 0, 1).astype(np.float32), matrix, (width, height))
    pasted = cv2.warpAffine(view.image, matrix, (width, height)).astype(np.float32)
    blended = background + mask[..., None] * (pasted - background)
    return _ObjectView(blended.astype(np.uint8), np.concatenate([place - half, 2 * half]))


def _cut(image: NDArray[np.uint8], square: object, size: int) -> NDArray[np.float32]:
    """Cut a square of an image; pixels outside have the image's mean color."""
    mean = image[::4, ::4].reshape(-1, 3).mean(axis=0)
    return cut_crop(image, square, size, mean).astype(np.float32)  # type: ignore[arg-type]


def _occlude_object(
    rng: np.random.Generator, search: NDArray[np.float32], box: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Cover a strip of 20 to 50 % of the object with a random patch of the search crop.

    Returns:
        a copy; the crop itself if the visible box is narrower than 2 pixels.
    """
    size = search.shape[0]
    left, top, right, bottom = np.clip(box, 0, size).round().astype(int)
    width, height = right - left, bottom - top
    if width < 2 or height < 2:
        return search
    if rng.random() < 0.5:
        width = max(int(width * rng.uniform(0.2, 0.5)), 1)
        left = int(rng.choice([left, right - width]))
    else:
        height = max(int(height * rng.uniform(0.2, 0.5)), 1)
        top = int(rng.choice([top, bottom - height]))
    x, y = int(rng.integers(size - width + 1)), int(rng.integers(size - height + 1))
    occluded = search.copy()
    occluded[top : top + height, left : left + width] = search[y : y + height, x : x + width]
    return occluded


def _blur_by_motion(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur an image along a random direction over 3 to 13 pixels."""
    length = int(rng.integers(1, 7))
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    step = (length * np.array([np.cos(angle), np.sin(angle)])).round().astype(int)
    cv2.line(kernel, tuple(int(v) for v in length - step), tuple(int(v) for v in length + step), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)


def _reduce_resolution(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce the resolution of an image by a factor of 1.5 to 4, at the same size."""
    size = image.shape[1], image.shape[0]
    factor = float(rng.uniform(1.5, 4))
    small = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _remove_color(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace the color of each pixel by its mean."""
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
