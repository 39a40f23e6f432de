"""The one reader of images: formats, sample types, colors, damage, limits, and hostile bytes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io.image_file import (
    decode_image,
    is_image,
    list_images,
    make_natural_sort_key,
    read_image_file,
)

RNG = np.random.default_rng(0)
COLORS = cv2.GaussianBlur(RNG.integers(0, 255, (48, 64, 3), np.uint8), (0, 0), 2)
RAMP = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


def encode(suffix: str, image: np.ndarray = COLORS) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def make_tiff(image: np.ndarray = RAMP, **options: object) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        tifffile.imwrite(path, image, **{"photometric": "minisblack", **options})
        return path.read_bytes()


def make_huge_png(width: int, height: int) -> bytes:
    """Make a PNG whose few bytes unpack to many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".webp", ".jp2", ".jpg"])
def test_read_color_image_is_bgr8(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix.upper()}"
    path.write_bytes(encode(suffix))

    image, encoding = read_image_file(path)

    assert (encoding, image.shape) == ("bgr8", COLORS.shape)
    assert np.abs(image.astype(int) - COLORS).mean() < 3
    assert is_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_read_image_with_a_wrong_suffix_goes_by_content(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(make_tiff())

    image, encoding = read_image_file(path)

    assert encoding == "mono16"
    np.testing.assert_array_equal(image, RAMP)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", "packbits", "lzma", "jpeg2000"])
@pytest.mark.parametrize("num_bands", [1, 8])
def test_read_compressed_tiff_is_lossless(tmp_path: Path, compression: str, num_bands: int) -> None:
    cube = np.stack([RAMP + band for band in range(num_bands)], axis=2)
    path = tmp_path / "a.tif"
    stored = cube[..., 0] if num_bands == 1 else cube
    tifffile.imwrite(path, stored, photometric="minisblack", compression=compression, planarconfig="contig")

    image, encoding = read_image_file(path)

    assert encoding == ("mono16" if num_bands == 1 else "16UC8")
    np.testing.assert_array_equal(image, stored)


def test_read_tiff_of_opencv_with_lzw_equals_its_pixels(tmp_path: Path) -> None:
    for name, image in (
        ("gray", RAMP),
        ("color", COLORS),
        ("color16", np.stack([RAMP, RAMP + 1, RAMP + 2], 2)),
    ):
        cv2.imwrite(str(tmp_path / f"{name}.tif"), image)
        np.testing.assert_array_equal(read_image_file(tmp_path / f"{name}.tif")[0], image)


def test_read_tiled_geotiff_with_nodata_fills_the_smallest_value(tmp_path: Path) -> None:
    image = RAMP.astype(np.float32) - 100
    image[:4] = -9999
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        image,
        photometric="minisblack",
        tile=(16, 16),
        compression="lzw",
        predictor=True,
        extratags=[(33550, "d", 3, (0.5, 0.5, 0.0), True), (42113, "s", 0, "-9999", True)],
    )

    read, encoding = read_image_file(path)

    assert encoding == "32FC1"
    assert read[:4].max() == read[4:].min() == 156
    np.testing.assert_array_equal(read[4:], image[4:])


def test_read_16_bit_rgb_with_near_infrared_keeps_all_bands(tmp_path: Path) -> None:
    red, green, blue, infrared = (RAMP + offset for offset in (3000, 2000, 1000, 4000))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([red, green, blue, infrared], 2), photometric="rgb", extrasamples=[0])

    image, encoding = read_image_file(path)

    assert encoding == "16UC4"
    np.testing.assert_array_equal(image, np.stack([blue, green, red, infrared], 2))


def test_read_alpha_is_left_out(tmp_path: Path) -> None:
    bgra = np.dstack([COLORS, np.full((48, 64), 7, np.uint8)])
    for depth, scale in ((np.uint8, 1), (np.uint16, 257)):
        cv2.imwrite(str(tmp_path / "a.png"), bgra.astype(depth) * depth(scale))

        image, encoding = read_image_file(tmp_path / "a.png")

        assert encoding == ("bgr8" if depth == np.uint8 else "16UC3")
        np.testing.assert_array_equal(image, COLORS.astype(depth) * depth(scale))


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "uint32", "float16", "float32", "float64", ">i2"]
)
def test_read_tiff_of_other_sample_types_is_float32(tmp_path: Path, dtype: str) -> None:
    values = (np.arange(48 * 64).reshape(48, 64) % 100 - (0 if dtype == "uint32" else 50)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack")

    image, encoding = read_image_file(path)

    assert encoding == "32FC1"
    np.testing.assert_array_equal(image, values.astype(np.float32))


def test_read_tiff_of_one_bit_and_inverted_gray_is_mono8(tmp_path: Path) -> None:
    is_white = RAMP % 2 == 0
    tifffile.imwrite(tmp_path / "bits.tif", is_white, photometric="minisblack")
    tifffile.imwrite(tmp_path / "inverted.tif", COLORS[..., 0], photometric="miniswhite")

    bits, encoding = read_image_file(tmp_path / "bits.tif")

    assert encoding == "mono8"
    np.testing.assert_array_equal(bits, is_white * np.uint8(255))
    np.testing.assert_array_equal(read_image_file(tmp_path / "inverted.tif")[0], 255 - COLORS[..., 0])


@pytest.mark.parametrize(("num_bits", "dtype"), [(4, np.uint8), (12, np.uint16), (32, np.uint32)])
def test_read_inverted_tiff_of_few_bits_stays_in_their_range(
    tmp_path: Path, num_bits: int, dtype: type
) -> None:
    stored = np.arange(48, dtype=dtype).reshape(6, 8) % 16
    options = {} if num_bits == 32 else {"bitspersample": num_bits}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", **options)

    image, _ = read_image_file(tmp_path / "a.tif")

    np.testing.assert_array_equal(image, (2.0**num_bits - 1 - stored).astype(image.dtype))


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 40, 5), (1, 1)])
def test_read_tiff_of_one_line_keeps_its_rows_and_columns(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """The reference of a line scanner is one line."""
    stored = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig="contig")

    image, _ = read_image_file(tmp_path / "a.tif")

    np.testing.assert_array_equal(image, stored)


def test_read_tiff_of_gray_with_alpha_is_gray(tmp_path: Path) -> None:
    stored = np.stack([COLORS[..., 0], COLORS[..., 1]], axis=2)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "alpha.tif", stored, extrasamples=["unassalpha"], **options)
    tifffile.imwrite(tmp_path / "band.tif", stored, extrasamples=["unspecified"], **options)

    image, encoding = read_image_file(tmp_path / "alpha.tif")

    assert encoding == "mono8"
    np.testing.assert_array_equal(image, stored[..., 0])
    assert read_image_file(tmp_path / "band.tif")[1] == "8UC2"


def test_read_tiff_of_ink_colors_tells_the_cure(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 4), np.uint8), photometric="separated")

    with pytest.raises(SourceError, match=r"^colors of .*a\.tif must be gray.*got SEPARATED; convert"):
        read_image_file(tmp_path / "a.tif")


def test_read_tiff_of_one_bit_with_a_palette_is_color(tmp_path: Path) -> None:
    palette = [value * 257 for value in (255, 0, 0, 255, 10, 20)]
    is_second = RAMP % 2 == 1
    tags = [(320, "H", 6, palette, True)]
    tifffile.imwrite(tmp_path / "a.tif", is_second, photometric="minisblack", extratags=tags)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages.first.tags["PhotometricInterpretation"].overwrite(tifffile.PHOTOMETRIC.PALETTE)

    image, encoding = read_image_file(tmp_path / "a.tif")

    assert encoding == "bgr8"
    assert {tuple(pixel) for pixel in image[is_second]} == {(20, 255, 0)}
    assert {tuple(pixel) for pixel in image[~is_second]} == {(10, 0, 255)}


def test_read_tiff_with_a_palette_is_color(tmp_path: Path) -> None:
    indices = (RAMP % 3).astype(np.uint8)
    palette = np.zeros((3, 256), np.uint16)
    palette[:, :3] = np.array([[255, 0, 10], [0, 255, 20], [0, 0, 30]]) * 257
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=palette)

    image, encoding = read_image_file(tmp_path / "a.tif")

    assert encoding == "bgr8"
    assert image[0, :3].tolist() == [[0, 0, 255], [0, 255, 0], [30, 20, 10]]


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "content",
    [
        *(encode(suffix) for suffix in (".png", ".jpg", ".bmp", ".ppm", ".webp", ".jp2")),
        make_tiff(),
        make_tiff(compression="lzw"),
        make_tiff(np.stack([RAMP] * 5), compression="deflate"),
    ],
    ids=["png", "jpg", "bmp", "ppm", "webp", "jp2", "tif", "lzw", "pages"],
)
def test_read_image_that_is_cut_short_is_refused_by_name(
    tmp_path: Path, content: bytes, fraction: float
) -> None:
    path = tmp_path / "000017.png"
    path.write_bytes(content[: int(len(content) * fraction)])

    with pytest.raises(SourceError, match=r"000017\.png"):
        read_image_file(path)


def test_read_png_with_one_flipped_bit_is_refused(tmp_path: Path) -> None:
    content = bytearray(encode(".png"))
    content[len(content) // 2] ^= 4
    path = tmp_path / "a.png"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=r"a\.png is damaged"):
        read_image_file(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"PK\x03\x04", "a zip archive"),
        (b"no image", "a text that begins with 'no image'"),
        (bytes(100), "null bytes"),
    ],
)
def test_read_file_of_another_kind_says_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=rf"a\.jpg is not an image that can be read: it is .*{kind}"):
        read_image_file(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_read_image_without_a_whole_header_is_cut_short(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cv2.imencode(suffix, np.zeros((24, 32), np.uint8))[1].tobytes()[:20])

    with pytest.raises(SourceError, match=rf"a\{suffix} is damaged or cut short"):
        read_image_file(path)


def test_read_image_above_the_limit_is_refused_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(make_huge_png(32000, 32000))
    huge = np.broadcast_to(np.zeros(1, np.uint8), (13000, 13000))
    tifffile.imwrite(tmp_path / "bomb.tif", huge, photometric="minisblack", compression="deflate")

    for name in ("bomb.png", "bomb.tif"):
        with pytest.raises(SourceError, match=rf"{name}: \d+ pixels are more than .* set RSTRACK_MAX_PIXELS"):
            read_image_file(tmp_path / name)


def test_read_cube_above_the_limit_of_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(make_tiff(np.zeros((40, 48, 64), np.uint16)))
    monkeypatch.setenv("RSTRACK_MAX_IMAGE_BYTES", "100000")

    with pytest.raises(SourceError, match=r"245760 bytes are more than .* set RSTRACK_MAX_IMAGE_BYTES"):
        read_image_file(path)


def test_list_images_leaves_out_hidden_files_and_takes_any_case(tmp_path: Path) -> None:
    for name in ("2.PNG", "10.Tif", "1.jpeg", "._1.jpeg", ".3.png", "Thumbs.db", "gt.txt", "²3.png"):
        (tmp_path / name).touch()

    assert [path.name for path in list_images(tmp_path)] == ["1.jpeg", "2.PNG", "10.Tif", "²3.png"]


VALID_FILES = [
    *(encode(suffix) for suffix in (".png", ".jpg", ".bmp", ".ppm", ".webp", ".jp2")),
    make_tiff(),
    make_tiff(compression="lzw", predictor=True),
    make_tiff(np.stack([RAMP] * 3, 2), compression="deflate", tile=(16, 16), photometric="rgb"),
    make_tiff(RAMP.astype(np.float32), bigtiff=True),
]


@settings(max_examples=400)
@given(
    st.sampled_from(VALID_FILES),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.none() | st.floats(0, 1),
)
def test_read_mutated_file_is_an_image_or_a_source_error(
    content: bytes, changes: list[tuple[int, int]], cut: float | None
) -> None:
    mutated = bytearray(content)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    if cut is not None:
        del mutated[int(cut * len(mutated)) :]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.img"
        path.write_bytes(mutated)
        try:
            image, _ = read_image_file(path)
        except SourceError:
            return

    assert image.ndim in (2, 3)
    assert image.dtype in (np.uint8, np.uint16, np.float32)


@given(st.binary(max_size=200))
def test_decode_random_bytes_is_a_source_error(content: bytes) -> None:
    with pytest.raises(SourceError, match="/camera/image"):
        decode_image(content, "/camera/image")


def test_natural_order_is_by_value_for_numbers_of_any_length() -> None:
    long_number = "9" * 5000
    names = ["a10.png", "a2.png", "a002.png", f"a{long_number}.png", "a\u0663.png", "a.png", "b1.png"]

    ordered = sorted(names, key=lambda name: make_natural_sort_key(Path(name)))

    assert ordered == [
        "a002.png",
        "a2.png",
        "a\u0663.png",
        "a10.png",
        f"a{long_number}.png",
        "a.png",
        "b1.png",
    ]
