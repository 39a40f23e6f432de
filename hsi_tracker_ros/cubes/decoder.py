"""Decoders of camera images to cubes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_file import SpectralCorrection
from hsi_tracker_ros.cubes.mosaic import convert_mosaic_to_cube
from hsi_tracker_ros.cubes.sensor import Sensor
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.messages.image_encodings import parse_encoding
from tracking_runtime.spectral_info import Calibration, SpectralInfo

# Encodings of 16 bits, and those of the same channels with 8 bits.
_WORD_ENCODINGS = {"mono16": "mono8", "16UC1": "mono8", "16UC3": "8UC3"}
_MIN_WORD_BITS = 10  # cameras of more than 8 bits have at least these


@dataclass(frozen=True)
class FieldCorrection:
    """Dark and flat field of a camera, of the shape of its images.

    Attributes:
        dark: image without light.
        flat: image of an evenly lit white surface. None: only the dark field is subtracted.
    """

    dark: NDArray[Any]
    flat: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.flat is not None and self.flat.shape != self.dark.shape:
            raise SourceError(
                f"dark field and flat field must have one shape: got {self.dark.shape} and {self.flat.shape}"
            )

    def correct(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return `(image - dark) / (flat - dark)` times the mean of `flat - dark`, to keep digital numbers.

        Raises:
            FrameRefusedError: the image has another shape.
        """
        if image.shape != self.dark.shape:
            raise FrameRefusedError(
                f"the image has shape {image.shape}, its dark field {self.dark.shape}: they must be equal"
            )
        result = image.astype(np.float32)
        result -= self.dark
        if self.flat is not None:
            light = np.maximum(self.flat.astype(np.float32) - self.dark, 1.0)
            result *= light.mean() / light
        return result

    @property
    def calibration(self) -> Calibration:
        """The steps of calibration that `correct` does."""
        return Calibration.DARK if self.flat is None else Calibration.DARK | Calibration.FLAT


class Decoder:
    """A decoder of camera images to cubes.

    A cube without corrections passes as a view. A raw mosaic is copied once.

    Args:
        camera: bands and mosaic of the camera. None: images are cubes with any number of bands.
        sensor: size of the sensor and place of its filters, to which raw images must fit. None: raw images
            are whole periods of filters.
        fields: dark and flat field; None: no correction.
        correction: correction from the camera's bands to virtual bands; None: none.

    Attributes:
        cube_camera: bands of the decoded cubes; None if `camera` is None.

    Raises:
        SourceError: the correction has another number of bands than the camera.
    """

    def __init__(
        self,
        camera: SpectralInfo | None,
        *,
        sensor: Sensor | None = None,
        fields: FieldCorrection | None = None,
        correction: SpectralCorrection | None = None,
    ) -> None:
        self._camera = camera
        self._sensor = sensor
        self._fields = fields
        self._correction = correction
        self.cube_camera = None if camera is None else _describe_cubes(camera, fields, correction)

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """Decode an image to a cube.

        Args:
            image: the image, `(height, width)` or `(height, width, channels)`.
            encoding: encoding as in sensor_msgs/Image: mono8, mono16, bgr8, rgb8, 8UC<n>, 16UC<n> or 32FC<n>.

        Returns:
            The cube, `(height, width, bands)`, uint8, uint16 or float32; float32 after a correction.

        Raises:
            FrameRefusedError: the image cannot be used. The message gives the reason.
        """
        _check(image, encoding)
        is_raw = image.ndim == 2 or image.shape[2] == 1
        if is_raw and self._camera is None:
            raise FrameRefusedError(
                f"the image is raw ({encoding}), but its mosaic is unknown: publish SpectralInfo"
            )
        if is_raw and self._camera is not None and self._camera.mosaic is not None:
            cube = self._decode_mosaic(image.reshape(image.shape[:2]), self._camera)
        else:
            plane = image.reshape(image.shape[:2]) if is_raw else image
            corrected = plane if self._fields is None else self._fields.correct(plane)
            cube = corrected.reshape(*image.shape[:2], -1)
        if self._camera is not None and cube.shape[2] != len(self._camera.wavelengths_nm):
            raise FrameRefusedError(
                f"the image has {cube.shape[2]} bands, but the camera has {len(self._camera.wavelengths_nm)}"
            )
        if self._correction is not None:
            flat = cube.reshape(-1, cube.shape[2]).astype(np.float32, copy=False)
            cube = (flat @ self._correction.matrix.T).reshape(*cube.shape[:2], -1)
        return cube

    def _decode_mosaic(self, raw: NDArray[Any], camera: SpectralInfo) -> NDArray[Any]:
        filters = (slice(None), slice(None))
        if self._sensor is not None and camera.mosaic is not None:
            filters = self._sensor.find_filters((raw.shape[1], raw.shape[0]), camera.mosaic)
        if self._fields is not None:
            raw = self._fields.correct(raw)
        return convert_mosaic_to_cube(raw[filters], camera)


def decode_color_image(image: NDArray[Any], encoding: str) -> NDArray[np.uint8]:
    """Convert the image of a color or gray camera to BGR, `(height, width, 3)`.

    Args:
        image: the image, `(height, width)` or `(height, width, 3)`.
        encoding: mono8, bgr8, rgb8 or 8UC3.

    Raises:
        FrameRefusedError: the image cannot be used. The message gives the reason.
    """
    _check(image, encoding)
    if encoding == "rgb8":
        return np.ascontiguousarray(image[..., ::-1])
    if encoding == "mono8":
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if encoding not in ("bgr8", "8UC3"):
        raise FrameRefusedError(
            f"encoding must be bgr8, rgb8, mono8 or 8UC3 for a camera without known bands: got {encoding}"
        )
    return image


class ColorDecoder:
    """A decoder of color and gray images to BGR, with the interface of `Decoder`.

    Images of 16 bits are reduced to 8 by the number of bits that the brightest image so far has used. The
    number is at least 10.
    """

    cube_camera: SpectralInfo | None = None

    def __init__(self) -> None:
        self._bits = _MIN_WORD_BITS

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[np.uint8]:
        """Convert an image to BGR, as `decode_color_image` does, also mono16, 16UC1 and 16UC3 (BGR)."""
        if encoding not in _WORD_ENCODINGS:
            return decode_color_image(image, encoding)
        _check(image, encoding)
        self._bits = max(self._bits, int(image.max()).bit_length())
        reduced = (image >> (self._bits - 8)).astype(np.uint8)
        return decode_color_image(reduced, _WORD_ENCODINGS[encoding])


def make_decoder(camera: SpectralInfo | None) -> Decoder | ColorDecoder:
    """Return the decoder of a recording's images: to cubes, or to BGR if no bands are known."""
    return ColorDecoder() if camera is None else Decoder(camera)


def _describe_cubes(
    camera: SpectralInfo, fields: FieldCorrection | None, correction: SpectralCorrection | None
) -> SpectralInfo:
    """Return the bands of a camera's cubes after all corrections."""
    cube = replace(camera, mosaic=None, band_order=())
    if fields is not None:
        white = camera.saturation_level and max(camera.saturation_level - float(fields.dark.mean()), 0.0)
        cube = replace(
            cube, black_level=0.0, saturation_level=white, calibration=cube.calibration | fields.calibration
        )
    if correction is not None:
        if correction.matrix.shape[1] != len(camera.wavelengths_nm):
            raise SourceError(
                f"the spectral correction is for {correction.matrix.shape[1]} bands, the camera has "
                f"{len(camera.wavelengths_nm)}"
            )
        cube = replace(
            cube,
            wavelengths_nm=correction.wavelengths_nm,
            fwhm_nm=correction.fwhm_nm,
            calibration=cube.calibration | Calibration.SPECTRAL_CORRECTION,
        )
    return cube


def _check(image: NDArray[Any], encoding: str) -> None:
    """Raise FrameRefusedError unless an image matches its encoding and has finite values."""
    dtype, channels = parse_encoding(encoding)
    if image.ndim not in (2, 3) or not image.size:
        raise FrameRefusedError(f"the image is empty, of shape {image.shape}")
    found = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != dtype or found != channels:
        raise FrameRefusedError(f"encoding {encoding}, but the image has {found} channels of {image.dtype}")
    if image.dtype == np.float32 and not np.isfinite(image.sum(dtype=np.float64)):
        raise FrameRefusedError("the image has values that are not finite")
