from dataclasses import replace

import numpy as np
import pytest
import tifffile

from hsi_tracker_ros.camera import ActiveCamera
from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from tracking_runtime.errors import SourceError
from tracking_runtime.spectral_info import Calibration


@pytest.mark.parametrize(
    ("parameter", "name", "is_rgb", "has_bands"),
    [("", "model", False, False), ("rgb", "rgb", True, False), ("vis16", "vis16", False, True)],
)
def test_camera_is_opened_by_parameter(parameter, name, is_rgb, has_bands):
    camera = ActiveCamera.open(parameter, "", "")

    assert camera.name == name
    assert camera.is_rgb == is_rgb
    assert (camera.decoder.cube_camera is not None) == has_bands


def test_unknown_camera_is_refused():
    with pytest.raises(SourceError, match="absent"):
        ActiveCamera.open("absent", "", "")


def test_camera_with_spectral_info_has_its_bands():
    bands = find_camera_preset("vis16")

    camera = ActiveCamera.open("", "", "").with_spectral_info(bands)

    assert camera.name == "spectral_info"
    assert camera.decoder.cube_camera.wavelengths_nm == bands.wavelengths_nm
    assert camera == camera.with_spectral_info(bands)


def test_camera_with_corrected_images_refuses_dark_field(tmp_path):
    path = tmp_path / "dark.tif"
    tifffile.imwrite(path, np.zeros((4, 4), np.uint16))
    camera = ActiveCamera.open("", str(path), "")
    corrected = replace(find_camera_preset("vis16"), calibration=Calibration.DARK)

    with pytest.raises(ValueError, match="leave dark_field and flat_field empty"):
        camera.with_spectral_info(corrected)
