"""Position of an image file on the Earth."""

from __future__ import annotations

from pathlib import Path

from tracking_runtime.io.georeference import GeoReference, find_georeference

_TIFF_SUFFIXES = (".tif", ".tiff")


def read_image_georeference(path: Path) -> GeoReference | None:
    """Return the map of an image, by its GeoTIFF tags or the world file beside it; None without a map.

    Raises:
        SourceError: the image, the world file or the projection is damaged.
    """
    if path.suffix.lower() in _TIFF_SUFFIXES:
        from tracking_runtime.io.raster import open_raster

        return open_raster(path).georeference
    return find_georeference(path)
