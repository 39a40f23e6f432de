"""A file of hyperspectral cubes, whatever its format: frames on demand, bands and georeference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.untrusted.limits import IMAGE_BYTES, IMAGE_PIXELS

_PREFIXES = {"uint8": "8U", "uint16": "16U", "float32": "32F"}  # of encodings, by the type of a sample


@dataclass(frozen=True)
class CubeFile:
    """An open file of cubes or images of one size.

    Attributes:
        path: the file that users name.
        num_frames: number of frames.
        height: height of a frame in pixels.
        width: width of a frame in pixels.
        num_bands: number of bands of a frame.
        view_frame: function from an index to the samples of a frame, (H, W) or (H, W, bands), of any type of
            number. Samples on disk may be mapped into memory. Raises SourceError.
        spectral_info: bands, of the file's number of bands; None if unknown.
        georeference: position on the Earth; None if unknown.
        is_good: True for each good band, by the file's list of bad bands; empty: all are.
        gain: factor of each band, after which the offset is added; None: 1.
        offset: number added to each band; None: 0.
        no_data: value of pixels without data; None: no such value.
        is_color: True if the channels are blue, green, red.
        remarks: statements about assumptions and oddities of the file, for users.
    """

    path: Path
    num_frames: int
    height: int
    width: int
    num_bands: int
    view_frame: Callable[[int], NDArray[Any]]
    spectral_info: SpectralInfo | None = None
    georeference: GeoReference | None = None
    is_good: tuple[bool, ...] = ()
    gain: NDArray[np.float64] | None = None
    offset: NDArray[np.float64] | None = None
    no_data: float | None = None
    is_color: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def good_bands(self) -> tuple[int, ...]:
        """Indices of the bands that the file does not list as bad."""
        return tuple(band for band in range(self.num_bands) if not self.is_good or self.is_good[band])

    def read_frame(self, index: int, bands: Sequence[int] | None = None) -> tuple[NDArray[Any], str]:
        """Read a frame in samples of a supported type.

        uint8, uint16 and float32 stay. Other integers and floats become float32. Pixels without data, or that
        are not finite, get the smallest value of the frame.

        Args:
            index: number of the frame, from 0.
            bands: indices of the bands to read. None: all.

        Returns:
            Samples (H, W) or (H, W, C), and their encoding as in sensor_msgs/Image.

        Raises:
            SourceError: the frame cannot be read, or is larger than a limit.
        """
        used_bands = range(self.num_bands) if bands is None else bands
        samples = self.view_frame(index)
        IMAGE_PIXELS.check(self.height * self.width, self.path)
        IMAGE_BYTES.check(self.height * self.width * len(used_bands) * samples.dtype.itemsize, self.path)
        if samples.ndim == 3 and bands is not None and list(bands) != list(range(self.num_bands)):
            samples = samples[..., bands[0]] if len(bands) == 1 else samples[..., list(bands)]
        image = convert_samples(samples, self.path, self.no_data)
        if self.gain is not None or self.offset is not None:
            image = _calibrate(image, self.gain, self.offset, list(used_bands))
        if self.is_color and image.dtype == np.uint8 and image.shape[2:] == (3,):
            return image, "bgr8"
        return image, find_encoding(image)

    def with_bands(self, spectral_info: SpectralInfo | None) -> CubeFile:
        """Return the same file with other bands.

        Raises:
            SourceError: the number of bands differs.
        """
        if spectral_info is not None and spectral_info.mosaic is None:
            num_wavelengths = len(spectral_info.wavelengths_nm)
            if num_wavelengths != self.num_bands:
                raise SourceError(
                    f"{self.path} has {self.num_bands} bands: got {num_wavelengths} wavelengths; correct the "
                    "wavelengths, or the bands"
                )
        return replace(self, spectral_info=spectral_info)


def convert_samples(samples: NDArray[Any], name: object, no_data: float | None = None) -> NDArray[Any]:
    """Return samples as uint8, uint16 or float32 of this machine's byte order, contiguous, in their shape.

    Args:
        samples: numbers of any type.
        name: file, for messages.
        no_data: value of samples without data. These and samples that are not finite get the smallest value.

    Raises:
        SourceError: the samples are not real numbers, or none of them is finite.
    """
    if samples.dtype == np.bool_:
        return np.ascontiguousarray(samples, np.uint8) * np.uint8(255)
    if samples.dtype.kind not in "uif" or not samples.size:
        raise SourceError(f"{name} must hold real numbers: got {samples.dtype.name} {samples.shape}")
    if samples.dtype.kind == "u" and samples.dtype.itemsize <= 2 and no_data is None:
        return np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
    with np.errstate(over="ignore", invalid="ignore"):
        is_missing = ~np.isfinite(samples) if samples.dtype.kind == "f" else np.zeros((), bool)
        if no_data is not None:
            is_missing = is_missing | (
                samples == samples.dtype.type(no_data) if _fits(no_data, samples) else False
            )
        if samples.dtype.kind == "u" and samples.dtype.itemsize <= 2:
            image: NDArray[Any] = np.array(samples, samples.dtype.newbyteorder("="), order="C")
        else:
            image = np.array(samples, np.float32, order="C")
    if is_missing.any():
        if is_missing.all():
            raise SourceError(f"{name} holds no valid sample: all are without data or not finite")
        image[is_missing] = image[~is_missing].min()
    if image.dtype == np.float32 and not np.isfinite(image.sum(dtype=np.float64)):
        raise SourceError(f"{name} holds numbers beyond the range of float32; scale them")
    return image


def find_encoding(image: NDArray[Any]) -> str:
    """Return the encoding of gray images and cubes as in sensor_msgs/Image.

    Args:
        image: samples (H, W) or (H, W, C), uint8, uint16 or float32.
    """
    if image.ndim == 2 and image.dtype != np.float32:
        return f"mono{8 * image.dtype.itemsize}"
    return f"{_PREFIXES[image.dtype.name]}C{image.shape[2] if image.ndim == 3 else 1}"


def _fits(value: float, samples: NDArray[Any]) -> bool:
    """Return whether samples of this type can have a value."""
    if samples.dtype.kind == "f":
        return True
    info = np.iinfo(samples.dtype)
    return float(value).is_integer() and info.min <= value <= info.max


def _calibrate(
    image: NDArray[Any],
    gain: NDArray[np.float64] | None,
    offset: NDArray[np.float64] | None,
    bands: list[int],
) -> NDArray[np.float32]:
    """Return gain * image + offset, with one gain and offset for each band."""
    result = image.astype(np.float32)
    for values, operation in ((gain, np.multiply), (offset, np.add)):
        if values is not None:
            used = np.float32(values[bands])
            operation(result, used if image.ndim == 3 else used[0], out=result)
    return result
