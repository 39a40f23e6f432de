"""Reading of geographic references: YAML, world files, GeoTIFF and other images with a map."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.files import resolve_inside
from tracking_runtime.geography.crs import WGS84, make_to_geographic
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.homography import orient_homography
from tracking_runtime.geography.reference import (
    FrameHomographies,
    GeographicReference,
    HomographyReference,
    StabilizedReference,
    make_control_point_reference,
    make_map_reference,
)
from tracking_runtime.io.georeference import GeoReference, find_georeference, read_world_file
from tracking_runtime.io.sources import open_source
from tracking_runtime.io.table_reader import InvalidRowError, read_rows
from tracking_runtime.untrusted.documents import DocumentError, read_yaml_file
from tracking_runtime.untrusted.limits import DOCUMENT_BYTES

FloatArray = NDArray[np.float64]

_CORNERS = {"top_left": (0, 0), "top_right": (1, 0), "bottom_right": (1, 1), "bottom_left": (0, 1)}
_KINDS = ("corners", "points", "homographies", "transform", "world_file", "raster")
_KEYS = {*_KINDS, "crs", "size", "stabilization"}
_WORLD_FILE_SUFFIXES = (".wld", ".tfw", ".tifw", ".tiffw", ".jgw", ".jpgw", ".jpegw", ".pgw", ".pngw", ".bpw")
_EXPONENT = re.compile(r"[-+]?\d{1,40}(\.\d*)?[eE][-+]?\d{1,4}")
_MAX_POINTS = 10_000
_MAX_FRAMES = 1_000_000
_MAX_PIXELS = 1e6  # largest coordinate of a pixel


def read_reference(path: Path) -> GeographicReference:
    """Read a geographic reference.

    Args:
        path: YAML file as documented in `docs/reference/file_formats.md`, world file, or image with a map:
            GeoTIFF, or an image with a world file and `.prj` beside it.

    Raises:
        GeographyError: the reference cannot be used. The message names the file and the cure.
        SourceError: the file cannot be read.
    """
    if not path.is_file():
        raise GeographyError(f"{path} must be a file with a geographic reference: found none; check the path")
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return _read_yaml(path)
    if suffix in _WORLD_FILE_SUFFIXES:
        return make_map_reference(_read_world_file(path, ""), str(path))
    return make_map_reference(_read_raster(path), str(path))


def _read_yaml(path: Path) -> GeographicReference:
    try:
        content = read_yaml_file(path)
    except (DocumentError, OSError) as error:
        raise GeographyError(f"{path} is not a YAML file: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise GeographyError(f"{path} must contain keys and values: got {type(content).__name__}")
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise GeographyError(f"{path}: unknown key {unknown[0]!r}; keys are {', '.join(sorted(_KEYS))}")
    kinds = [kind for kind in _KINDS if kind in content]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise GeographyError(f"{path} must have exactly one of the keys {', '.join(_KINDS)}: got {found}")
    crs = content.get("crs", "")
    if not isinstance(crs, str):
        raise GeographyError(f"{path}: crs must be text as EPSG:32611: got {crs!r}")
    reference = _READERS[kinds[0]](path, content, crs)
    if "size" in content:
        width, height = _read_size(path, content)
        reference = replace(reference, image_size=(width, height))  # type: ignore[type-var]
    if "stabilization" not in content:
        return reference
    if kinds[0] == "homographies":
        raise GeographyError(f"{path}: stabilization and homographies exclude each other; remove one")
    to_first = _read_homographies(path, content, "stabilization", is_mirrored=False)
    return StabilizedReference(reference, to_first)


def _read_corners(path: Path, content: Mapping[str, Any], crs: str) -> GeographicReference:
    corners = content["corners"]
    if not isinstance(corners, dict) or set(corners) != set(_CORNERS):
        raise GeographyError(f"{path}: corners must have the keys {', '.join(_CORNERS)}")
    pixels = np.array([_CORNERS[name] for name in corners]) * _read_size(path, content)
    coordinates = [_read_position(corners[name], crs, f"{path}: corner {name}") for name in corners]
    return _make_point_reference(path, pixels, np.array(coordinates), crs)


def _read_size(path: Path, content: Mapping[str, Any]) -> tuple[int, int]:
    """Return width and height of the images in pixels."""
    if "size" not in content:
        raise GeographyError(f"{path}: corners need the size of the images; add size: [WIDTH, HEIGHT]")
    size = _read_numbers(content.get("size"), 2, f"{path}: size (width, height of the image in pixels)")
    if not (size > 0).all() or size.max() > _MAX_PIXELS or (size != size.round()).any():
        raise GeographyError(f"{path}: size must be positive whole numbers: got {size.tolist()}")
    return int(size[0]), int(size[1])


def _read_points(path: Path, content: Mapping[str, Any], crs: str) -> GeographicReference:
    points = content["points"]
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise GeographyError(
            f"{path}: points must be a list of control points with pixel, latitude and longitude"
        )
    if len(points) > _MAX_POINTS:
        raise GeographyError(f"{path}: at most {_MAX_POINTS} control points are read: got {len(points)}")
    pixels = np.zeros((len(points), 2))
    coordinates = np.zeros((len(points), 2))
    for index, point in enumerate(points):
        subject = f"{path}: point {index + 1}"
        pixels[index] = _read_numbers(point.get("pixel"), 2, f"{subject}: pixel (x, y)")
        if np.abs(pixels[index]).max() > _MAX_PIXELS:
            raise GeographyError(f"{subject}: pixel must be near the image: got {pixels[index].tolist()}")
        position = {key: value for key, value in point.items() if key != "pixel"}
        coordinates[index] = _read_position(position, crs, subject)
    return _make_point_reference(path, pixels, coordinates, crs)


def _read_frame_homographies(path: Path, content: Mapping[str, Any], crs: str) -> GeographicReference:
    crs = crs or WGS84
    homographies = _read_homographies(path, content, "homographies", is_mirrored=True)
    description = f"homographies of {len(homographies.matrices)} frames to {crs[:60]}"
    return HomographyReference(homographies, make_to_geographic(crs, str(path)), description)


def _read_transform(path: Path, content: Mapping[str, Any], crs: str) -> GeographicReference:
    a, b, c, d, e, f = _read_numbers(
        content["transform"], 6, f"{path}: transform (a, b, c, d, e, f)"
    ).tolist()
    try:
        return make_map_reference(GeoReference(((a, b, c), (d, e, f)), crs or WGS84), str(path))
    except GeographyError:
        raise
    except ValueError as error:
        raise GeographyError(f"{path}: {error}") from error


def _read_linked_world_file(path: Path, content: Mapping[str, Any], crs: str) -> GeographicReference:
    file = _resolve(path, content, "world_file")
    return make_map_reference(_read_world_file(file, crs), str(file))


def _read_linked_raster(path: Path, content: Mapping[str, Any], crs: str) -> GeographicReference:
    file = _resolve(path, content, "raster")
    georeference = _read_raster(file)
    return make_map_reference(GeoReference(georeference.transform, crs or georeference.crs), str(file))


_READERS: dict[str, Callable[[Path, Mapping[str, Any], str], GeographicReference]] = {
    "corners": _read_corners,
    "points": _read_points,
    "homographies": _read_frame_homographies,
    "transform": _read_transform,
    "world_file": _read_linked_world_file,
    "raster": _read_linked_raster,
}


def _make_point_reference(
    path: Path, pixels: FloatArray, coordinates: FloatArray, crs: str
) -> GeographicReference:
    """Return the reference of control points.

    Args:
        path: file of the points, for messages.
        pixels: pixel x, y of each point, ``(n, 2)``.
        coordinates: x, y of each point in the coordinate reference system, ``(n, 2)``; longitude first.
        crs: coordinate reference system; empty: WGS84.

    Raises:
        GeographyError: the system is unknown, or the points do not determine a reference.
    """
    to_geographic = make_to_geographic(crs or WGS84, str(path))
    geographic = to_geographic(coordinates)
    if not np.isfinite(geographic).all():
        index = int(np.argmin(np.isfinite(geographic).all(axis=1)))
        raise GeographyError(
            f"{path}: point {index + 1} must be on the map of {crs}: got {coordinates[index]}"
        )
    return make_control_point_reference(pixels, geographic, str(path))


def _read_position(position: Any, crs: str, subject: str) -> FloatArray:
    """Return map coordinates x, y from latitude and longitude, or from x and y of the map."""
    names = ("longitude", "latitude") if not crs or crs.strip().upper() == WGS84 else ("x", "y")
    if not isinstance(position, dict) or set(position) != set(names):
        keys = ", ".join(map(str, position)) if isinstance(position, dict) else repr(position)
        raise GeographyError(f"{subject} must have the keys {' and '.join(sorted(names))}: got {keys[:100]}")
    return _read_numbers([position[name] for name in names], 2, f"{subject}: {' and '.join(names)}")


def _read_numbers(values: Any, count: int, subject: str) -> FloatArray:
    is_list = isinstance(values, list) and len(values) == count
    original, values = values, [_parse_exponent(value) for value in values] if is_list else values
    if not is_list or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise GeographyError(f"{subject} must be {count} numbers: got {repr(original)[:100]}")
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:
        numbers = np.full(count, np.inf)
    if not np.isfinite(numbers).all():
        raise GeographyError(f"{subject} must be finite: got {repr(values)[:100]}")
    return numbers


def _parse_exponent(value: Any) -> Any:
    """Return a number that YAML takes for text because it has an exponent but no point, as `1e-5`."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _read_homographies(
    path: Path, content: Mapping[str, Any], key: str, *, is_mirrored: bool
) -> FrameHomographies:
    """Read the homography of each frame from a text file with nine numbers per row."""
    file = _resolve(path, content, key)
    matrices: list[FloatArray] = []
    for row in read_rows(file):
        if len(matrices) >= _MAX_FRAMES:
            raise GeographyError(f"{file}: at most {_MAX_FRAMES} homographies are read; cut the file")
        subject = f"{file}:{row.line_number}"
        try:
            values = np.array(row.values)
        except InvalidRowError as error:
            raise GeographyError(f"{subject}: {error}") from error
        if len(values) != 9:
            raise GeographyError(f"{subject}: a homography must be 9 numbers, row by row: got {len(values)}")
        matrices.append(orient_homography(values.reshape(3, 3), is_mirrored=is_mirrored, subject=subject))
    return FrameHomographies(np.stack(matrices), str(file))


def _read_world_file(file: Path, crs: str) -> GeoReference:
    """Read a world file with a coordinate reference system, else with that of the `.prj` beside it."""
    projection = file.with_suffix(".prj")
    if not crs and projection.is_file():
        DOCUMENT_BYTES.check(projection.stat().st_size, projection)
        crs = projection.read_text(encoding="utf-8", errors="replace").strip()
    return read_world_file(file, crs=crs)


def _read_raster(file: Path) -> GeoReference:
    georeference = getattr(open_source(str(file)), "georeference", None) or find_georeference(file)
    if georeference is None:
        raise GeographyError(f"{file} must be georeferenced: got no GeoTIFF keys and no world file beside it")
    if not isinstance(georeference, GeoReference):
        raise SourceError(f"{file}: its reference is of an unknown kind")
    return georeference


def _resolve(path: Path, content: Mapping[str, Any], key: str) -> Path:
    """Return the file that a key names, inside of the folder of the YAML file."""
    name = content[key]
    if not isinstance(name, str):
        raise GeographyError(f"{path}: {key} must be the name of a file: got {repr(name)[:100]}")
    file = resolve_inside(path.parent, name)
    if not file.is_file():
        raise GeographyError(f"{path}: {key} must name a file beside it: {file} does not exist")
    return file
