"""Photographs in a folder, and the objects in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracking_runtime.boxes import Boxes
from tracking_runtime.datasets.file_tree import walk_paths
from tracking_runtime.errors import SourceError
from tracking_runtime.io.image_file import IMAGE_SUFFIXES, is_image

_LABEL_COLUMNS = 5  # class, center x, center y, width, height; the last four as fractions of the image


@dataclass(frozen=True)
class Photograph:
    """A photograph and the objects in it.

    Attributes:
        path: image file.
        boxes: boxes of the objects as fractions of the image, (objects, 4): x, y, width, height; (0, 4) if
            the objects are unknown.
    """

    path: Path
    boxes: Boxes


def find_photographs(folder: Path) -> list[Photograph]:
    """Return the photographs in a folder and its subfolders, with their objects.

    A text file with the name of a photograph contains its objects, one per line: class, center x, center y,
    width and height, the last four as fractions of the image (the format of YOLO).

    Raises:
        SourceError: the folder contains no photographs, or a text file is invalid.
    """
    return [Photograph(path, _read_boxes(path.with_suffix(".txt"))) for path in find_photograph_paths(folder)]


def find_photograph_paths(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders in alphabetical order, without hidden ones.

    Raises:
        SourceError: the folder contains none.
    """
    paths = [path for path in walk_paths(folder) if is_image(path)]
    if not paths:
        raise SourceError(f"{folder} contains no photographs ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def _read_boxes(path: Path) -> Boxes:
    """Read the boxes of a photograph, (objects, 4) as fractions of the image; (0, 4) without a file."""
    if not path.exists():
        return np.zeros((0, 4))
    try:
        rows = np.loadtxt(path, ndmin=2).reshape(-1, _LABEL_COLUMNS)
    except ValueError as error:
        raise SourceError(f"{path} must have lines of {_LABEL_COLUMNS} numbers: {error}") from error
    sizes = rows[:, 3:]
    if not np.isfinite(rows).all() or (sizes <= 0).any() or (rows[:, 1:] > 1).any() or (rows < 0).any():
        raise SourceError(f"{path} must contain centers and sizes as fractions of the image, 0 to 1")
    return np.concatenate([rows[:, 1:3] - sizes / 2, sizes], axis=1)
