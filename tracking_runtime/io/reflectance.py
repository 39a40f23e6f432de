"""White and dark reference: the digital numbers of any source as reflectance."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.cube_file import find_encoding
from tracking_runtime.io.cube_source import CubeSource
from tracking_runtime.io.notes import add_note
from tracking_runtime.io.wrapped_source import WrappedSource
from tracking_runtime.spectral_info import Calibration, SpectralInfo

_Fit = tuple[tuple[int, ...], NDArray[np.float32] | None, NDArray[np.float32] | np.float32]
"""Shape of the frames, and the factor and dark reference for them."""

_MAX_UNLIT_FRACTION = 0.5  # of the samples of a white reference; more mean that it is not one


class ReflectanceSource(WrappedSource):
    """A source whose frames are corrected by references of the same camera.

    With a white reference, samples become (image - dark) / (white - dark): 1 is as bright as the reference.
    A dark reference alone is subtracted, and samples stay digital numbers.

    Args:
        source: frames to correct: cubes, or raw mosaics before they are decoded.
        white: address of an image or cube of an evenly lit white surface; empty: none. A file with several
            frames, or with another number of lines than the frames, as a line scanner records, is averaged.
        dark: the same without light; empty: the black level.
        black_level: digital number without light. None: that of the bands, if known, else 0.

    Raises:
        SourceError: a reference cannot be read, or the frames are corrected already.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        white: str | Path = "",
        dark: str | Path = "",
        black_level: float | None = None,
    ) -> None:
        super().__init__(source)
        if not white and not dark:
            raise SourceError(f"{source.name} needs a white or a dark reference: got none")
        self._white, self._dark = str(white), str(dark)
        self._fitted: _Fit | None = None
        info = source.spectral_info
        self._black_level = black_level if black_level is not None else info.black_level if info else 0.0
        if info is not None and info.calibration & self.applied_calibration:
            raise SourceError(
                f"{source.name} is corrected already: got the calibration {info.calibration!r}; leave out "
                "the white and dark reference"
            )

    @cached_property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of the corrected frames; None if they are not described."""
        info = self.source.spectral_info
        if info is None:
            return None
        return self.describe_corrected(info)

    @property
    def applied_calibration(self) -> Calibration:
        """Steps of calibration that this source does."""
        flat = Calibration.FLAT | Calibration.REFLECTANCE if self._white else Calibration.NONE
        return flat | (Calibration.DARK if self._dark else Calibration.NONE)

    def describe_corrected(self, bands: SpectralInfo) -> SpectralInfo:
        """Return the description of bands after the correction."""
        calibration = bands.calibration | self.applied_calibration
        return replace(bands, bit_depth=0, black_level=0.0, saturation_level=0.0, calibration=calibration)

    @property
    def options_text(self) -> str:
        """Options of the source, as far as its frames depend on them, as text."""
        return f"{super().options_text} white={self._white} dark={self._dark}"

    def convert_frame(self, frame: Frame) -> Frame:
        """Return the corrected frame.

        Raises:
            SourceError: a reference has another size than the frame.
        """
        scale, dark = self._find_correction(frame.image)
        image = frame.image.astype(np.float32)
        image -= dark
        if scale is not None:
            image *= scale
        return replace(frame, image=image, encoding=find_encoding(image))

    @cached_property
    def _references(self) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """White and dark reference as they are stored."""
        white, dark = (read_reference(address) if address else None for address in (self._white, self._dark))
        return white, dark

    def _find_correction(
        self, image: NDArray[Any]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | np.float32]:
        """Return the factor and the dark reference for images of a shape."""
        # The frames of a source have one size, so that one fit is enough.
        if self._fitted is None or self._fitted[0] != image.shape:
            self._fitted = (image.shape, *self._fit_references(image.shape))
        return self._fitted[1], self._fitted[2]

    def _fit_references(
        self, shape: tuple[int, ...]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | np.float32]:
        white, dark = self._references
        fitted_dark: Any = np.float32(self._black_level)
        if dark is not None:
            fitted_dark = self._fit(dark, shape, self._dark)
        if white is None:
            return None, fitted_dark
        light = np.asarray(self._fit(white, shape, self._white) - fitted_dark, np.float32)
        is_lit = light > 0
        num_unlit = int(np.count_nonzero(~is_lit))
        if num_unlit > _MAX_UNLIT_FRACTION * light.size:
            raise SourceError(
                f"{self._white} must be brighter than the dark reference: got {num_unlit} of {light.size} "
                "samples that are not; exchange the references, or take them again"
            )
        if num_unlit:
            add_note(
                f"{self._white}: {num_unlit} of {light.size} samples are not brighter than the dark "
                "reference; their reflectance is 0"
            )
        return np.divide(1, light, out=np.zeros_like(light), where=is_lit), fitted_dark

    def _fit(self, reference: NDArray[np.float32], shape: tuple[int, ...], path: str) -> NDArray[np.float32]:
        """Return a reference that numpy broadcasts to a shape: itself, or the mean of its lines."""
        bands = getattr(self.source, "band_indices", None)
        height, width, num_bands = (*shape, 1)[:3]
        fitted = reference if reference.ndim == 3 else reference[..., None]
        if fitted.shape[2] != num_bands and bands is not None and max(bands) < fitted.shape[2]:
            fitted = fitted[..., list(bands)]  # those that the source uses
        if fitted.shape[0] != height:
            fitted = fitted.mean(axis=0, keepdims=True)
        if fitted.shape[1] not in (1, width) or fitted.shape[2] != num_bands:
            raise SourceError(
                f"{path} must fit the frames: got {_describe(reference.shape)}, expected {_describe(shape)}, "
                "or lines of this width; give the reference of this camera"
            )
        return fitted if len(shape) == 3 else fitted[..., 0]


def read_reference(address: str | Path) -> NDArray[np.float32]:
    """Read a white or dark reference: the mean of the frames of a file or folder, (H, W) or (H, W, bands).

    Args:
        address: path of images or cubes; the options of cubes may follow, as `?variable=white`.

    Raises:
        SourceError: the reference cannot be read, or its frames differ in size.
    """
    from tracking_runtime.io.sources import parse_address

    parsed = parse_address(address)
    source = CubeSource(parsed.location, **{"bands": "all", **parsed.options})
    total: NDArray[np.float64] = np.zeros((), np.float64)
    for frame in source:
        total = total + frame.image
    return (total / len(source)).astype(np.float32)


def _describe(shape: tuple[int, ...]) -> str:
    height, width, bands = (*shape, 1)[:3]
    return f"{width} x {height} pixels and {bands} bands"
