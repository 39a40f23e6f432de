"""ENVI cubes: a text header and a file of raw samples, mapped into memory.

The reader is own code: the library `spectral` neither compares the header with the length of the file, nor
limits what a header may claim, nor converts the units of wavelengths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.io.cube_file import CubeFile
from tracking_runtime.io.envi_header import (
    EnviHeader,
    read_bands,
    read_envi_header,
    read_gain_and_offset,
    read_georeference,
)
from tracking_runtime.io.source_kinds import NO_ENVI_DATA_SUFFIXES, find_raster_header
from tracking_runtime.untrusted.files import open_file

_SHAPES = {"bsq": "bands lines samples", "bil": "lines bands samples", "bip": "lines samples bands"}
_TO_PIXELS_FIRST = {"bsq": (1, 2, 0), "bil": (0, 2, 1), "bip": (0, 1, 2)}


def open_envi(path: Path) -> CubeFile:
    """Open an ENVI cube by its header or its data file.

    Raises:
        SourceError: header or data is missing, malformed, or they contradict each other.
    """
    header_path = path if _is_header(path) else find_raster_header(path)
    if header_path is None:
        raise SourceError(f"{path} needs an ENVI header beside it: {path.name}.hdr; add it")
    header = read_envi_header(header_path)
    data_path = find_envi_data(header) if header_path == path else path
    excess = _check_size(header, data_path)
    gain, offset = read_gain_and_offset(header)
    no_data = header.read_numbers("data ignore value")
    bad_bands = header.read_band_values("bbl")
    remarks = [f"{data_path.name} has {excess} bytes more than its header describes"] if excess else []
    return CubeFile(
        data_path,
        num_frames=1,
        height=header.lines,
        width=header.samples,
        num_bands=header.bands,
        view_frame=lambda _: _map_samples(header, data_path),
        spectral_info=read_bands(header),
        georeference=read_georeference(header),
        is_good=tuple(value != 0 for value in bad_bands),
        gain=gain,
        offset=offset,
        no_data=no_data[0] if len(no_data) == 1 else None,
        remarks=tuple(remarks),
    )


def find_envi_data(header: EnviHeader) -> Path:
    """Return the data file of an ENVI header: of the same name, with a suffix that other files do not have.

    Raises:
        SourceError: no file, or several, are named like the header.
    """
    path = header.path
    stem = path.with_suffix("")  # NAME.dat.hdr describes NAME.dat
    if stem.suffix and stem.is_file():
        return stem
    candidates = [
        candidate
        for candidate in list_visible(path.parent)
        if candidate != path
        and candidate.is_file()
        and (candidate.stem if candidate.suffix else candidate.name).lower() == path.stem.lower()
        and candidate.suffix.lower() not in NO_ENVI_DATA_SUFFIXES
    ]
    if len(candidates) > 1:
        candidates = [path for path in candidates if path.stat().st_size == header.num_bytes] or candidates
    if len(candidates) != 1:
        found = ", ".join(path.name for path in candidates) or "none"
        raise SourceError(
            f"{path} needs one data file beside it, as {path.stem}.dat, .img, .raw, .bin or without "
            f"suffix: got {found}; give the path of the data file"
        )
    return candidates[0]


def _is_header(path: Path) -> bool:
    if path.suffix.lower() == ".hdr":
        return True
    try:
        with open_file(path) as file:
            return file.read(5) in (b"ENVI\n", b"ENVI\r")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def _check_size(header: EnviHeader, data_path: Path) -> int:
    """Return the number of bytes that the header does not describe. Raise SourceError if some are missing."""
    try:
        size = data_path.stat().st_size
    except OSError as error:
        raise SourceError(f"{data_path} cannot be read: {error.strerror or error}") from error
    if size < header.num_bytes:
        shape = (
            f"{header.lines} lines x {header.samples} samples x {header.bands} bands of {header.dtype.name}"
        )
        raise SourceError(
            f"{data_path} is cut short, or {header.path.name} does not describe it: got {size} bytes, "
            f"expected {header.num_bytes} for {shape}; copy the data again, or correct the header"
        )
    return size - header.num_bytes


def _map_samples(header: EnviHeader, data_path: Path) -> NDArray[Any]:
    """Map the samples of a cube into memory: (lines, samples, bands), or (lines, samples) of one band."""
    _check_size(header, data_path)
    shape = tuple(getattr(header, name) for name in _SHAPES[header.interleave].split())
    try:
        samples = np.memmap(data_path, header.dtype, "r", offset=header.offset, shape=shape)
    except (OSError, ValueError, OverflowError) as error:
        raise SourceError(f"{data_path} cannot be read: {error}") from error
    cube = samples.transpose(_TO_PIXELS_FIRST[header.interleave])
    return cube[..., 0] if header.bands == 1 else cube
