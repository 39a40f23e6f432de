"""ESRI rasters: every layout gives the samples that other programs read, malformed headers are told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io import open_source
from tracking_runtime.io.esri_raster import open_esri
from tracking_runtime.io.source_description import describe_source
from tracking_runtime.io.source_kinds import CUBE, find_source_kind

ROWS, COLUMNS, BANDS = 5, 7, 3
TYPES = {
    "u1": "NBITS 8",
    "<u2": "NBITS 16\nBYTEORDER I",
    ">u2": "nbits 16\nbyteorder M\npixeltype UNSIGNEDINT",
    ">i2": "NBITS 16\nBYTEORDER M\nPIXELTYPE SIGNEDINT",
    "<f4": "NBITS 32\nBYTEORDER I\nPIXELTYPE FLOAT",
}


def make_cube(dtype):
    values = np.random.default_rng(0).integers(0, 120, (ROWS, COLUMNS, BANDS))
    return values.astype(dtype)


def pad(rows, num_bytes):
    """Return the bytes of rows, each with unused bytes behind it."""
    return b"".join(row.tobytes() + b"\xee" * num_bytes for row in rows)


def write_raster(folder, dtype, layout, *, row_gap=0, band_gap=0, skip=0):
    """Write a raster as other programs do, with unused bytes where the header allows them."""
    cube = make_cube(dtype)
    item = cube.dtype.itemsize
    if layout == "BIP":
        data = pad(cube, row_gap)
        extra = f"TOTALROWBYTES {COLUMNS * BANDS * item + row_gap}"
    elif layout == "BIL":
        lines = cube.transpose(0, 2, 1).reshape(-1, COLUMNS)
        data = pad(lines, row_gap)
        extra = f"BANDROWBYTES {COLUMNS * item + row_gap}"
    else:
        data = b"".join(pad(cube[..., band], row_gap) + b"\xee" * band_gap for band in range(BANDS))
        extra = f"BANDROWBYTES {COLUMNS * item + row_gap}\nBANDGAPBYTES {band_gap}"
    path = folder / f"scene.{layout.lower()}"
    path.write_bytes(b"\xee" * skip + data)
    header = f"NROWS {ROWS}\nNCOLS {COLUMNS}\nNBANDS {BANDS}\n{TYPES[dtype]}\nLAYOUT {layout}\n"
    path.with_suffix(".hdr").write_text(f"{header}SKIPBYTES {skip}\n{extra}\n")
    return path, cube


@pytest.mark.parametrize("layout", ["BIL", "BIP", "BSQ"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("row_gap", "band_gap", "skip"), [(0, 0, 0), (4, 6, 10)])
def test_esri_every_layout_gives_the_same_samples(tmp_path, dtype, layout, row_gap, band_gap, skip):
    path, cube = write_raster(tmp_path, dtype, layout, row_gap=row_gap, band_gap=band_gap, skip=skip)

    path.with_name(f"{path.name}.aux.xml").write_text("<PAMDataset><broken")

    for address in (path, path.with_suffix(".hdr"), tmp_path):
        (frame,) = open_source(address)

        assert find_source_kind(address) == CUBE
        np.testing.assert_array_equal(frame.image, cube.astype(frame.image.dtype))


@pytest.mark.parametrize("interleave", ["BIL", "BIP", "BSQ"])
def test_esri_raster_of_gdal_is_read_with_its_position(tmp_path, interleave):
    rasterio = pytest.importorskip("rasterio", reason="needs rasterio")
    samples = np.arange(3 * 5 * 7, dtype=np.int16).reshape(3, 5, 7) - 20
    transform = rasterio.transform.from_origin(500_000.0, 4_000_000.0, 2.0, 3.0)
    path = tmp_path / f"gdal.{interleave.lower()}"
    options = {"driver": "EHdr", "width": 7, "height": 5, "count": 3, "dtype": "int16"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **options) as dataset:
        dataset.write(samples)

    source = open_source(path)

    (frame,) = source
    np.testing.assert_array_equal(frame.image, np.moveaxis(samples, 0, 2))
    assert source.georeference is not None
    np.testing.assert_allclose(source.georeference.to_map((0, 0)), (500_000, 4_000_000))
    np.testing.assert_allclose(source.georeference.to_map((7, 5)), (500_014, 3_999_985))
    assert "UTM" in source.georeference.crs


def test_esri_header_position_is_the_center_of_the_first_pixel(tmp_path):
    path, _ = write_raster(tmp_path, "u1", "BIL")
    header = path.with_suffix(".hdr")
    header.write_text(f"{header.read_text()}ULXMAP 100.25\nULYMAP 50.25\nXDIM 0.5\nYDIM 0.5\nNODATA 7\n")

    file = open_esri(path)

    assert file.georeference is not None
    np.testing.assert_allclose(file.georeference.to_map((0, 0)), (100.0, 50.5))
    assert file.no_data == 7


def test_esri_raster_is_described(tmp_path):
    path, _ = write_raster(tmp_path, ">u2", "BSQ")

    description = describe_source(open_source(path), str(path), CUBE)

    assert description.image_size == (COLUMNS, ROWS)
    assert (description.num_channels, description.encoding) == (BANDS, "16UC3")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "NROWS 5",
            "NROWS 6",
            r"scene\.bil is cut short, or scene\.hdr .*expected 252 for 6 rows x 7 columns",
        ),
        ("NROWS 5", "NROWS 0", "NROWS must be a whole number of 1 or more: got '0'"),
        ("NBITS 16", "NBITS 4", "must be one of .* got UNSIGNEDINT of 4; convert the raster to GeoTIFF"),
        ("BYTEORDER M", "BYTEORDER X", r"BYTEORDER must be I \(little endian\) or M"),
        ("BYTEORDER M", "", "BYTEORDER must be .*: got none; add"),
        ("LAYOUT BIL", "LAYOUT BOX", "LAYOUT must be BIL, BIP or BSQ: got 'BOX'"),
        ("BANDROWBYTES 14", "BANDROWBYTES 13", "BANDROWBYTES must be 14 or more for the samples of a row"),
        ("SKIPBYTES 0", "SKIPBYTES -4", "SKIPBYTES must be a whole number"),
        ("SKIPBYTES 0", "NODATA none", "NODATA must be a number: got 'none'"),
        ("SKIPBYTES 0", "ULXMAP 0\nULYMAP 0\nXDIM 0\nYDIM 1", "ULXMAP, ULYMAP, XDIM and YDIM are no map"),
    ],
)
def test_esri_malformed_header_is_an_error_that_names_it(tmp_path, old, new, reason):
    path, _ = write_raster(tmp_path, ">u2", "BIL")
    header = path.with_suffix(".hdr")
    text = header.read_text().replace("nbits", "NBITS").replace("byteorder", "BYTEORDER")
    assert old in text
    header.write_text(text.replace(old, new))

    with pytest.raises(SourceError, match=reason):
        open_source(path)


def test_esri_missing_or_doubled_data_is_an_error(tmp_path):
    path, _ = write_raster(tmp_path, "u1", "BIL")
    path.with_suffix(".bsq").write_bytes(path.read_bytes())

    with pytest.raises(SourceError, match=r"needs one data file .*: got scene\.bil, scene\.bsq"):
        open_source(path.with_suffix(".hdr"))
    path.with_suffix(".bsq").unlink()
    path.unlink()
    with pytest.raises(SourceError, match=r"needs one data file .*: got none"):
        open_source(path.with_suffix(".hdr"))


def test_esri_grid_is_refused_with_the_command(tmp_path):
    (tmp_path / "dem.hdr").write_text(
        "ncols 4\nnrows 4\nxllcorner 0\nyllcorner 0\ncellsize 1\nbyteorder LSBFIRST\n"
    )
    (tmp_path / "dem.bil").write_bytes(bytes(64))

    with pytest.raises(SourceError, match=r"dem\.hdr describes a grid of ESRI.*gdal_translate"):
        open_source(tmp_path / "dem.bil")


def test_esri_images_beside_a_header_without_data_stay_frames(tmp_path):
    path, _ = write_raster(tmp_path, "u1", "BIL")
    path.unlink()
    (tmp_path / "1.pgm").write_bytes(b"P5 2 2 255\n" + bytes(4))

    assert find_source_kind(tmp_path) == "folder"


@given(st.binary(max_size=300), st.integers(0, 200))
def test_esri_mutated_header_opens_or_is_a_source_error(tmp_path_factory, noise, position):
    folder = tmp_path_factory.mktemp("mutated")
    path, _ = write_raster(folder, ">i2", "BSQ")
    header = path.with_suffix(".hdr")
    text = header.read_bytes()
    header.write_bytes(text[:position] + noise + text[position + len(noise) // 2 :])

    try:
        (frame,) = open_source(path)
    except SourceError:
        return
    assert frame.image.size
