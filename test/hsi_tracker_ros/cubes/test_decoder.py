from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from hsi_tracker_ros.cubes.camera_file import SpectralCorrection, read_camera_file
from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.decoder import Decoder, FieldCorrection, make_decoder
from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic
from hsi_tracker_ros.cubes.sensor import Sensor, SensorArea
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.spectral_info import Calibration, SpectralInfo

SHARED = Path(__file__).parents[4] / "shared" / "data" / "hyperspectral"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data at {SHARED}")

VIS = find_camera_preset("vis16")


def cube_of(dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, (8, 12, 16)).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "encoding"), [(np.uint8, "8UC16"), (np.uint16, "16UC16"), (np.float32, "32FC16")]
)
def test_cube_passes_without_copy(dtype: type, encoding: str) -> None:
    cube = cube_of(dtype)
    assert np.shares_memory(Decoder(VIS).decode(cube, encoding), cube)


@pytest.mark.parametrize(("dtype", "encoding"), [(np.uint8, "mono8"), (np.uint16, "mono16")])
def test_raw_mosaic_becomes_its_cube(dtype: type, encoding: str) -> None:
    cube = cube_of(dtype)
    decoder = Decoder(VIS)
    np.testing.assert_array_equal(decoder.decode(convert_cube_to_mosaic(cube, VIS), encoding), cube)
    assert decoder.cube_camera is not None
    assert decoder.cube_camera.mosaic is None


def test_whole_sensor_image_is_cut_to_filter_area() -> None:
    cube = cube_of()
    sensor = np.full((40, 55), 9999, np.uint16)
    sensor[3:35, 5:53] = convert_cube_to_mosaic(cube, VIS)
    decoder = Decoder(VIS, sensor=Sensor((55, 40), SensorArea(5, 3, 48, 32)))
    np.testing.assert_array_equal(decoder.decode(sensor, "mono16"), cube)
    np.testing.assert_array_equal(decoder.decode(convert_cube_to_mosaic(cube, VIS), "mono16"), cube)


def test_dark_and_flat_correct_an_uneven_sensor() -> None:
    rng = np.random.default_rng(1)
    scene = rng.uniform(0.1, 0.9, (32, 48))
    gain, dark = rng.uniform(100, 200, scene.shape), rng.uniform(5, 10, scene.shape).astype(np.float32)
    fields = FieldCorrection(dark, (dark + gain).astype(np.float32))
    raw = (dark + gain * scene).astype(np.float32)
    corrected = fields.correct(raw)
    np.testing.assert_allclose(corrected / corrected.mean(), scene / scene.mean(), rtol=1e-4)
    decoder = Decoder(VIS, fields=fields)
    assert decoder.decode(raw, "32FC1").dtype == np.float32
    assert decoder.cube_camera is not None
    assert decoder.cube_camera.calibration == Calibration.DARK | Calibration.FLAT


def test_spectral_correction_gives_virtual_bands() -> None:
    matrix = np.zeros((2, 16), np.float32)
    matrix[0, 3], matrix[1, 5] = 2.0, 1.0
    decoder = Decoder(VIS, correction=SpectralCorrection(matrix, (510.0, 600.0)))
    cube = cube_of()
    np.testing.assert_allclose(
        decoder.decode(cube, "16UC16"), np.stack([2.0 * cube[..., 3], cube[..., 5]], -1)
    )
    assert decoder.cube_camera is not None
    assert decoder.cube_camera.wavelengths_nm == (510.0, 600.0)


def test_correction_of_another_camera_is_refused() -> None:
    with pytest.raises(SourceError, match="25 bands, the camera has 16"):
        Decoder(VIS, correction=SpectralCorrection(np.zeros((2, 25), np.float32), (510.0, 600.0)))


@pytest.mark.parametrize(
    ("image", "encoding", "reason"),
    [
        (np.zeros((0, 8, 16), np.uint16), "16UC16", "empty"),
        (np.zeros((4, 4, 15), np.uint16), "16UC15", "15 bands, but the camera has 16"),
        (np.zeros((4, 4, 16), np.uint8), "16UC16", "channels of uint8"),
        (np.zeros((4, 4, 16), np.uint16), "bayer_rggb8", "not known.*mono16"),
        (np.full((4, 4, 16), np.nan, np.float32), "32FC16", "not finite"),
        (np.full((4, 4, 16), np.inf, np.float32), "32FC16", "not finite"),
        (np.zeros((6, 8), np.uint16), "mono16", "whole number of periods"),
    ],
)
def test_unusable_image_is_refused_with_reason(image: np.ndarray, encoding: str, reason: str) -> None:
    with pytest.raises(FrameRefusedError, match=reason):
        Decoder(VIS).decode(image, encoding)


def test_decoder_of_recording_gives_cubes_or_color_images() -> None:
    cube, picture = cube_of(), cube_of(np.uint8)[..., :3]
    of_cubes, of_pictures = make_decoder(VIS), make_decoder(None)
    assert (of_cubes.cube_camera.wavelengths_nm, of_pictures.cube_camera) == (VIS.wavelengths_nm, None)
    np.testing.assert_array_equal(of_cubes.decode(cube, "16UC16"), cube)
    np.testing.assert_array_equal(of_pictures.decode(picture, "rgb8"), picture[..., ::-1])
    with pytest.raises(FrameRefusedError, match=r"encoding must be bgr8"):
        of_pictures.decode(cube, "16UC16")


def test_raw_image_of_unknown_camera_is_refused() -> None:
    with pytest.raises(FrameRefusedError, match="SpectralInfo"):
        Decoder(None).decode(np.zeros((4, 4), np.uint16), "mono16")


def test_raw_image_without_mosaic_is_refused() -> None:
    with pytest.raises(FrameRefusedError, match="1 bands, but the camera has 2"):
        Decoder(SpectralInfo((500.0, 600.0))).decode(np.zeros((4, 4), np.uint16), "mono16")


def test_fields_of_different_size_are_refused() -> None:
    with pytest.raises(SourceError, match="flat field"):
        FieldCorrection(np.zeros((4, 4)), np.ones((4, 5)))
    with pytest.raises(FrameRefusedError, match="dark field"):
        FieldCorrection(np.zeros((4, 4))).correct(np.zeros((4, 5)))


@needs_shared
@pytest.mark.parametrize(
    ("name", "bands", "area", "virtual"),
    [
        ("CMV2K-SSM4x4-470_620-9.4.10.10_HS03-VIS.xml", 16, SensorArea(0, 32, 2048, 1024), 15),
        ("CMV2K-SSM5x5-665_975-13.8.15.1_HS02-NIR.xml", 25, SensorArea(0, 0, 2045, 1085), 25),
        ("CMV2K-SSM5x5-600_875-5.5.9.2.xml", 25, SensorArea(0, 3, 2045, 1080), 25),
    ],
)
def test_real_calibration_file_is_read(name: str, bands: int, area: SensorArea, virtual: int) -> None:
    file = read_camera_file(SHARED / name)
    assert len(file.camera.wavelengths_nm) == bands
    assert file.camera.bit_depth == 10
    assert file.sensor == Sensor((2048, 1088), area)
    assert file.correction is not None
    assert file.correction.matrix.shape == (virtual, bands)
    assert len(file.correction.wavelengths_nm) == virtual


@needs_shared
@pytest.mark.parametrize(("name", "known"), [("*VIS.xml", "vis16"), ("*NIR.xml", "nir25")])
def test_presets_equal_the_real_sensors(name: str, known: str) -> None:
    camera = read_camera_file(next(SHARED.glob(name))).camera
    np.testing.assert_allclose(camera.wavelengths_nm, find_camera_preset(known).wavelengths_nm, atol=0.06)
    np.testing.assert_allclose(camera.fwhm_nm, find_camera_preset(known).fwhm_nm, atol=0.06)


@needs_shared
def test_real_sensor_image_gives_the_real_cube() -> None:
    file = read_camera_file(next(SHARED.glob("*VIS.xml")))
    cube = tifffile.imread(SHARED / "vis_16band_256x512.tif")
    sensor = np.zeros((1088, 2048), np.uint8)
    sensor[32:1056] = convert_cube_to_mosaic(cube, file.camera)
    np.testing.assert_array_equal(Decoder(file.camera, sensor=file.sensor).decode(sensor, "mono8"), cube)


@needs_shared
def test_dark_and_flat_correct_a_real_flat_field() -> None:
    dark, flat = (
        cv2.imread(str(SHARED / "cms_v_mosaic" / f"{name}_field.png"), cv2.IMREAD_UNCHANGED)[:1023, :1278]
        for name in ("dark", "flat")
    )
    decoder = Decoder(find_camera_preset("cms_v9"), fields=FieldCorrection(dark, flat))
    corrected = decoder.decode(flat, "mono8")
    assert corrected.std() < 1e-3 * corrected.mean()


def test_yaml_camera_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text("wavelengths_nm: [500, 600]\nmosaic: [1, 2]\nbit_depth: 12\n")
    camera = read_camera_file(path).camera
    assert camera.wavelengths_nm == (500, 600)
    assert camera.mosaic == (1, 2)
    assert camera.bit_depth == 12


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.yaml", "wavelengths: [500]", "not a camera file"),
        ("a.yaml", "[", "not a camera file"),
        ("a.yaml", "wavelengths_nm: [500, 600]\nmosaic: [2, 2]", "4 values"),
        ("a.xml", "<sensor", "not XML"),
        ("a.xml", "<scene/>", "sensor_calibration"),
        ("a.xml", "<sensor_calibration/>", "layout MOSAIC"),
    ],
)
def test_invalid_camera_file_error_names_the_fault(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SourceError, match=f"{name}.*{reason}"):
        read_camera_file(path)


def test_missing_camera_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.xml"):
        read_camera_file(tmp_path / "none.xml")


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 1)])
def test_dark_field_of_single_band_camera(shape: tuple[int, ...]) -> None:
    decoder = Decoder(SpectralInfo((550.0,)), fields=FieldCorrection(np.full((8, 6), 3, np.uint8)))
    cube = decoder.decode(np.full(shape, 10, np.uint8), "mono8" if len(shape) == 2 else "8UC1")
    np.testing.assert_array_equal(cube, np.full((8, 6, 1), 7, np.float32))


@pytest.mark.parametrize(
    ("encoding", "shape"), [("mono16", (4, 6)), ("16UC1", (4, 6, 1)), ("16UC3", (4, 6, 3))]
)
def test_color_image_of_16_bits_keeps_its_brightness(encoding: str, shape: tuple[int, ...]) -> None:
    decoder = make_decoder(None)
    bright, dark = np.full(shape, 4095, np.uint16), np.full(shape, 1024, np.uint16)

    decoded = [decoder.decode(image, encoding) for image in (bright, dark)]

    assert [image.shape for image in decoded] == [(4, 6, 3), (4, 6, 3)]
    assert [int(image.max()) for image in decoded] == [255, 64]


def test_dark_color_image_of_16_bits_is_not_stretched() -> None:
    image = np.full((4, 6), 100, np.uint16)

    assert make_decoder(None).decode(image, "mono16").max() == 25
