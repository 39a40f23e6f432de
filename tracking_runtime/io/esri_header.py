"""The text header (`.hdr`) of an ESRI raster: keywords of size, layout and position."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.files import open_file

_DTYPES = {
    ("unsignedint", 8): "u1", ("signedint", 8): "i1", ("unsignedint", 16): "u2", ("signedint", 16): "i2",
    ("unsignedint", 32): "u4", ("signedint", 32): "i4", ("float", 32): "f4", ("float", 64): "f8",
}  # fmt: skip
_BYTE_ORDERS = {"i": "<", "l": "<", "lsbfirst": "<", "m": ">", "msbfirst": ">"}
_MAX_VALUE = 1 << 40  # rows, columns, bands or bytes that a header may claim
_MAX_TEXT_BYTES = 1 << 16  # bytes of a header that are read
_CONVERSION = "convert the raster to GeoTIFF, for example with gdal_translate"


@dataclass(frozen=True)
class EsriHeader:
    """Content of the header of an ESRI raster.

    Attributes:
        path: the header.
        shape: number of rows, columns and bands.
        dtype: type and byte order of a sample.
        strides: bytes from one row, column and band to the next.
        offset: bytes before the first sample.
        no_data: value of samples without data; None if not stated.
        fields: values by their keyword in lower case.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    strides: tuple[int, int, int]
    offset: int
    no_data: float | None
    fields: Mapping[str, str]

    @property
    def num_bytes(self) -> int:
        """Size that the data file needs, up to the end of the last sample."""
        steps = (stride * (count - 1) for stride, count in zip(self.strides, self.shape, strict=True))
        return self.offset + sum(steps) + self.dtype.itemsize


def is_esri_header(path: Path) -> bool:
    """Return whether a file is the header of an ESRI raster: it states the numbers of rows and columns.

    Raises:
        SourceError: the file cannot be read.
    """
    return _read_fields(path).keys() >= {"nrows", "ncols"}


def read_esri_header(path: Path) -> EsriHeader:
    """Read the header of an ESRI raster.

    Raises:
        SourceError: a keyword is missing or out of range. The message names the file and the keyword.
    """
    fields = _read_fields(path)
    if "cellsize" in fields and "nbits" not in fields:
        raise SourceError(f"{path} describes a grid of ESRI, which is not read; {_CONVERSION}")
    rows, columns = (_read_integer(path, fields, name, 1) for name in ("nrows", "ncols"))
    bands = _read_integer(path, fields, "nbands", 1, default=1)
    dtype = _read_dtype(path, fields)
    return EsriHeader(
        path,
        (rows, columns, bands),
        dtype,
        _read_strides(path, fields, (rows, columns, bands), dtype.itemsize),
        _read_integer(path, fields, "skipbytes", default=0),
        read_number(path, fields, "nodata") if "nodata" in fields else None,
        fields,
    )


def _read_fields(path: Path) -> dict[str, str]:
    """Return the value of each keyword; the keywords are in lower case."""
    try:
        with open_file(path) as file:
            text = file.read(_MAX_TEXT_BYTES).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    lines = (line.replace("=", " ").split() for line in text.splitlines())
    return {words[0].lower(): words[1] for words in lines if len(words) > 1}


def _read_dtype(path: Path, fields: Mapping[str, str]) -> np.dtype:
    num_bits = _read_integer(path, fields, "nbits", 1, default=8)
    kind = fields.get("pixeltype", "unsignedint").lower()
    if (kind, num_bits) not in _DTYPES:
        expected = ", ".join(f"{name.upper()} of {bits}" for name, bits in _DTYPES)
        raise SourceError(
            f"{path}: PIXELTYPE and NBITS must be one of {expected} bits: got {kind.upper()[:40]} of "
            f"{num_bits}; {_CONVERSION}"
        )
    code = _DTYPES[kind, num_bits]
    order = fields.get("byteorder", "i" if num_bits == 8 else "").lower()
    if order not in _BYTE_ORDERS:
        raise SourceError(
            f"{path}: BYTEORDER must be I (little endian) or M (big endian): got "
            f"{order.upper()[:40] or 'none'}; add or correct it"
        )
    return np.dtype(_BYTE_ORDERS[order] + code)


def _read_strides(
    path: Path, fields: Mapping[str, str], shape: tuple[int, int, int], sample_bytes: int
) -> tuple[int, int, int]:
    """Return the bytes from one row, column and band to the next."""
    rows, columns, bands = shape
    layout = fields.get("layout", "bil").lower()
    if layout not in ("bil", "bip", "bsq"):
        raise SourceError(f"{path}: LAYOUT must be BIL, BIP or BSQ: got {layout.upper()[:40]!r}; correct it")
    if layout == "bip":
        pixel_bytes = bands * sample_bytes
        row_bytes = _read_row_bytes(path, fields, "totalrowbytes", columns * pixel_bytes)
        return row_bytes, pixel_bytes, sample_bytes
    band_row_bytes = _read_row_bytes(path, fields, "bandrowbytes", columns * sample_bytes)
    if layout == "bil":
        row_bytes = _read_row_bytes(path, fields, "totalrowbytes", bands * band_row_bytes)
        return row_bytes, sample_bytes, band_row_bytes
    gap_bytes = _read_integer(path, fields, "bandgapbytes", default=0)
    return band_row_bytes, sample_bytes, rows * band_row_bytes + gap_bytes


def _read_row_bytes(path: Path, fields: Mapping[str, str], name: str, least: int) -> int:
    """Return the bytes of a row; `least` without the keyword."""
    value = _read_integer(path, fields, name, default=least)
    if value < least:
        raise SourceError(
            f"{path}: {name.upper()} must be {least} or more for the samples of a row: got {value}; "
            "correct it"
        )
    return value


def _read_integer(
    path: Path, fields: Mapping[str, str], name: str, low: int = 0, default: int | None = None
) -> int:
    text = fields.get(name)
    if text is None:
        if default is None:
            raise SourceError(f"{path}: {name.upper()} is missing; add it")
        return default
    if not re.fullmatch(r"\+?[0-9]{1,13}", text) or not low <= int(text) <= _MAX_VALUE:
        raise SourceError(
            f"{path}: {name.upper()} must be a whole number of {low} or more: got {text[:40]!r}; correct it"
        )
    return int(text)


def read_number(path: Path, fields: Mapping[str, str], name: str) -> float:
    """Return the value of a keyword as a number. Raise SourceError if it is none."""
    try:
        return float(fields[name])
    except ValueError as error:
        raise SourceError(
            f"{path}: {name.upper()} must be a number: got {fields[name][:40]!r}; correct or remove it"
        ) from error
