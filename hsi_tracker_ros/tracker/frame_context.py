"""Context of a frame: the cube with its statistics, and the crops and spectra that are cut from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.bands import BandMatcher
from hsi_tracker_ros.cubes.false_color import find_white_level, render_false_color
from hsi_tracker_ros.hanet.crops import SquareCrop, cut_crop
from hsi_tracker_ros.tracker.spectral_signature import (
    FrameStatistics,
    SpectralSignature,
    compute_core_spectra,
    compute_sampled_spectra,
    estimate_background,
    find_spectral_detections,
)
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.spectral_info import SpectralInfo

Floats = NDArray[np.float32]
Crops = tuple[NDArray[Any], ...]
"""Crops of one region: an image, and a cube if the model has a spectral branch."""

_CUBE_TYPES = (np.uint8, np.uint16, np.float32)
_IMAGE_TYPES = (np.uint8,)
_SAMPLE_STRIDE = 4  # pixels between the rows and columns from which the statistics are measured
_IMAGE_SATURATION = 255.0


@dataclass(frozen=True)
class FrameContext:
    """Frame with everything that its crops and spectra need.

    Attributes:
        cube: cube ``(height, width, channels)``, or a BGR image.
        statistics: spectral statistics of the cube.
        to_color: function from the cube, or a part of the cube, to a BGR image.
        band_matcher: conversion from the camera's bands to the model's; None: the model takes images only.
        mean_color: mean ``(3,)`` of the frame in BGR.
        is_cube: True if the frame is a cube, not a BGR image.
    """

    cube: NDArray[Any]
    statistics: FrameStatistics
    to_color: Callable[[NDArray[Any]], NDArray[np.uint8]]
    band_matcher: BandMatcher | None
    mean_color: NDArray[np.float64] = field(repr=False)
    is_cube: bool = True

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.cube.shape[:2]
        return width, height

    def render_false_color(self) -> NDArray[np.uint8]:
        """Return the frame as a BGR image ``(height, width, 3)``."""
        return self.to_color(self.cube)

    def cut_crops(self, region: SquareCrop, sizes: tuple[int, ...]) -> Crops:
        """Return the crops of a region: a BGR image, and a cube relative to the band means.

        Args:
            region: region of the frame, also partly or wholly outside.
            sizes: side in pixels of the image, and of the cube if the model has a spectral branch.
        """
        rows, columns = region.compute_window(*self.cube.shape[:2])
        part = self.cube[rows, columns]
        local = region.translate(-columns.start, -rows.start)
        band_means = self.statistics.band_means
        black_level = self.statistics.black_level
        if not part.size:
            # Outside the frame: one pixel of the mean spectrum, and a region beside that pixel.
            part = (band_means[None, None] + black_level).astype(self.cube.dtype)
            local = SquareCrop(-region.side, -region.side, region.side / 2)
        image = cut_crop(self.to_color(part), local, sizes[0], self.mean_color)
        if self.band_matcher is None:
            return (image,)
        relative = np.subtract(part, black_level, dtype=np.float32)
        relative /= band_means
        return image, cut_crop(self.band_matcher(relative), local, sizes[1], fill=1.0)

    def compute_core_spectra(self, box: NDArray[np.float64]) -> Floats:
        """Return the relative spectra ``(5, bands)`` of a box's core and of its quarters."""
        return compute_core_spectra(self.cube, box, self.statistics)

    def make_signature(self, box: NDArray[np.float64]) -> SpectralSignature:
        """Return the signature of the object in a box."""
        background = estimate_background(self.cube, box, self.statistics) if self.is_cube else None
        return SpectralSignature(self.compute_core_spectra(box), background)

    def compute_distance(self, signature: SpectralSignature, box: NDArray[np.float64]) -> float:
        """Return the Mahalanobis distance between a box and a target."""
        return signature.compute_distance(self.compute_core_spectra(box), self.statistics)

    def compute_distances(
        self, signature: SpectralSignature, boxes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the Mahalanobis distance of each box's core to a target, (n,).

        Args:
            signature: spectral signature of the target.
            boxes: x, y, width, height in pixels, (n, 4). 36 pixels of each box are sampled.
        """
        spectra = compute_sampled_spectra(self.cube, boxes, self.statistics)
        return signature.compute_distances(spectra, self.statistics)

    def find_detections(
        self, signature: SpectralSignature, size: NDArray[np.float64], max_count: int
    ) -> NDArray[np.float64]:
        """Return the positions ``(n, 2)`` in pixels that match a target of this size best, best first."""
        return find_spectral_detections(self.cube, size, signature, self.statistics, max_count)


class FrameContextFactory:
    """Factory of the contexts of one camera's frames.

    Args:
        camera: bands of the cubes; None: frames are BGR images.
        model_bands: center wavelengths in nm of the model; None: the model takes images only.

    Attributes:
        channels: number of channels of a frame.

    Raises:
        CameraMismatchError: the camera's bands do not cover the model's.
    """

    def __init__(self, camera: SpectralInfo | None, model_bands: tuple[float, ...] | None) -> None:
        self._camera = camera
        self._band_matcher = BandMatcher(camera, model_bands) if camera and model_bands else None
        self.channels = len(camera.wavelengths_nm if camera else "bgr")

    def make_context(self, cube: NDArray[Any]) -> FrameContext:
        """Return the context of a frame ``(height, width, channels)``.

        Raises:
            FrameRefusedError: the frame has another shape or sample type, or values that are not finite.
        """
        self._check(cube)
        sample = cube[::_SAMPLE_STRIDE, ::_SAMPLE_STRIDE].astype(np.float32)
        if self._camera is None:
            statistics = FrameStatistics.measure(sample, 0.0, _IMAGE_SATURATION)
            mean_color = statistics.band_means.astype(np.float64)
            return FrameContext(cube, statistics, _keep_color, None, mean_color, is_cube=False)
        black_level = self._camera.black_level
        saturation_level = self._camera.saturation_level or np.inf
        statistics = FrameStatistics.measure(sample, black_level, saturation_level)
        to_color = partial(
            render_false_color,
            wavelengths_nm=self._camera.wavelengths_nm,
            white=find_white_level(cube, black_level),
            black=black_level,
        )
        mean_pixel = statistics.band_means[None, None] + black_level
        mean_color = to_color(mean_pixel)[0, 0].astype(np.float64)
        return FrameContext(cube, statistics, to_color, self._band_matcher, mean_color)

    def _check(self, cube: NDArray[Any]) -> None:
        if cube.ndim != 3 or cube.shape[2] != self.channels or not cube.size:
            raise FrameRefusedError(
                f"the frame has another shape than the camera's: got {cube.shape}, expected "
                f"(height, width, {self.channels})"
            )
        sample_types = _CUBE_TYPES if self._camera else _IMAGE_TYPES
        if cube.dtype not in sample_types:
            names = ", ".join(np.dtype(sample_type).name for sample_type in sample_types)
            raise FrameRefusedError(f"the frame has another sample type: got {cube.dtype}, expected {names}")
        if cube.dtype == np.float32 and not np.isfinite(cube.sum(dtype=np.float64)):
            raise FrameRefusedError("the frame has values that are not finite (NaN or infinite)")


def _keep_color(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a BGR image unchanged."""
    return image
