"""Cameras by their name or file, as parameters and options state them."""

from __future__ import annotations

from dataclasses import replace

from hsi_tracker_ros.cubes.camera_file import CameraFile, read_camera_file
from hsi_tracker_ros.cubes.camera_presets import PRESETS, SENSORS, find_camera_preset
from hsi_tracker_ros.cubes.sensor import parse_region
from tracking_runtime.errors import SourceError
from tracking_runtime.io.sources import expand_path

_REGION = "?region="


def open_camera(name: str) -> CameraFile:
    """Open the camera of a name or file.

    Args:
        name: name of a known camera, or path of a camera file. `FILE?region=x,y,width,height` is a camera
            that reads out a part of its sensor, in pixels.

    Raises:
        SourceError: the camera is unknown, the file is not a camera file, or the region does not fit.
    """
    text, separator, region = name.partition(_REGION)
    file = _read_camera(text)
    if not separator:
        return file
    if file.sensor is None:
        raise SourceError(
            f"{text} must have the size of its sensor to read out a region: add sensor_size to the file"
        )
    try:
        return replace(file, sensor=replace(file.sensor, region=parse_region(region)))
    except SourceError:
        raise
    except ValueError as error:
        raise SourceError(f"camera {name}: {error}") from error


def _read_camera(text: str) -> CameraFile:
    path = expand_path(text)
    if text in PRESETS or not (path.suffix or path.is_file()):
        return CameraFile(find_camera_preset(text), SENSORS.get(text))
    return read_camera_file(path)
