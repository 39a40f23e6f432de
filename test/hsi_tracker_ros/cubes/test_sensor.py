"""Filters on a sensor: whole images, filter areas and regions are found, everything else is refused."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_tracker_ros.cubes.camera_file import read_camera_file
from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.cameras import open_camera
from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.cubes.mosaic import convert_cube_to_mosaic
from hsi_tracker_ros.cubes.sensor import Sensor, SensorArea, parse_region
from tracking_runtime.errors import FrameRefusedError, SourceError

SENSOR = Sensor((2048, 1088), SensorArea(0, 3, 2045, 1080))
VIS = find_camera_preset("vis16")
YAML = """
wavelengths_nm: [500, 600, 700, 800]
mosaic: [2, 2]
sensor_size: [20, 12]
filter_area: [1, 1, 18, 10]
"""


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [((2048, 1088), slice(3, 1083), slice(0, 2045)), ((2045, 1080), slice(0, 1080), slice(0, 2045))],
)
def test_sensor_whole_image_and_filter_area_are_found(size, rows, columns):
    assert SENSOR.find_filters(size, (5, 5)) == (rows, columns)


@pytest.mark.parametrize(
    ("size", "cure"),
    [
        ((1024, 544), "binning 2 x 2, which mixes the bands; turn binning off"),
        ((512, 272), "binning 4 x 4"),
        ((1024, 544 + 2), "region=X,Y,1024,546"),
        ((2040, 1085), "2048 x 1088 of the sensor or 2045 x 1080 of the filters: got 2040 x 1085"),
        ((4096, 2176), "turn binning and scaling off"),
        ((1088, 2048), "got 1088 x 2048"),
    ],
)
def test_sensor_image_of_another_size_is_refused_with_the_cure(size, cure):
    with pytest.raises(FrameRefusedError, match=cure):
        SENSOR.find_filters(size, (5, 5))


@given(st.data())
def test_sensor_region_gives_the_cube_of_its_periods(data):
    periods = data.draw(st.tuples(st.integers(2, 6), st.integers(2, 6)))
    cube = np.arange(periods[0] * periods[1] * 16, dtype=np.uint16).reshape(*periods, 16)
    area = SensorArea(
        data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5)), periods[1] * 4, periods[0] * 4
    )
    whole = np.full((area.y + area.height + 3, area.x + area.width + 2), 9999, np.uint16)
    whole[area.y : area.y + area.height, area.x : area.x + area.width] = convert_cube_to_mosaic(cube, VIS)
    x, y = data.draw(st.integers(0, area.x + 4)), data.draw(st.integers(0, area.y + 4))
    region = SensorArea(x, y, whole.shape[1] - x, whole.shape[0] - y)
    first_row, first_column = (
        max(0, -(-(start - first) // 4)) for start, first in ((y, area.y), (x, area.x))
    )

    sensor = Sensor((whole.shape[1], whole.shape[0]), area, region)
    decoded = Decoder(VIS, sensor=sensor).decode(whole[y:, x:], "mono16")

    np.testing.assert_array_equal(decoded, cube[first_row:, first_column:])


def test_sensor_region_of_another_size_is_refused():
    sensor = Sensor((2048, 1088), SENSOR.filter_area, SensorArea(0, 0, 1024, 512))

    with pytest.raises(
        FrameRefusedError, match=r"has 1024 x 544 pixels, but the region of the sensor has 1024 x 512"
    ):
        sensor.find_filters((1024, 544), (5, 5))


def test_sensor_area_outside_is_an_error():
    with pytest.raises(ValueError, match="region must be inside the sensor of 2048 x 1088"):
        Sensor((2048, 1088), SENSOR.filter_area, SensorArea(2000, 0, 100, 100))
    with pytest.raises(SourceError, match="region must be x,y,width,height"):
        parse_region("1,2,3")


def test_camera_file_with_sensor_refuses_a_binned_mosaic(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(YAML)

    file = read_camera_file(path)
    decoder = Decoder(file.camera, sensor=file.sensor)

    assert decoder.decode(np.zeros((12, 20), np.uint16), "mono16").shape == (5, 9, 4)
    with pytest.raises(FrameRefusedError, match="turn binning off"):
        decoder.decode(np.zeros((6, 10), np.uint16), "mono16")


def test_open_camera_with_region_decodes_the_region(tmp_path, monkeypatch):
    (tmp_path / "camera.yaml").write_text(YAML)
    monkeypatch.setenv("HOME", str(tmp_path))

    for name in (f"{tmp_path}/camera.yaml", "~/camera.yaml", f"file://{tmp_path}/camera.yaml"):
        file = open_camera(f"{name}?region=4,2,10,8")
        decoder = Decoder(file.camera, sensor=file.sensor)
        # The first whole period begins at pixel 5, 3 of the sensor, that is 1, 1 of the region.
        assert decoder.decode(np.zeros((8, 10), np.uint8), "mono8").shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("camera.yaml?region=4,2", "region must be x,y,width,height"),
        ("camera.yaml?region=4,2,100,8", "region must be inside the sensor of 20 x 12"),
        ("plain.yaml?region=0,0,4,4", "add sensor_size to the file"),
        ("vis16?region=0,0,4,4", "vis16 must have the size of its sensor"),
        ("bad.yaml", "sensor_size must be 2 whole numbers"),
        ("worse.yaml", "filter_area must be inside the sensor"),
        ("vis17", "camera vis17 is unknown"),
        ("none.xml", "none.xml"),
    ],
)
def test_open_camera_unusable_names_the_fault(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "camera.yaml").write_text(YAML)
    (tmp_path / "plain.yaml").write_text("wavelengths_nm: [500, 600]\nmosaic: [1, 2]\n")
    (tmp_path / "bad.yaml").write_text(YAML.replace("[20, 12]", "[20, a]"))
    (tmp_path / "worse.yaml").write_text(YAML.replace("[20, 12]", "[10, 12]"))

    with pytest.raises(SourceError, match=reason):
        open_camera(name)


def test_open_camera_of_a_known_sensor_takes_its_whole_image_and_crops():
    file = open_camera("cms_v9")
    decoder = Decoder(file.camera, sensor=file.sensor)

    assert decoder.decode(np.zeros((1024, 1280), np.uint8), "mono8").shape == (341, 426, 9)
    assert decoder.decode(np.zeros((300, 600), np.uint8), "mono8").shape == (100, 200, 9)
    with pytest.raises(FrameRefusedError, match="whole number of periods"):
        decoder.decode(np.zeros((301, 600), np.uint8), "mono8")


XML = """<sensor_calibration version="1"><sensor_info><width>20</width><height>12</height></sensor_info>
<filter_info><calibration_info><bit_depth>10</bit_depth></calibration_info><filter_zones>
<filter_zone layout="MOSAIC"><filter_area><offset_x>1</offset_x><offset_y>1</offset_y><width>18</width>
<height>10</height></filter_area><pattern_width>2</pattern_width><pattern_height>2</pattern_height><bands>
{bands}</bands></filter_zone></filter_zones></filter_info></sensor_calibration>"""
BAND = "<band><peaks><peak><wavelength_nm>{nm}</wavelength_nm><fwhm_nm>9</fwhm_nm></peak></peaks></band>"


def write_xml(path, text=XML):
    path.write_text(text.format(bands="".join(BAND.format(nm=nm) for nm in (500, 600, 700, 800))))
    return path


def test_calibration_file_of_a_sensor_refuses_other_sizes(tmp_path):
    file = open_camera(str(write_xml(tmp_path / "camera.xml")))
    decoder = Decoder(file.camera, sensor=file.sensor)

    assert decoder.decode(np.zeros((12, 20), np.uint16), "mono16").shape == (5, 9, 4)
    assert decoder.decode(np.zeros((10, 18), np.uint16), "mono16").shape == (5, 9, 4)
    for height, width in ((6, 10), (3, 5), (8, 8), (24, 40)):
        with pytest.raises(FrameRefusedError, match="turn binning"):
            decoder.decode(np.zeros((height, width), np.uint16), "mono16")


@given(st.data())
def test_calibration_file_mutated_is_read_or_a_source_error(tmp_path_factory, data):
    path = write_xml(tmp_path_factory.mktemp("xml") / "camera.xml")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        new = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"-1", b"nan", b"9" * 40, b"<a/>", b""]))
        )
        content[start : start + data.draw(st.integers(0, 3))] = new
    path.write_bytes(content)

    with suppress(SourceError):
        read_camera_file(path)
