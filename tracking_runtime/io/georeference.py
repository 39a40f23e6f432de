"""Position of an image on the Earth: an affine map from pixels to coordinates, and world files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.files import open_file

_NUM_WORLD_FILE_VALUES = 6
_MAX_TEXT_BYTES = 1 << 16  # bytes; larger files are neither world files nor projections


@dataclass(frozen=True)
class GeoReference:
    """Affine map from pixels to the coordinates of a coordinate reference system.

    Pixel coordinates are those of the boxes: the top-left corner of the image is (0, 0), the center of the
    first pixel is (0.5, 0.5).

    Attributes:
        transform: rows (a, b, c) and (d, e, f) of the map x = a column + b row + c, y = d column + e row + f,
            in the units of the coordinate reference system.
        crs: coordinate reference system as `EPSG:<code>` or WKT; empty if unknown.

    Raises:
        ValueError: the map has values that are not finite, or cannot be inverted.
    """

    transform: tuple[tuple[float, float, float], tuple[float, float, float]]
    crs: str = ""

    def __post_init__(self) -> None:
        matrix = np.asarray(self.transform, np.float64)
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
            raise ValueError(f"transform must be 2 x 3 finite numbers: got {self.transform}")
        if not abs(np.linalg.det(matrix[:, :2])) > 0:
            raise ValueError(f"transform must be invertible: got {self.transform}")

    def to_map(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Convert pixel coordinates (column, row), (..., 2), to map coordinates (x, y), (..., 2)."""
        matrix = np.asarray(self.transform, np.float64)
        return np.asarray(pixels, np.float64) @ matrix[:, :2].T + matrix[:, 2]

    def to_pixels(self, coordinates: ArrayLike) -> NDArray[np.float64]:
        """Convert map coordinates (x, y), (..., 2), to pixel coordinates (column, row), (..., 2)."""
        matrix = np.asarray(self.transform, np.float64)
        offsets = np.asarray(coordinates, np.float64) - matrix[:, 2]
        return offsets @ np.linalg.inv(matrix[:, :2]).T


def find_georeference(image: Path) -> GeoReference | None:
    """Read the world file beside an image, and the projection (`.prj`) beside it; None without a world file.

    A world file is named like the image with the suffix `.wld`, the suffix of the image and a `w` (`.tifw`),
    or its first and last letter and a `w` (`.tfw`), in upper or lower case.

    Raises:
        SourceError: the world file or the projection cannot be read.
    """
    suffix = image.suffix[1:]
    names = ["wld", f"{suffix}w"] + ([f"{suffix[0]}{suffix[-1]}w"] if suffix else [])
    path = _find_sibling(image, names)
    if path is None:
        return None
    return read_world_file(path, crs=read_projection(image))


def read_projection(image: Path) -> str:
    """Read the coordinate reference system from the file `.prj` beside an image; empty without one.

    Raises:
        SourceError: the file cannot be read.
    """
    projection = _find_sibling(image, ["prj"])
    return _read_text(projection).strip() if projection else ""


def read_world_file(path: Path, *, crs: str = "") -> GeoReference:
    """Read a world file: six lines with a, d, b, e and the coordinates of the center of the first pixel.

    A comma is read as the decimal point.

    Args:
        path: world file.
        crs: coordinate reference system of the coordinates; empty if unknown.

    Raises:
        SourceError: the file is not a world file. The message names the file.
    """
    try:
        values = [float(text.replace(",", ".")) for text in _read_text(path).split()]
        if len(values) != _NUM_WORLD_FILE_VALUES or not all(map(math.isfinite, values)):
            raise ValueError(f"a world file must have 6 finite numbers: got {len(values)} values")
        a, d, b, e, center_x, center_y = values
        corner_x, corner_y = center_x - (a + b) / 2, center_y - (d + e) / 2
        return GeoReference(((a, b, corner_x), (d, e, corner_y)), crs)
    except ValueError as error:
        raise SourceError(f"{path} is not a world file: {error}; correct or remove the file") from error


def _find_sibling(image: Path, suffixes: list[str]) -> Path | None:
    candidates = (image.with_suffix(f".{case}") for name in suffixes for case in (name.lower(), name.upper()))
    return next((path for path in candidates if path.is_file()), None)


def _read_text(path: Path) -> str:
    try:
        with open_file(path) as file:
            return file.read(_MAX_TEXT_BYTES).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
