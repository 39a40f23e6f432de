"""ESRI rasters (`.bil`, `.bip`, `.bsq`): a text header and a file of raw samples, mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.io.cube_file import CubeFile
from tracking_runtime.io.esri_header import EsriHeader, read_esri_header, read_number
from tracking_runtime.io.georeference import GeoReference, find_georeference, read_projection
from tracking_runtime.io.source_kinds import find_esri_data, find_raster_header


def open_esri(path: Path) -> CubeFile:
    """Open an ESRI raster by its header or its data file.

    Raises:
        SourceError: header or data is missing, malformed, or they contradict each other.
    """
    header_path = path if path.suffix.lower() == ".hdr" else find_raster_header(path)
    if header_path is None:
        raise SourceError(f"{path} needs the header {path.stem}.hdr beside it; add it")
    header = read_esri_header(header_path)
    data_path = find_esri_data(header_path) if header_path == path else path
    _check_size(header, data_path)
    height, width, num_bands = header.shape
    return CubeFile(
        data_path,
        num_frames=1,
        height=height,
        width=width,
        num_bands=num_bands,
        view_frame=lambda _: _map_samples(header, data_path),
        georeference=_read_georeference(header, data_path),
        no_data=header.no_data,
    )


def _check_size(header: EsriHeader, data_path: Path) -> None:
    try:
        size = data_path.stat().st_size
    except OSError as error:
        raise SourceError(f"{data_path} cannot be read: {error.strerror or error}") from error
    if size < header.num_bytes:
        rows, columns, bands = header.shape
        raise SourceError(
            f"{data_path} is cut short, or {header.path.name} does not describe it: got {size} bytes, "
            f"expected {header.num_bytes} for {rows} rows x {columns} columns x {bands} bands of "
            f"{header.dtype.name}; copy the data again, or correct the header"
        )


def _map_samples(header: EsriHeader, data_path: Path) -> NDArray[Any]:
    """Map the samples of a raster into memory: (rows, columns, bands), or (rows, columns) of one band."""
    _check_size(header, data_path)
    try:
        content = np.memmap(data_path, np.uint8, "r")
        samples: NDArray[Any] = np.ndarray(
            header.shape, header.dtype, content, offset=header.offset, strides=header.strides
        )
    except (OSError, ValueError) as error:
        raise SourceError(f"{data_path} cannot be read: {error}") from error
    return samples[..., 0] if header.shape[2] == 1 else samples


def _read_georeference(header: EsriHeader, data_path: Path) -> GeoReference | None:
    """Return the map of the header, else of the world file; None without both."""
    names = ("ulxmap", "ulymap", "xdim", "ydim")
    if not header.fields.keys() >= {*names}:
        return find_georeference(data_path)
    x, y, width, height = (read_number(header.path, header.fields, name) for name in names)
    try:
        # ULXMAP and ULYMAP are the center of the first pixel.
        transform = ((width, 0.0, x - width / 2), (0.0, -height, y + height / 2))
        return GeoReference(transform, read_projection(data_path))
    except ValueError as error:
        raise SourceError(f"{header.path}: ULXMAP, ULYMAP, XDIM and YDIM are no map: {error}") from error
