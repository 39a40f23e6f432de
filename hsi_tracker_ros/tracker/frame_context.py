"""A frame, and what the network and the signature see of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.bands import BandMatcher
from hsi_tracker_ros.cubes.false_color import false_color, white_level
from hsi_tracker_ros.hanet.crops import SquareCrop, cut
from hsi_tracker_ros.tracker.spectral_signature import (
    Precision,
    Signature,
    core_spectra,
    frame_precision,
    likely_places,
    sampled_spectra,
)
from tracking_runtime.errors import FrameRefusedError
from tracking_runtime.spectral_info import SpectralInfo

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """A frame with what every crop of it needs.

    Attributes:
        pixels: ``(height, width, channels)``, a cube or a BGR picture.
        color: makes BGR of it or of a part of it.
        bands: makes the model's bands of the camera's; None: the model takes none.
        black: value of no light.
        means: ``(channels,)`` mean of the frame above black.
        ceiling: ``(channels,)`` what a saturated sample is, relative to the mean.
        precision: ``(channels, channels)`` of its spectra.
        mean_color: ``(3,)`` mean of the frame in BGR.
    """

    pixels: NDArray[Any]
    color: Callable[[NDArray[Any]], NDArray[np.uint8]]
    bands: BandMatcher | None
    black: float
    means: Floats
    ceiling: Floats
    precision: Precision
    mean_color: NDArray[np.float64] = field(repr=False)

    def crops(self, crop: SquareCrop, sizes: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
        """A square in colour, and for a second size as a cube relative to the frame's mean in each band."""
        rows, columns = crop.window(*self.pixels.shape[:2])
        region = self.pixels[rows, columns]
        local = crop.moved(-columns.start, -rows.start)
        if not region.size:
            fill = (self.means[None, None] + self.black).astype(self.pixels.dtype)
            region, local = fill, SquareCrop(-crop.side, -crop.side, crop.side / 2)
        image = cut(self.color(region), local, sizes[0], self.mean_color)
        if self.bands is None:
            return (image,)
        relative = np.subtract(region, self.black, dtype=np.float32)
        relative /= self.means
        return image, cut(self.bands(relative), local, sizes[1], fill=1.0)

    def spectra(self, box: NDArray[np.float64]) -> Floats:
        """Of the parts of a box's core, relative to the frame."""
        return core_spectra(self.pixels, box, self.black, self.means)

    def distance(self, signature: Signature, box: NDArray[np.float64]) -> float:
        """Of what a box holds from a target, in deviations of the frame."""
        return signature.distance(self.spectra(box), self.ceiling, self.precision)

    def distances(self, signature: Signature, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the middles of boxes ``(n, 4)`` from a target's, in deviations of the frame, by samples."""
        spectra = sampled_spectra(self.pixels, boxes, self.black, self.means)
        return signature.distances(spectra, self.ceiling, self.precision)

    def likely_places(
        self, signature: Signature, size: NDArray[np.float64], count: int
    ) -> NDArray[np.float64]:
        """Centres ``(n, 2)`` in pixels of places where a target of this size may be by its spectrum."""
        return likely_places(
            self.pixels, size, signature, self.black, self.means, self.ceiling, self.precision, count
        )


class Viewer:
    """Makes views of the frames of one camera.

    Args:
        camera: the bands of its cubes; None: frames are pictures, BGR.
        model_bands: centre wavelengths in nm that the model takes; None: it takes none.

    Attributes:
        channels: of the frames.

    Raises:
        CameraMismatch: the camera's bands don't cover the model's.
    """

    def __init__(self, camera: SpectralInfo | None, model_bands: tuple[float, ...] | None) -> None:
        self._camera = camera
        self._bands = BandMatcher(camera, model_bands) if camera and model_bands else None
        self.channels = len(camera.wavelengths_nm if camera else "bgr")

    def view(self, pixels: NDArray[Any]) -> View:
        """Of a frame ``(height, width, channels)``.

        Raises:
            FrameRefused: it has another shape, sample type, or values that are not finite.
        """
        self._check(pixels)
        sample = pixels[::4, ::4].astype(np.float32)
        if self._camera is None:
            means = np.maximum(sample.mean(axis=(0, 1)), 1e-6)
            precision = frame_precision(_thin(sample) / means)
            mean_color = means.astype(np.float64)
            return View(pixels, lambda picture: picture, None, 0.0, means, 255 / means, precision, mean_color)
        black, nm = self._camera.black_level, self._camera.wavelengths_nm
        means = np.maximum(sample.mean(axis=(0, 1)) - black, 1e-6)
        color = partial(false_color, wavelengths_nm=nm, white=white_level(pixels, black), black=black)
        mean_color = color(means[None, None] + black)[0, 0].astype(np.float64)
        ceiling = ((self._camera.saturation_level or np.inf) - black) / means
        precision = frame_precision((_thin(sample) - black) / means)
        return View(pixels, color, self._bands, black, means, ceiling, precision, mean_color)

    def _check(self, pixels: NDArray[Any]) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != self.channels or not pixels.size:
            raise FrameRefusedError(
                f"a frame of shape {pixels.shape} where (height, width, {self.channels}) is expected"
            )
        if pixels.dtype not in ((np.uint8, np.uint16, np.float32) if self._camera else (np.uint8,)):
            raise FrameRefusedError(
                f"a frame of {pixels.dtype}; known: {'uint8, uint16, float32' if self._camera else 'uint8'}"
            )
        if pixels.dtype == np.float32 and not np.isfinite(pixels.sum(dtype=np.float64)):
            raise FrameRefusedError("a frame with values that are not finite")


def _thin(sample: Floats) -> Floats:
    """A quarter of the samples ``(n, channels)``: enough for a covariance."""
    return sample[::2, ::2].reshape(-1, sample.shape[2])
