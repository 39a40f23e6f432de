"""Image files as cubes: pages as frames or bands, georeferences, wavelengths in metadata, damage."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.errors import SourceError
from tracking_runtime.io import raster
from tracking_runtime.io.cube_source import CubeSource
from tracking_runtime.io.georeference import GeoReference
from tracking_runtime.io.sources import open_source

CUBE = np.random.default_rng(2).integers(0, 4000, (6, 7, 5)).astype(np.uint16)
NORTH_UP = ((10.0, 0.0, 399960.0), (0.0, -10.0, 4700040.0))
# Tags of a GeoTIFF: scale of a pixel, tie point, and keys: UTM zone 33 north on WGS 84.
PIXEL_SCALE = (33550, "d", 3, (10.0, 10.0, 0.0), True)
TIE_POINT = (33922, "d", 6, (0.0, 0.0, 0.0, 399960.0, 4700040.0, 0.0), True)


def make_keys(is_point: bool = False) -> tuple:
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1 + is_point, 3072, 0, 1, 32633)
    return (34735, "H", len(keys), keys, True)


def make_gdal_metadata(items: str) -> tuple:
    text = f"<GDALMetadata>{items}</GDALMetadata>"
    return (42112, "s", 0, text, True)


@pytest.fixture(params=["rasterio", "tifffile"])
def _library(request, monkeypatch):
    """Read with rasterio, and as if rasterio was not installed."""
    if request.param == "rasterio":
        pytest.importorskip("rasterio")
    else:
        monkeypatch.setattr(raster, "_import_rasterio", lambda: None)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_geotiff_gives_samples_and_position(tmp_path, planar):
    stored = CUBE if planar == "contig" else CUBE.transpose(2, 0, 1)
    tags = [PIXEL_SCALE, TIE_POINT, make_keys()]
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar, extratags=tags
    )

    source = open_source(tmp_path / "a.tif")

    np.testing.assert_array_equal(source.read_frame(0).image, CUBE)
    assert source.georeference == GeoReference(NORTH_UP, "EPSG:32633")


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("compression", ["jpeg2000", "png", "jpegxl"])
def test_geotiff_of_a_rare_compression_has_its_position(tmp_path, compression):
    """GDAL is often built without these compressions."""
    tags = [PIXEL_SCALE, TIE_POINT, make_keys()]
    options = {"photometric": "minisblack", "compression": compression, "extratags": tags}
    tifffile.imwrite(tmp_path / "1.tif", CUBE[..., 0], **options)

    for address in (tmp_path / "1.tif", tmp_path):
        source = open_source(address)

        assert source.georeference == GeoReference(NORTH_UP, "EPSG:32633")
        np.testing.assert_array_equal(next(iter(source)).image, CUBE[..., 0])


@pytest.mark.usefixtures("_library")
def test_geotiff_of_points_is_shifted_by_half_a_pixel(tmp_path):
    tags = [PIXEL_SCALE, TIE_POINT, make_keys(is_point=True)]
    tifffile.imwrite(tmp_path / "a.tif", CUBE[..., 0], extratags=tags)

    georeference = open_source(tmp_path / "a.tif").georeference

    np.testing.assert_allclose(georeference.to_map([0.5, 0.5]), [399960, 4700040])


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("content", ["<PAMDataset></PAMDataset>", "<PAMDataset><broken", ""])
def test_side_files_of_gdal_are_neither_input_nor_errors(tmp_path, content):
    tags = [PIXEL_SCALE, TIE_POINT, make_keys()]
    for number in (1, 2):
        tifffile.imwrite(tmp_path / f"{number}.tif", CUBE[..., number], extratags=tags)
        (tmp_path / f"{number}.tif.aux.xml").write_text(content)

    (video,) = open_dataset(tmp_path)

    for source in (open_source(tmp_path), video):
        np.testing.assert_array_equal([frame.image for frame in source], [CUBE[..., 1], CUBE[..., 2]])
    assert open_source(tmp_path / "1.tif").georeference == GeoReference(NORTH_UP, "EPSG:32633")
    with pytest.raises(SourceError, match=r"1\.tif\.aux\.xml is (empty|not a source of frames)"):
        open_source(tmp_path / "1.tif.aux.xml")


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_image_with_world_file_is_georeferenced(tmp_path, name):
    cv2.imwrite(str(tmp_path / name), CUBE[..., 0])
    (tmp_path / "a.wld").write_text("10\n0\n0\n-10\n399965\n4700035\n")

    assert open_source(tmp_path / name).georeference == GeoReference(NORTH_UP)


@pytest.mark.parametrize(
    "items",
    [
        "".join(
            f'<Item name="CENTRAL_WAVELENGTH_UM" sample="{i}" domain="IMAGERY">0.{45 + i * 10}</Item>'
            for i in range(5)
        ),
        "".join(
            f'<Item name="DESCRIPTION" sample="{i}" role="description">{450 + i * 100} nm</Item>'
            for i in range(5)
        ),
        "".join(f'<Item name="wavelength" sample="{i}">{450 + i * 100}</Item>' for i in range(5)),
    ],
)
def test_geotiff_metadata_gives_bands(tmp_path, items):
    tags = [make_gdal_metadata(items)]
    tifffile.imwrite(
        tmp_path / "a.tif", CUBE, photometric="minisblack", planarconfig="contig", extratags=tags
    )

    info = open_source(tmp_path / "a.tif").spectral_info

    assert info.wavelengths_nm == (450.0, 550.0, 650.0, 750.0, 850.0)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_tiff_pages_are_frames_of_a_video(tmp_path, compression):
    video = np.random.default_rng(3).integers(0, 4000, (9, 20, 30)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for frame in video:
            writer.write(frame, compression=compression, contiguous=False)

    source = open_source(f"{tmp_path / 'a.tif'}?rate=20")

    assert len(source) == 9 and source.rate_hz == 20.0
    np.testing.assert_array_equal([frame.image for frame in source], video)
    assert {frame.encoding for frame in source} == {"mono16"}
    assert "9 pages are taken as frames" in " ".join(source.remarks)


@pytest.mark.parametrize("bits", [8, 12, 1])
def test_tiff_pages_of_inverted_gray_are_black_at_zero(tmp_path, bits):
    samples = np.random.default_rng(3).integers(0, 2**bits, (3, 20, 30))
    stored = samples.astype(bool if bits == 1 else np.uint8 if bits == 8 else np.uint16)
    options = {"bitspersample": bits} if bits == 12 else {}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in stored:
            writer.write(page, photometric="miniswhite", contiguous=False, **options)

    frames = [frame.image for frame in open_source(tmp_path / "a.tif")]

    scale = 255 if bits == 1 else 1
    np.testing.assert_array_equal(frames, (2**bits - 1 - samples) * scale)


def test_tiff_stack_of_one_write_is_a_video(tmp_path):
    video = np.random.default_rng(3).integers(0, 250, (9, 20, 30)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "plain.tif", video, photometric="minisblack")
    tifffile.imwrite(tmp_path / "imagej.tif", video, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "packed.tif", video, photometric="minisblack", compression="zlib")

    for name in ("plain.tif", "imagej.tif", "packed.tif"):
        np.testing.assert_array_equal([frame.image for frame in open_source(tmp_path / name)], video)


def test_tiff_pages_of_color_and_of_bands_are_frames(tmp_path):
    colors = np.random.default_rng(4).integers(0, 250, (3, 8, 9, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colors, photometric="rgb")
    tifffile.imwrite(
        tmp_path / "cubes.tif", np.stack([CUBE] * 2), photometric="minisblack", planarconfig="contig"
    )
    hyperstack = np.stack([CUBE, CUBE + 1]).transpose(0, 3, 1, 2)
    tifffile.imwrite(tmp_path / "hyper.tif", hyperstack, imagej=True, metadata={"axes": "TCYX"})

    rgb, cubes, hyper = (list(open_source(tmp_path / name)) for name in ("rgb.tif", "cubes.tif", "hyper.tif"))

    assert {frame.encoding for frame in rgb} == {"bgr8"}
    np.testing.assert_array_equal([frame.image for frame in rgb], colors[..., ::-1])
    np.testing.assert_array_equal([frame.image for frame in cubes], [CUBE, CUBE])
    np.testing.assert_array_equal([frame.image for frame in hyper], [CUBE, CUBE + 1])


def test_tiff_pages_that_differ_are_told(tmp_path):
    images = np.zeros((3, 8, 9), np.uint8)
    with tifffile.TiffWriter(tmp_path / "video.tif") as writer:
        for image in images:
            writer.write(image)
        writer.write(np.zeros((4, 5), np.uint16))
    with tifffile.TiffWriter(tmp_path / "image.tif") as writer:
        writer.write(images[0])
        writer.write(np.zeros((4, 5), np.uint8), subfiletype=1)  # an overview

    video, image = (open_source(tmp_path / name) for name in ("video.tif", "image.tif"))

    assert len(video) == 3
    assert video.remarks[1:] == (
        "its pages differ: those of 9 x 8 uint8 are read, those of 5 x 4 uint16 are left out",
    )
    assert image.remarks == ()


def test_tiff_pages_are_bands_if_stated_or_described(tmp_path):
    pages = CUBE.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "named.tif") as writer:
        for index, page in enumerate(pages):
            writer.write(page, contiguous=False, description=f"band {index}: {450 + index} nm", metadata=None)

    stated = CubeSource(tmp_path / "a.tif", pages="bands")
    named = CubeSource(tmp_path / "named.tif")
    (tmp_path / "spectral_info.yaml").write_text("wavelengths_nm: [1, 2, 3, 4, 5]\n")
    described = CubeSource(tmp_path / "a.tif")

    for source in (stated, named, described):
        assert len(source) == 1
        np.testing.assert_array_equal(source.read_frame(0).image, CUBE)
    assert named.spectral_info.wavelengths_nm == (450.0, 451.0, 452.0, 453.0, 454.0)
    with pytest.raises(SourceError, match="pages must be frames, bands, rows or cube"):
        CubeSource(tmp_path / "a.tif", pages="layers")


def test_tiff_narrow_pages_are_rows_of_cubes(tmp_path):
    # A program that writes (rows, columns, bands) without saying so makes a page of each row.
    cubes = np.random.default_rng(5).integers(0, 4000, (2, 30, 40, 5)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cube.tif", cubes[0], photometric="minisblack", compression="zlib")
    tifffile.imwrite(tmp_path / "video.tif", cubes, photometric="minisblack")

    cube, video = CubeSource(tmp_path / "cube.tif"), CubeSource(tmp_path / "video.tif")

    np.testing.assert_array_equal([frame.image for frame in cube], cubes[:1])
    np.testing.assert_array_equal([frame.image for frame in video], cubes)
    assert "30 pages are taken as the rows of 1 frames" in " ".join(cube.remarks)
    assert len(CubeSource(tmp_path / "cube.tif", pages="frames")) == 30


def test_imagine_raster_is_read_by_rasterio(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    transform = rasterio.Affine(*NORTH_UP[0], *NORTH_UP[1])
    with rasterio.open(
        tmp_path / "a.img", "w", driver="HFA", width=7, height=6, count=5, dtype="uint16", crs="EPSG:32633",
        transform=transform,
    ) as dataset:  # fmt: skip
        dataset.write(CUBE.transpose(2, 0, 1))

    source = open_source(tmp_path / "a.img")

    np.testing.assert_array_equal(source.read_frame(0).image, CUBE)
    assert source.georeference.transform == NORTH_UP


def test_imagine_raster_without_rasterio_names_the_command(tmp_path, monkeypatch):
    (tmp_path / "a.img").write_bytes(b"EHFA_HEADER_TAG" + bytes(100))
    monkeypatch.setattr(raster, "_import_rasterio", lambda: None)

    with pytest.raises(SourceError, match=r"a\.img .* pip install rasterio"):
        open_source(tmp_path / "a.img")


def make_stack(path: Path) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for band in range(5):
            tags = [PIXEL_SCALE, TIE_POINT, make_keys()] if band == 0 else []
            writer.write(CUBE[..., band], contiguous=False, compression="zlib", extratags=tags)
    return path


def test_tiff_cut_short_names_the_file(tmp_path):
    path = make_stack(tmp_path / "a.tif")
    content = path.read_bytes()

    for length in range(9, len(content), 60):
        path.write_bytes(content[:length])
        with pytest.raises(SourceError, match=r"a\.tif"):
            list(CubeSource(path))


@settings(max_examples=60)
@given(st.data())
def test_tiff_mutated_opens_or_is_a_source_error(tmp_path_factory, data):
    path = make_stack(tmp_path_factory.mktemp("tiff") / "a.tif")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)

    with suppress(SourceError):
        list(CubeSource(path))
