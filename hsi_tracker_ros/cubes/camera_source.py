"""Frames of any source as cubes of a camera: raw mosaics with the camera's file, or cubes without bands."""

from __future__ import annotations

from dataclasses import replace

from hsi_tracker_ros.cubes.cameras import open_camera
from hsi_tracker_ros.cubes.decoder import Decoder
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.cube_file import find_encoding
from tracking_runtime.io.reflectance import ReflectanceSource
from tracking_runtime.io.wrapped_source import WrappedSource
from tracking_runtime.spectral_info import SpectralInfo


class CameraSource(WrappedSource):
    """A source whose images are decoded to cubes as the node `hsi_tracker` decodes those of its camera.

    Raw mosaics are cut to the camera's filter area. References are applied before, and the camera's spectral
    correction after the mosaic is decoded. Cubes keep their pixels and get the bands of the camera.

    Args:
        source: raw mosaics, or cubes.
        camera: name of a known camera, or path of a camera file, see `open_camera`.
        white: white reference, as for `ReflectanceSource`; empty: none.
        dark: dark reference; empty: none.

    Raises:
        SourceError: the camera is unknown, or a file cannot be read.
    """

    def __init__(self, source: FrameSource, camera: str, *, white: str = "", dark: str = "") -> None:
        self._name = str(camera)
        file = open_camera(self._name)
        self._corrected: ReflectanceSource | None = None
        if white or dark:
            black_level = file.camera.black_level
            self._corrected = ReflectanceSource(source, white=white, dark=dark, black_level=black_level)
        super().__init__(self._corrected or source)
        self._decoder = Decoder(file.camera, sensor=file.sensor, correction=file.correction)

    @property
    def spectral_info(self) -> SpectralInfo:
        """Bands of the cubes."""
        bands = self._decoder.cube_camera
        if bands is None:
            raise RuntimeError("the decoder of a camera has bands")
        described = self.source.spectral_info
        if described is not None:
            bands = replace(bands, calibration=bands.calibration | described.calibration)
        return bands if self._corrected is None else self._corrected.describe_corrected(bands)

    @property
    def options_text(self) -> str:
        """Options of the source, as far as its frames depend on them, as text."""
        return f"{super().options_text} camera={self._name}"

    def convert_frame(self, frame: Frame) -> Frame:
        """Return the frame as a cube.

        Raises:
            SourceError: the image does not fit the camera. The message gives the reason.
        """
        try:
            cube = self._decoder.decode(frame.image, frame.encoding)
        except FrameRefusedError as error:
            raise SourceError(f"{self.path or self.name}: {error}") from error
        return replace(frame, image=cube, encoding=find_encoding(cube))
