"""Camera of the tracker node: as configured, or as described by `spectral_info`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hsi_tracker_ros.cubes.camera_file import CameraFile
from hsi_tracker_ros.cubes.cameras import open_camera
from hsi_tracker_ros.cubes.decoder import Decoder, FieldCorrection
from tracking_runtime.io.image_file import read_image_file
from tracking_runtime.spectral_info import SpectralInfo

RGB = "rgb"
"""Name of a color camera, for a model's RGB branch."""
_MODEL = "model"
_SPECTRAL_INFO = "spectral_info"


@dataclass(frozen=True)
class ActiveCamera:
    """Camera as far as it is known.

    Attributes:
        name: name or path from the parameters, `rgb`, `spectral_info`, or `model` if the model has to know.
        file: bands, mosaic and corrections; None: unknown.
        fields: dark and flat field; None: no correction.
    """

    name: str
    file: CameraFile | None
    fields: FieldCorrection | None = field(compare=False)

    @classmethod
    def open(cls, name: str, dark_field: str, flat_field: str) -> ActiveCamera:
        """Open the camera that the parameters of the node name.

        Args:
            name: name of a camera, path of a camera file (see `open_camera`), `rgb`, or empty.
            dark_field: path of the dark field; empty: none.
            flat_field: path of the flat field; empty: none.

        Raises:
            SourceError: the camera is unknown, or a file cannot be read.
        """
        fields = _read_fields(dark_field, flat_field)
        if not name or name == RGB:
            return cls(name or _MODEL, None, fields)
        return cls(name, open_camera(name), fields)

    @property
    def is_rgb(self) -> bool:
        """Color camera, for a model's RGB branch."""
        return self.name == RGB

    @cached_property
    def decoder(self) -> Decoder:
        """Decoder of the camera's images."""
        if self.file is None:
            return Decoder(None, fields=self.fields)
        return Decoder(
            self.file.camera, sensor=self.file.sensor, fields=self.fields, correction=self.file.correction
        )

    def with_spectral_info(self, camera: SpectralInfo) -> ActiveCamera:
        """Return this camera with the bands that it has published.

        Raises:
            ValueError: the images are corrected already, and the node would correct them again.
        """
        if self.fields is not None and (repeated := camera.calibration & self.fields.calibration):
            raise ValueError(
                f"the images of the camera are corrected already: got calibration {repeated!r}; "
                "leave dark_field and flat_field empty"
            )
        return ActiveCamera(_SPECTRAL_INFO, CameraFile(camera), self.fields)


def _read_fields(dark_field: str, flat_field: str) -> FieldCorrection | None:
    """Read the images of dark and flat field. Raise SourceError if that is not possible."""
    if not dark_field:
        return None
    images = [read_image_file(Path(path))[0] for path in (dark_field, flat_field) if path]
    return FieldCorrection(*images)
