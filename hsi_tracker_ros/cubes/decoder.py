"""Images of a spectral camera to cubes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.camera_file import Area, SpectralCorrection
from hsi_tracker_ros.cubes.mosaic import to_cube
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.spectral_info import Calibration, SpectralInfo

_NAMED_ENCODINGS = {
    "mono8": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "bgr8": (np.uint8, 3),
    "rgb8": (np.uint8, 3),
}
_TYPES = {"8U": np.uint8, "16U": np.uint16, "32F": np.float32}


@dataclass(frozen=True)
class FieldCorrection:
    """Dark and flat field of a camera, images of the shape of its own.

    Attributes:
        dark: an exposure without light.
        flat: an exposure of an even white surface; None: only the dark is subtracted.
    """

    dark: NDArray[Any]
    flat: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.flat is not None and self.flat.shape != self.dark.shape:
            raise SourceError(f"the dark field is {self.dark.shape}, the flat field {self.flat.shape}")

    def correct(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """``(image - dark) / (flat - dark)`` times the flat's mean, so that digital numbers keep their size.

        Raises:
            FrameRefused: the image is of another shape.
        """
        if image.shape != self.dark.shape:
            raise FrameRefusedError(
                f"an image of shape {image.shape}, but its dark field is {self.dark.shape}"
            )
        result = image.astype(np.float32)
        result -= self.dark
        if self.flat is not None:
            light = np.maximum(self.flat.astype(np.float32) - self.dark, 1.0)
            result *= light.mean() / light
        return result

    @property
    def applied(self) -> Calibration:
        """What ``correct`` does."""
        return Calibration.DARK if self.flat is None else Calibration.DARK | Calibration.FLAT


class Decoder:
    """Turns images as they come over the wire into cubes.

    A cube that needs nothing done to it is passed on as a view; a raw mosaic is copied once.

    Args:
        camera: the bands, and the mosaic if images are raw. None: images are cubes of any number of bands.
        area: the window of a raw image that has filters, if images may come whole.
        fields: dark and flat field to correct images with.
        correction: from the camera's bands to virtual bands.

    Attributes:
        cube_camera: the bands of the cubes that come out; None where ``camera`` is.

    Raises:
        SourceError: the correction is not for this camera.
    """

    def __init__(
        self,
        camera: SpectralInfo | None,
        *,
        area: Area | None = None,
        fields: FieldCorrection | None = None,
        correction: SpectralCorrection | None = None,
    ) -> None:
        self._camera, self._area, self._fields, self._correction = camera, area, fields, correction
        self.cube_camera = None if camera is None else _after(camera, fields, correction)

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[Any]:
        """The cube of an image.

        Args:
            image: ``(height, width)`` or ``(height, width, channels)``.
            encoding: as in sensor_msgs/Image: mono8, mono16, bgr8, rgb8, 8UC<n>, 16UC<n> or 32FC<n>.

        Returns:
            ``(height, width, bands)``: uint8, uint16 or float32; float32 after any correction.

        Raises:
            FrameRefused: the image cannot be used; the message says why.
        """
        _check(image, encoding)
        raw = image.ndim == 2 or image.shape[2] == 1
        if raw and self._camera is None:
            raise FrameRefusedError(
                f"a raw image ({encoding}), but nothing says how its mosaic lies: no SpectralInfo"
            )
        if raw and self._camera is not None and self._camera.mosaic is not None:
            cube = self._from_raw(image.reshape(image.shape[:2]), self._camera)
        else:
            plane = image.reshape(image.shape[:2]) if raw else image
            corrected = plane if self._fields is None else self._fields.correct(plane)
            cube = corrected.reshape(*image.shape[:2], -1)
        if self._camera is not None and cube.shape[2] != len(self._camera.wavelengths_nm):
            raise FrameRefusedError(
                f"an image of {cube.shape[2]} bands, but the camera has {len(self._camera.wavelengths_nm)}"
            )
        if self._correction is not None:
            flat = cube.reshape(-1, cube.shape[2]).astype(np.float32, copy=False)
            cube = (flat @ self._correction.matrix.T).reshape(*cube.shape[:2], -1)
        return cube

    def _from_raw(self, raw: NDArray[Any], camera: SpectralInfo) -> NDArray[Any]:
        if self._fields is not None:
            raw = self._fields.correct(raw)
        area = self._area
        if area is not None and raw.shape[0] >= area.y + area.height and raw.shape[1] >= area.x + area.width:
            raw = raw[area.y : area.y + area.height, area.x : area.x + area.width]
        return to_cube(raw, camera)


def to_picture(image: NDArray[Any], encoding: str) -> NDArray[np.uint8]:
    """The image of an ordinary camera as BGR, ``(height, width, 3)``.

    Args:
        image: ``(height, width)`` or ``(height, width, 3)``.
        encoding: mono8, bgr8, rgb8 or 8UC3.

    Raises:
        FrameRefused: the image cannot be used; the message says why.
    """
    _check(image, encoding)
    if encoding == "rgb8":
        return np.ascontiguousarray(image[..., ::-1])
    if encoding == "mono8":
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if encoding not in ("bgr8", "8UC3"):
        raise FrameRefusedError(
            f"an image {encoding} where a picture (bgr8, rgb8, mono8) is expected: nothing tells its bands"
        )
    return image


class PictureDecoder:
    """Turns images of an ordinary camera into BGR pictures, as ``Decoder`` turns others into cubes."""

    cube_camera: SpectralInfo | None = None

    def decode(self, image: NDArray[Any], encoding: str) -> NDArray[np.uint8]:
        """As of ``to_picture``."""
        return to_picture(image, encoding)


def decoder_of(camera: SpectralInfo | None) -> Decoder | PictureDecoder:
    """What decodes a recording's images: cubes of its camera, or pictures where nothing tells any bands."""
    return PictureDecoder() if camera is None else Decoder(camera)


def _after(
    camera: SpectralInfo, fields: FieldCorrection | None, correction: SpectralCorrection | None
) -> SpectralInfo:
    """The bands of a camera's cubes once everything has been done to them."""
    cube = replace(camera, mosaic=None, band_order=())
    if fields is not None:
        white = camera.saturation_level and max(camera.saturation_level - float(fields.dark.mean()), 0.0)
        cube = replace(
            cube, black_level=0.0, saturation_level=white, calibration=cube.calibration | fields.applied
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
    """Raise FrameRefused unless an image is what its encoding says and can be used."""
    pattern = re.fullmatch(r"(8U|16U|32F)C(\d+)", encoding)
    if pattern:
        dtype, channels = _TYPES[pattern[1]], int(pattern[2])
    elif encoding in _NAMED_ENCODINGS:
        dtype, channels = _NAMED_ENCODINGS[encoding]
    else:
        raise FrameRefusedError(
            f"encoding {encoding!r} is not known; known: {', '.join(_NAMED_ENCODINGS)}, "
            "8UC<n>, 16UC<n>, 32FC<n>"
        )
    if image.ndim not in (2, 3) or not image.size:
        raise FrameRefusedError(f"an empty image, of shape {image.shape}")
    found = 1 if image.ndim == 2 else image.shape[2]
    if image.dtype != dtype or found != channels:
        raise FrameRefusedError(f"encoding {encoding}, but the image has {found} channels of {image.dtype}")
    if image.dtype == np.float32 and not np.isfinite(image.sum(dtype=np.float64)):
        raise FrameRefusedError("the image has values that are not finite")
