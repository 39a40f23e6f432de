"""Raw mosaics of a folder or file as cubes of a camera, as the node decodes them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic
from tracking_runtime.errors import SourceError
from tracking_runtime.io.sources import open_source
from tracking_runtime.spectral_info import Calibration

VIS = find_camera_preset("vis16")
CUBES = np.random.default_rng(6).integers(100, 1000, (3, 6, 8, 16)).astype(np.uint16)


@pytest.fixture
def mosaics(tmp_path):
    """Folder of three raw mosaics of vis16, with a ground truth in pixels of the cube."""
    folder = tmp_path / "mosaics"
    folder.mkdir()
    for number, cube in enumerate(CUBES):
        cv2.imwrite(str(folder / f"{number}.png"), convert_cube_to_mosaic(cube, VIS))
    (folder / "groundtruth.txt").write_text("1,2,3,4\n" * 3)
    return folder


def test_camera_source_decodes_a_folder_of_mosaics(mosaics):
    source = open_source(mosaics, camera="vis16", rate=25)
    frames = list(source)

    np.testing.assert_array_equal([frame.image for frame in frames], CUBES)
    assert {frame.encoding for frame in frames} == {"16UC16"}
    assert source.spectral_info.wavelengths_nm == VIS.wavelengths_nm
    assert source.spectral_info.mosaic is None
    assert (source.rate_hz, source.name, len(source)) == (25.0, "mosaics", 3)
    np.testing.assert_array_equal(frames[0].truth.boxes, [[1, 2, 3, 4]])
    assert len(source.truth) == 3


def test_camera_source_by_address_decodes_a_single_file(mosaics):
    source = open_source(f"{mosaics / '1.png'}?camera=vis16")

    np.testing.assert_array_equal([frame.image for frame in source], CUBES[1:2])


def test_camera_source_gives_bands_to_cubes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", CUBES[0], photometric="minisblack", planarconfig="contig")

    source = open_source(tmp_path / "a.tif", camera="vis16")

    np.testing.assert_array_equal(next(iter(source)).image, CUBES[0])
    assert source.spectral_info.wavelengths_nm == VIS.wavelengths_nm


def test_camera_source_with_references_gives_reflectance(mosaics, tmp_path):
    dark = np.full((24, 32), 50, np.uint16)
    white = np.random.default_rng(7).integers(1500, 3000, (24, 32)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "dark.png"), dark)
    cv2.imwrite(str(tmp_path / "white.png"), white)

    source = open_source(mosaics, camera="vis16", white=tmp_path / "white.png", dark=tmp_path / "dark.png")

    mosaic = convert_cube_to_mosaic(CUBES[0], VIS).astype(float)
    expected = (mosaic - 50) / (white - 50.0)
    np.testing.assert_allclose(convert_cube_to_mosaic(next(iter(source)).image, VIS), expected, rtol=1e-5)
    info = source.spectral_info
    assert info.calibration == Calibration.DARK | Calibration.FLAT | Calibration.REFLECTANCE
    assert (info.saturation_level, info.bit_depth) == (0.0, 0)


def test_camera_source_white_alone_subtracts_the_black_level(mosaics, tmp_path):
    (tmp_path / "camera.yaml").write_text(
        f"wavelengths_nm: {list(VIS.wavelengths_nm)}\nmosaic: [4, 4]\nblack_level: 50\n"
    )
    cv2.imwrite(str(tmp_path / "white.png"), np.full((24, 32), 1050, np.uint16))

    source = open_source(mosaics, camera=tmp_path / "camera.yaml", white=tmp_path / "white.png")

    np.testing.assert_allclose(next(iter(source)).image, (CUBES[0] - 50.0) / 1000, rtol=1e-5)


def test_camera_source_of_a_binned_mosaic_names_file_and_cure(mosaics, tmp_path):
    (tmp_path / "camera.yaml").write_text(
        f"wavelengths_nm: {list(VIS.wavelengths_nm)}\nmosaic: [4, 4]\nsensor_size: [64, 48]\n"
    )

    with pytest.raises(SourceError, match=r"mosaics: the raw mosaic must have .* turn binning off"):
        list(open_source(mosaics, camera=tmp_path / "camera.yaml"))


def test_camera_source_unknown_camera_is_an_error(mosaics):
    with pytest.raises(SourceError, match="camera vis17 is unknown"):
        open_source(mosaics, camera="vis17")
