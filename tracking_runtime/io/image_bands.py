"""Bands of a folder of images: from the file beside them, else from the first image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import SpectralInfo

_TIFF_SUFFIXES = (".tif", ".tiff")


def find_spectral_info(folder: Path, images: Sequence[Path]) -> SpectralInfo | None:
    """Find the bands of a folder of images.

    Args:
        folder: folder of the images. `spectral_info.yaml` in it or beside it comes first.
        images: images in order. If the first is a TIFF, its metadata may describe the bands.

    Returns:
        The bands; None if nothing describes them, or if the first image is damaged.

    Raises:
        SourceError: `spectral_info.yaml` does not describe bands.
    """
    from tracking_runtime.io.image_folder import read_spectral_info_file

    described = read_spectral_info_file(folder)
    if described is not None or not images or images[0].suffix.lower() not in _TIFF_SUFFIXES:
        return described
    from tracking_runtime.io.raster import read_tiff_bands

    try:
        return read_tiff_bands(images[0])
    except SourceError:
        return None  # the error is raised when the frame is read
