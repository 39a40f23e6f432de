"""Images of scenes and objects in linear colors: photographs of a folder, or dead leaves without a folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.photographs import Photograph, find_photographs
from hsi_tracker_ros.simulation.natural.dead_leaves import make_dead_leaves
from hsi_tracker_ros.simulation.natural.upsampling import load_materials
from tracking_runtime.errors import SourceError
from tracking_runtime.io.image_file import read_image_file
from tracking_runtime.overlay import to_bgr

_MAX_ENLARGEMENT = 1.25  # of a photograph; a smaller one is continued by its reflection
_MIN_SIDE_PX = 64  # of a usable photograph
_MIN_OBJECT_PX = 24  # of the shorter side of an object in a photograph
_MAX_OBJECT_FRACTION = 0.7  # of the sides of a photograph; larger objects are backgrounds
_PATCH_FRACTIONS = (0.12, 0.4)  # sides of a random patch as fractions of the image's shorter side
_PATCH_TRIES = 6  # number of random patches of which the one with the highest contrast is chosen
_LEAVES_PX = 160  # sides of an image of dead leaves from which a patch is cut

Image = NDArray[np.float32]


class NaturalImages:
    """A source of images in linear blue, green and red, `(rows, columns, 3)` float32, 0 to 1.

    Args:
        folder: folder of photographs, with text files of their objects as in `find_photographs`; None:
            images of the dead leaves model.

    Raises:
        SourceError: the folder contains no photographs, or a text file is invalid.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._photographs = find_photographs(folder) if folder is not None else []

    def draw_scene(self, rng: np.random.Generator, size: tuple[int, int]) -> Image:
        """Return a random image.

        Args:
            rng: random generator.
            size: number of columns and rows.

        Raises:
            SourceError: a photograph cannot be read or is too small.
        """
        if not self._photographs:
            return make_dead_leaves(rng, size, load_materials().colors)
        return _cut_scene(_read_linear(self._choose_photograph(rng)), rng, size)

    def draw_object(self, rng: np.random.Generator) -> Image:
        """Return a square image of a random object, or of a random part of an image.

        Raises:
            SourceError: a photograph cannot be read or is too small.
        """
        if not self._photographs:
            size = (_LEAVES_PX, _LEAVES_PX)
            return cut_patch(make_dead_leaves(rng, size, load_materials().colors), rng)
        photograph = self._choose_photograph(rng)
        image = _read_linear(photograph)
        boxes = _find_usable_boxes(photograph, image)
        if not len(boxes):
            return cut_patch(image, rng)
        left, top, width, height = boxes[rng.integers(len(boxes))].tolist()
        part = image[top : top + height, left : left + width]
        side = max(width, height)
        return np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)

    def _choose_photograph(self, rng: np.random.Generator) -> Photograph:
        return self._photographs[int(rng.integers(len(self._photographs)))]


def cut_patch(image: Image, rng: np.random.Generator) -> Image:
    """Return, of some random square parts of an image, the one with the highest contrast."""
    rows, columns = image.shape[:2]
    side = max(int(rng.uniform(*_PATCH_FRACTIONS) * min(rows, columns)), min(16, rows, columns))
    best, highest = image[:side, :side], -1.0
    for _ in range(_PATCH_TRIES):
        top, left = (int(rng.integers(0, length - side + 1)) for length in (rows, columns))
        patch = image[top : top + side, left : left + side]
        contrast = float(np.log(patch.mean(axis=2) + 0.02).std())
        if contrast > highest:
            best, highest = patch, contrast
    return best.copy()


def _read_linear(photograph: Photograph) -> Image:
    """Read a photograph as linear colors (IEC 61966-2-1).

    Raises:
        SourceError: the photograph cannot be read or is too small.
    """
    encoded = to_bgr(*read_image_file(photograph.path)).astype(np.float32) / np.float32(255)
    if min(encoded.shape[:2]) < _MIN_SIDE_PX:
        raise SourceError(
            f"{photograph.path} must have at least {_MIN_SIDE_PX} pixels on each side: got "
            f"{encoded.shape[1]} x {encoded.shape[0]}; remove it from the photographs"
        )
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def _find_usable_boxes(photograph: Photograph, image: Image) -> NDArray[np.int_]:
    """Return the boxes x, y, width, height in pixels of objects that are neither too small nor too large."""
    size = np.array(image.shape[1::-1])
    corners = np.concatenate([photograph.boxes[:, :2], photograph.boxes[:, :2] + photograph.boxes[:, 2:]], 1)
    corners = np.clip(corners, 0, 1) * np.tile(size, 2)
    boxes = np.round(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)).astype(int)
    is_usable = (boxes[:, 2:] >= _MIN_OBJECT_PX).all(axis=1)
    is_usable &= (boxes[:, 2:] <= _MAX_OBJECT_FRACTION * size).all(axis=1)
    return boxes[is_usable]


def _cut_scene(image: Image, rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Return a random part of an image, which is enlarged or continued by its reflection if necessary."""
    columns, rows = size
    needed = max(columns / image.shape[1], rows / image.shape[0])
    scale = min(max(needed, 0.5), _MAX_ENLARGEMENT)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=interpolation)
    bottom, right = max(rows - resized.shape[0], 0), max(columns - resized.shape[1], 0)
    full = np.pad(resized, ((0, bottom), (0, right), (0, 0)), mode="symmetric")
    top = int(rng.integers(0, full.shape[0] - rows + 1))
    left = int(rng.integers(0, full.shape[1] - columns + 1))
    return np.clip(full[top : top + rows, left : left + columns], 0, 1)
