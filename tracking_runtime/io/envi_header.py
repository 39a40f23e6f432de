"""The text header (`.hdr`) of an ENVI file: fields, data layout, bands and map information."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.io.band_list import find_wavelengths_in_names, make_spectral_info
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.spectral_info import Calibration, SpectralInfo
from tracking_runtime.untrusted.files import read_file
from tracking_runtime.untrusted.limits import DOCUMENT_BYTES

_DTYPES = {
    1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_COMPLEX_TYPES = (6, 9)
_MAX_SIDE = 1 << 31  # lines, samples or bands that a header may claim
_UNREADABLE_FILE_TYPES = ("envi spectral library", "envi virtual mosaic", "envi annotation")


@dataclass(frozen=True)
class EnviHeader:
    """Content of an ENVI header.

    Attributes:
        path: the header.
        lines: height of the cube in pixels.
        samples: width of the cube in pixels.
        bands: number of bands.
        dtype: type and byte order of a sample.
        interleave: order of the samples: bsq, bil or bip.
        offset: bytes before the first sample.
        fields: all fields as texts, by their name in lower case.
    """

    path: Path
    lines: int
    samples: int
    bands: int
    dtype: np.dtype
    interleave: str
    offset: int
    fields: Mapping[str, str]

    @property
    def num_bytes(self) -> int:
        """Size that the data file needs, with the bytes before the first sample."""
        return self.offset + self.lines * self.samples * self.bands * self.dtype.itemsize

    def read_numbers(self, name: str) -> tuple[float, ...]:
        """Return a list of numbers; empty if the header has no such field.

        Raises:
            SourceError: the field has other texts than numbers.
        """
        try:
            return tuple(float(part) for part in self.read_list(name))
        except ValueError as error:
            raise SourceError(
                f"{self.path}: {name} must be numbers: {error}; correct or remove it"
            ) from error

    def read_list(self, name: str) -> list[str]:
        """Return the parts of a list in braces; empty if the header has no such field."""
        parts = [part.strip() for part in self.fields.get(name, "").strip("{} \t\r\n").split(",")]
        return [part for part in parts if part]

    def read_band_values(self, name: str) -> tuple[float, ...]:
        """Return one number for each band; empty if the header has no such field.

        Raises:
            SourceError: the field has another number of values, or a value is not finite.
        """
        values = self.read_numbers(name)
        if values and (len(values) != self.bands or not all(map(math.isfinite, values))):
            raise SourceError(
                f"{self.path}: {name} must be {self.bands} finite numbers, one for each band: "
                f"got {len(values)}; correct or remove it"
            )
        return values


def read_envi_header(path: Path) -> EnviHeader:
    """Read an ENVI header.

    Raises:
        SourceError: the file is not an ENVI header, or a field is missing or out of range. The message names
            the file and the field.
    """
    try:
        DOCUMENT_BYTES.check(path.stat().st_size, path)
        text = read_file(path).decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not text.lstrip().startswith("ENVI"):
        raise SourceError(f"{path} must be an ENVI header: its first line must be ENVI; give another file")
    return _parse_header(path, _parse_fields(path, text))


def _parse_fields(path: Path, text: str) -> dict[str, str]:
    """Return the fields `name = value`. Braces may span lines. A semicolon begins a comment line."""
    fields: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        name, separator, value = line.partition("=")
        if not separator or line.lstrip().startswith(";"):
            continue
        parts = [value.strip()]
        if parts[0].startswith("{"):
            while "}" not in parts[-1]:
                following = next(lines, None)
                if following is None:
                    raise SourceError(f"{path}: the brace of {name.strip()[:40]} is not closed; add a '}}'")
                parts.append(following)
        fields[" ".join(name.lower().split())] = "\n".join(parts).strip()
    return fields


def _parse_header(path: Path, fields: Mapping[str, str]) -> EnviHeader:
    _check_file_type(path, fields)
    code = _read_integer(path, fields, "data type")
    if code not in _DTYPES:
        kind = "complex numbers" if code in _COMPLEX_TYPES else "unknown"
        raise SourceError(
            f"{path}: data type must be one of {', '.join(map(str, _DTYPES))}: got {code} ({kind}); "
            "convert the cube"
        )
    byte_order = _read_integer(path, fields, "byte order", 0, 1, default=0)
    interleave = fields.get("interleave", "bsq").lower()
    if interleave not in ("bsq", "bil", "bip"):
        raise SourceError(f"{path}: interleave must be bsq, bil or bip: got {interleave[:40]!r}")
    return EnviHeader(
        path,
        lines=_read_integer(path, fields, "lines", 1),
        samples=_read_integer(path, fields, "samples", 1),
        bands=_read_integer(path, fields, "bands", 1),
        dtype=np.dtype(("<" if byte_order == 0 else ">") + _DTYPES[code]),
        interleave=interleave,
        offset=_read_integer(path, fields, "header offset", default=0),
        fields=fields,
    )


def _check_file_type(path: Path, fields: Mapping[str, str]) -> None:
    """Raise SourceError for a file that is not a plain cube."""
    file_type = fields.get("file type", "").lower()
    if file_type in _UNREADABLE_FILE_TYPES:
        raise SourceError(f"{path} must describe a cube: got the file type {file_type}; give a cube")
    if fields.get("file compression", "0") != "0":
        raise SourceError(f"{path}: the data is compressed; save the cube without compression")
    for name in ("major frame offsets", "minor frame offsets"):
        if re.search(r"[1-9]", fields.get(name, "")):
            raise SourceError(
                f"{path}: {name} must be 0: got {fields[name][:40]}; save the cube without them"
            )


def _read_integer(
    path: Path,
    fields: Mapping[str, str],
    name: str,
    low: int = 0,
    high: int = _MAX_SIDE,
    default: int | None = None,
) -> int:
    text = fields.get(name)
    if text is None:
        if default is None:
            raise SourceError(f"{path}: the field {name} is missing; add it")
        return default
    if not re.fullmatch(r"\+?[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise SourceError(f"{path}: {name} must be a whole number from {low} to {high}: got {text[:40]!r}")
    return int(text)


def read_bands(header: EnviHeader) -> SpectralInfo | None:
    """Return the bands that a header describes by wavelengths, or by band names such as `551.2 nm`.

    Returns:
        the bands; None if the header does not describe wavelengths.

    Raises:
        SourceError: the wavelengths are unusable, or their number differs from that of the bands.
    """
    is_reflectance = _read_reflectance_scale(header) is not None
    calibration = Calibration.REFLECTANCE if is_reflectance else Calibration.NONE
    wavelengths = header.read_band_values("wavelength")
    if not wavelengths:
        wavelengths = find_wavelengths_in_names(header.read_list("band names"))
        if len(wavelengths) != header.bands:
            return None
        return make_spectral_info(wavelengths, (), "nm", header.path, calibration)
    fwhm = header.read_band_values("fwhm")
    unit = header.fields.get("wavelength units", "")
    return make_spectral_info(wavelengths, fwhm, unit, header.path, calibration)


def read_gain_and_offset(header: EnviHeader) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the factor and the summand of each band that turn samples into physical values; None: 1 and 0.

    A reflectance scale factor divides the samples, so that reflectance is 0 to 1.

    Raises:
        SourceError: a value is not a number.
    """
    gain, offset = header.read_band_values("data gain values"), header.read_band_values("data offset values")
    scale = _read_reflectance_scale(header)
    if scale is not None:
        return np.full(header.bands, 1 / scale), None
    return np.array(gain) if gain else None, np.array(offset) if offset else None


def _read_reflectance_scale(header: EnviHeader) -> float | None:
    values = header.read_numbers("reflectance scale factor")
    if not values:
        return None
    if len(values) != 1 or not 0 < values[0] < math.inf:
        raise SourceError(
            f"{header.path}: reflectance scale factor must be one number above 0; correct or remove it"
        )
    return values[0]


def read_georeference(header: EnviHeader) -> GeoReference | None:
    """Return the georeference of `map info`; None if the header has none or an arbitrary one.

    Raises:
        SourceError: `map info` is malformed.
    """
    parts = header.read_list("map info")
    if not parts or parts[0].lower() in ("arbitrary", "pseudo", ""):
        return None
    try:
        column, row, x, y, width, height = (float(part) for part in parts[1:7])
        angle = next((float(part[9:]) for part in parts[7:] if part.lower().startswith("rotation=")), 0.0)
        # The rotation is counterclockwise in degrees.
        cosine, sine = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
        (a, b), (d, e) = (cosine * width, -sine * width), (-sine * height, -cosine * height)
        # The reference pixel counts from 1, at the top-left corner of a pixel.
        corner_x = x - a * (column - 1) - b * (row - 1)
        corner_y = y - d * (column - 1) - e * (row - 1)
        return GeoReference(((a, b, corner_x), (d, e, corner_y)), _find_crs(header, parts))
    except ValueError as error:
        raise SourceError(f"{header.path}: map info is malformed: {error}; correct or remove it") from error


def _find_crs(header: EnviHeader, map_info: list[str]) -> str:
    """Return the coordinate reference system: WKT as given, or the code of UTM and degrees on WGS 84."""
    text = header.fields.get("coordinate system string", "").strip("{} \t\n")
    if text:
        return text
    names = [part.lower().replace("-", "").replace(" ", "") for part in map_info]
    if "wgs84" not in names:
        return ""
    if names[0] == "utm" and len(map_info) > 8 and map_info[7].isdigit() and 1 <= int(map_info[7]) <= 60:
        return f"EPSG:{(32700 if names[8].startswith('s') else 32600) + int(map_info[7])}"
    return "EPSG:4326" if names[0].startswith("geographic") else ""
