"""Coordinate reference systems: conversion of map coordinates to WGS84."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.geography.errors import GeographyError

FloatArray = NDArray[np.float64]
ToGeographic = Callable[[FloatArray], FloatArray]
"""Function from map coordinates x, y, (n, 2), to latitudes and longitudes, (n, 2); NaN outside of the map."""

WGS84 = "EPSG:4326"
_WGS84_NAMES = {WGS84, "OGC:CRS84", "CRS84", "WGS84", "EPSG:4979"}


def make_to_geographic(crs: str, subject: str) -> ToGeographic:
    """Return the conversion from a coordinate reference system to WGS84.

    The order of map coordinates is that of maps: east or longitude first. WGS84 itself needs no pyproj.

    Args:
        crs: `EPSG:<code>`, WKT or any text that pyproj knows.
        subject: file that names the system, for messages.

    Raises:
        GeographyError: the system is unknown, is not of the Earth's surface, or pyproj is not installed.
    """
    if not crs:
        raise GeographyError(
            f"{subject}: the coordinate reference system must be known: got none; set crs, for example to "
            "EPSG:32611"
        )
    if crs.strip().upper() in _WGS84_NAMES:
        return _swap_columns
    try:
        import pyproj
    except ImportError as error:
        raise GeographyError(
            f"{subject}: {_shorten(crs)} is converted by pyproj, which is not installed; "
            "pip install 'remote_sensing_tracking[geography]'"
        ) from error
    try:
        transformer = pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise GeographyError(
            f"{subject}: crs must be a coordinate reference system: got {_shorten(crs)!r}; "
            "use EPSG:<code> or WKT"
        ) from error

    def convert(coordinates: FloatArray) -> FloatArray:
        x, y = np.asarray(coordinates, np.float64).reshape(-1, 2).T
        longitudes, latitudes = transformer.transform(x, y)
        geographic = np.stack([latitudes, longitudes], axis=1)
        return np.where(np.isfinite(geographic).all(axis=1, keepdims=True), geographic, np.nan)

    return convert


def _swap_columns(coordinates: FloatArray) -> FloatArray:
    return np.asarray(coordinates, np.float64).reshape(-1, 2)[:, ::-1]


def _shorten(crs: str) -> str:
    text = " ".join(crs.split())
    return text if len(text) <= 60 else f"{text[:60]}..."
