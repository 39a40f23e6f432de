"""Data of a TIFF beside its pixels: georeference, wavelengths of bands, value of missing pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.io.band_list import find_wavelengths_in_names, make_spectral_info
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.untrusted.documents import DocumentError, parse_xml

if TYPE_CHECKING:
    import xml.etree.ElementTree as ElementTree

    from tifffile import TiffPage

_Transform = tuple[tuple[float, float, float], tuple[float, float, float]]

_GDAL_METADATA_TAG = 42112
_USER_DEFINED = 32767  # code of coordinate reference systems without an EPSG code
_PIXEL_IS_POINT = 2
_MAX_BANDS = 100_000
# Names of GDAL's metadata items of a band, in lower case, and the unit of their values.
_WAVELENGTH_ITEMS = {"central_wavelength_um": "um", "wavelength_nm": "nm", "wavelength": ""}
_FWHM_ITEMS = {"fwhm_um": "um", "fwhm_nm": "nm", "fwhm": ""}


def read_geotiff_georeference(page: TiffPage) -> GeoReference | None:
    """Return the georeference of a TIFF's tags; None if the TIFF has none, or one that is not affine.

    Raises:
        ValueError: the tags are malformed.
    """
    tags: Mapping[str, Any] = page.geotiff_tags or {}
    transform = _find_transform(tags)
    if transform is None:
        return None
    if int(tags.get("GTRasterTypeGeoKey", 1)) == _PIXEL_IS_POINT:
        # The coordinates are those of the centers of pixels.
        (a, b, c), (d, e, f) = transform
        transform = ((a, b, c - (a + b) / 2), (d, e, f - (d + e) / 2))
    code = tags.get("ProjectedCSTypeGeoKey") or tags.get("GeographicTypeGeoKey") or 0
    code = int(code) if isinstance(code, int) else 0
    return GeoReference(transform, f"EPSG:{code}" if 0 < code < _USER_DEFINED else "")


def _find_transform(tags: Mapping[str, Any]) -> _Transform | None:
    matrix = tags.get("ModelTransformation")
    if matrix is not None:
        rows = np.asarray(matrix, np.float64).reshape(4, 4)[:2, [0, 1, 3]]
        (a, b, c), (d, e, f) = rows.tolist()
        return (a, b, c), (d, e, f)
    scale, tie_point = tags.get("ModelPixelScale"), tags.get("ModelTiepoint")
    if scale is None or tie_point is None or len(tie_point) != 6:
        return None
    column, row, _, x, y, _ = (float(value) for value in tie_point)
    width, height = float(scale[0]), float(scale[1])
    return (width, 0.0, x - column * width), (0.0, -height, y + row * height)


def read_gdal_bands(page: TiffPage, path: Path) -> SpectralInfo | None:
    """Return the bands that GDAL's metadata describes by items or descriptions; None if some band has none.

    Raises:
        SourceError: the wavelengths are unusable.
    """
    tag = page.tags.get(_GDAL_METADATA_TAG)
    if tag is None:
        return None
    try:
        root = parse_xml(str(tag.value).strip("\0"))
    except DocumentError as error:
        raise SourceError(f"{path} has malformed GDAL metadata: {error}; write the file again") from error
    num_bands = page.samplesperpixel
    for names, widths in zip(_WAVELENGTH_ITEMS, _FWHM_ITEMS, strict=True):
        centers = _read_band_items(root, names, num_bands)
        if centers:
            fwhm = _read_band_items(root, widths, num_bands)
            unit = _WAVELENGTH_ITEMS[names] or next(iter(_read_texts(root, "wavelength_units").values()), "")
            return make_spectral_info(centers, fwhm, unit, path)
    descriptions = _read_texts(root, "description")
    found = find_wavelengths_in_names([descriptions.get(band, "") for band in range(num_bands)])
    return make_spectral_info(found, (), "nm", path) if found else None


def _read_band_items(root: ElementTree.Element, name: str, num_bands: int) -> tuple[float, ...]:
    """Return one number for each band; empty if some band has none."""
    texts = _read_texts(root, name)
    try:
        return tuple(float(texts[band]) for band in range(min(num_bands, _MAX_BANDS)))
    except (KeyError, ValueError):
        return ()


def _read_texts(root: ElementTree.Element, name: str) -> dict[int, str]:
    """Return the texts of the items with a name, by the index of their band; -1: of the whole file."""
    texts = {}
    for item in root.iter("Item"):
        sample = item.get("sample", "-1")
        if item.get("name", "").lower() == name and sample.lstrip("-").isdecimal():
            texts[int(sample)] = item.text or ""
    return texts
