"""Geographic references that sources of frames bring along."""

from __future__ import annotations

from collections.abc import Callable

from tracking_runtime.frames import FrameSource
from tracking_runtime.geography.reference import FrameMapReference, GeographicReference, make_map_reference
from tracking_runtime.io.georeference import GeoReference


def make_source_reference(source: FrameSource) -> GeographicReference | None:
    """Return the map from the pixels of a source to the Earth; None without a map.

    The images of a folder may have one map in common, or each its own: the first and the last are compared.
    A map of the first image alone is that of all.

    Args:
        source: source of frames. Sources with a map have the attribute `georeference`, folders of images also
            the method `read_georeference`.

    Raises:
        GeographyError: the coordinate reference system is unknown or needs pyproj.
        SourceError: a file with a map is damaged.
    """
    georeference: GeoReference | None = getattr(source, "georeference", None)
    if georeference is None or not georeference.crs:
        return None
    reference = make_map_reference(georeference, source.name)
    read: Callable[[int], GeoReference | None] | None = getattr(source, "read_georeference", None)
    if read is None or read(len(source) - 1) in (None, georeference):
        return reference
    return FrameMapReference(read, len(source), source.name)
