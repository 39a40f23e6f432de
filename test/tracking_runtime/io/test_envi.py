"""ENVI cubes: every layout gives the same samples; headers give bands and positions; damage is an error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io.cube_source import CubeSource
from tracking_runtime.io.envi import open_envi
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.io.sources import open_source
from tracking_runtime.spectral_info import Calibration

CODES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}
AXES = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}
WAVELENGTHS = "wavelength = {450.5,\n  550.25, 0650\n}\nwavelength units = Nanometers\n"


def make_cube(dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, (4, 5, 3)).astype(dtype)


def write_envi(
    header: Path,
    cube: np.ndarray,
    *,
    data: Path | None = None,
    interleave: str = "bsq",
    big_endian: bool = False,
    offset: int = 0,
    fields: str = "",
) -> Path:
    """Write a cube (lines, samples, bands) as an ENVI file, and return the path of its data."""
    lines, samples, bands = cube.shape
    code = CODES[cube.dtype.str[1:]]
    header.write_text(
        f"ENVI\ndescription = {{\n  a cube = of tests}}\nSamples={samples}\nlines   = {lines}\n"
        f"bands = {bands}\n"
        f"header offset = {offset}\nfile type = ENVI Standard\ndata type = {code}\n"
        f"interleave = {interleave.upper()}\n; a comment = 5\nbyte order = {int(big_endian)}\n{fields}"
    )
    data = data or header.with_suffix(".raw")
    stored = cube.transpose(AXES[interleave]).astype(cube.dtype.newbyteorder(">" if big_endian else "<"))
    data.write_bytes(bytes(offset) + stored.tobytes())
    return data


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("interleave", AXES)
@pytest.mark.parametrize("big_endian", [False, True])
def test_envi_every_layout_gives_the_same_samples(tmp_path, dtype, interleave, big_endian):
    cube = make_cube(dtype)
    write_envi(tmp_path / "a.hdr", cube, interleave=interleave, big_endian=big_endian, offset=7)

    frame = CubeSource(tmp_path / "a.hdr").read_frame(0)

    expected = cube if dtype in ("u1", "u2") else cube.astype(np.float32)
    np.testing.assert_array_equal(frame.image, expected)
    assert frame.image.dtype == expected.dtype and frame.image.flags.c_contiguous
    assert frame.encoding == {"u1": "8UC3", "u2": "16UC3"}.get(dtype, "32FC3")


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("a.hdr", "a.raw"),
        ("a.hdr", "a.dat"),
        ("a.hdr", "a.img"),
        ("a.hdr", "a.bin"),
        ("a.hdr", "a"),
        ("a.HDR", "a.DAT"),
        ("a.dat.hdr", "a.dat"),
        ("my.cube.hdr", "my.cube.bil"),
        ("a.hdr", "a.hyspex"),
        ("scene_v1.2.hdr", "scene_v1.2"),
    ],
)
def test_envi_header_and_data_names_find_each_other(tmp_path, header, data):
    write_envi(tmp_path / header, make_cube(), data=tmp_path / data)

    for name in (header, data):
        np.testing.assert_array_equal(open_source(tmp_path / name).read_frame(0).image, make_cube())


def test_envi_data_is_found_beside_other_files(tmp_path):
    write_envi(tmp_path / "a.hdr", make_cube())
    for name in ("a.png", "a.txt", "a.log", "a.xml", "a.sta", "._a.raw"):
        (tmp_path / name).write_bytes(b"other")

    np.testing.assert_array_equal(open_source(tmp_path / "a.hdr").read_frame(0).image, make_cube())


def test_envi_header_gives_bands_to_the_source(tmp_path):
    write_envi(tmp_path / "a.hdr", make_cube(), fields=WAVELENGTHS + "fwhm = {5, 6, 7}\nbbl = {1, 0, 1}\n")

    good, every = CubeSource(tmp_path / "a.hdr"), CubeSource(tmp_path / "a.hdr", bands="all")

    assert every.spectral_info.wavelengths_nm == (450.5, 550.25, 650.0)
    assert good.spectral_info.wavelengths_nm == (450.5, 650.0)
    assert good.spectral_info.fwhm_nm == (5.0, 7.0)
    assert "1 of 3 bands as bad" in " ".join(good.remarks)
    np.testing.assert_array_equal(good.read_frame(0).image, make_cube()[..., [0, 2]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wavelength = {0.4, 0.55, 2.5}\nwavelength units = Micrometers", (400.0, 550.0, 2500.0)),
        ("wavelength = {0.4, 0.55, 2.5}\nfwhm = {.01,.02,.03}", (400.0, 550.0, 2500.0)),
        ("wavelength = {400, 500, 600}\nwavelength units = Unknown", (400.0, 500.0, 600.0)),
        ("wavelength = {25000, 20000, 10000}\nwavelength units = Wavenumber", (400.0, 500.0, 1000.0)),
        ("wavelength = {1, 2, 3}\nwavelength units = Index", None),
        ("band names = {Band 1 (450.5 nm), Band 2 (0.55 um), 600 Nanometers}", (450.5, 550.0, 600.0)),
        ("band names = {Red, Green, Blue}", None),
    ],
)
def test_envi_wavelengths_of_any_unit_become_nanometers(tmp_path, text, expected):
    write_envi(tmp_path / "a.hdr", make_cube(), fields=text + "\n")

    info = CubeSource(tmp_path / "a.hdr").spectral_info

    assert (info and info.wavelengths_nm) == expected
    if "fwhm" in text:
        assert info.fwhm_nm == pytest.approx((10.0, 20.0, 30.0))


def test_envi_reflectance_scale_gives_reflectance(tmp_path):
    write_envi(
        tmp_path / "a.hdr", make_cube("i2"), fields=WAVELENGTHS + "reflectance scale factor = 10000.0\n"
    )

    source = CubeSource(tmp_path / "a.hdr")

    np.testing.assert_allclose(source.read_frame(0).image, make_cube() / 10000, rtol=1e-6)
    assert source.spectral_info.calibration == Calibration.REFLECTANCE


def test_envi_gain_offset_and_ignored_value_are_applied(tmp_path):
    cube = make_cube("i2")
    cube[1, 2] = -9999
    fields = "data gain values = {2, 3, 4}\ndata offset values = {10, 0, -1}\ndata ignore value = -9999\n"
    write_envi(tmp_path / "a.hdr", cube, fields=fields)

    image = CubeSource(tmp_path / "a.hdr", bands="3,1").read_frame(0).image

    valid = cube[..., [2, 0]].astype(float)
    valid[1, 2] = valid[valid >= 0].min()
    np.testing.assert_allclose(image, valid * [4, 2] + [-1, 10])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{UTM, 1.000, 1.000, 399960, 4700040, 10, 10, 33, North, WGS-84, units=Meters}",
            GeoReference(((10, 0, 399960), (0, -10, 4700040)), "EPSG:32633"),
        ),
        (
            "{Geographic Lat/Lon, 1.5, 1.5, 10, 50, 0.5, 0.25, WGS-84}",
            GeoReference(((0.5, 0, 9.75), (0, -0.25, 50.125)), "EPSG:4326"),
        ),
        ("{Arbitrary, 1, 1, 0, 0, 1, 1}", None),
    ],
)
def test_envi_map_info_gives_the_georeference(tmp_path, text, expected):
    write_envi(tmp_path / "a.hdr", make_cube(), fields=f"map info = {text}\n")

    assert CubeSource(tmp_path / "a.hdr").georeference == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("lines   = 4", "lines = 400"), "a.raw is cut short, .* got 120 bytes, expected 12000"),
        (("lines   = 4", "lines = 99999999999"), "lines must be a whole number"),
        (("lines   = 4", "lines = -4"), "lines must be a whole number"),
        (("lines   = 4", ""), "the field lines is missing"),
        (("data type = 12", "data type = 6"), "data type must be .*complex"),
        (("BSQ", "BXQ"), "interleave must be"),
        (("byte order = 0", "byte order = 2"), "byte order must be"),
        (("ENVI\n", "ENIV\n"), "first line must be ENVI"),
        (("byte order = 0", "byte order = 0\nbbl = {1, 1}"), "bbl must be 3 finite numbers"),
        (("byte order = 0", "byte order = 0\nwavelength = {0, 1, 2}"), "unusable wavelengths"),
        (("byte order = 0", "byte order = 0\nwavelength = {1, 2, 3"), "wavelength is not closed"),
        (("byte order = 0", "byte order = 0\nmap info = {UTM, a, b}"), "map info is malformed"),
        (("ENVI Standard", "ENVI Spectral Library"), "must describe a cube"),
        (("byte order = 0", "byte order = 0\nfile compression = 1"), "without compression"),
    ],
)
def test_envi_malformed_header_is_an_error_that_names_it(tmp_path, change, reason):
    write_envi(tmp_path / "a.hdr", make_cube())
    header = tmp_path / "a.hdr"
    header.write_text(header.read_text().replace(*change))

    with pytest.raises(SourceError, match=reason) as error:
        open_envi(header)
    assert str(tmp_path) in str(error.value)


def test_envi_missing_or_doubled_data_is_an_error(tmp_path):
    data = write_envi(tmp_path / "a.hdr", make_cube())
    (tmp_path / "a.img").write_bytes(data.read_bytes())
    with pytest.raises(SourceError, match=r"needs one data file .* got a.img, a.raw"):
        open_envi(tmp_path / "a.hdr")

    data.unlink()
    (tmp_path / "a.img").unlink()
    with pytest.raises(SourceError, match=r"needs one data file .* got none"):
        open_envi(tmp_path / "a.hdr")


def test_envi_larger_than_a_limit_is_refused_before_reading(tmp_path, monkeypatch):
    write_envi(tmp_path / "a.hdr", make_cube())
    monkeypatch.setenv("RSTRACK_MAX_IMAGE_BYTES", "100")

    with pytest.raises(SourceError, match="RSTRACK_MAX_IMAGE_BYTES"):
        CubeSource(tmp_path / "a.hdr").read_frame(0)
    assert CubeSource(tmp_path / "a.hdr", bands="1").read_frame(0).encoding == "mono16"


@settings(max_examples=150)
@given(st.data())
def test_envi_mutated_header_opens_or_is_a_source_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("envi")
    header = folder / "a.hdr"
    fields = WAVELENGTHS + "map info = {UTM, 1, 1, 3, 4, 1, 1, 33, North, WGS-84}\nbbl = {1,1,0}\n"
    write_envi(header, make_cube(), fields=fields)
    content = bytearray(header.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 4, len(content))))
        content[start:end] = data.draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from([b"{", b"}", b"=", b"\n", b"9" * 30, b"nan", b"-1", b"1e999"]),
            )
        )
    header.write_bytes(content)

    with suppress(SourceError):
        CubeSource(header).read_frame(0)
