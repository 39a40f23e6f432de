"""Folders of images as sources of frames."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from tracking_runtime.errors import SourceError
from tracking_runtime.io.image_folder import ImageFolderSource
from tracking_runtime.io.sources import open_source
from tracking_runtime.spectral_info import SpectralInfo

CAR = Path(__file__).parents[4] / "shared/data/satellite/car-0001"
CUBE = Path(__file__).parents[4] / "shared/data/hyperspectral/vis_16band_256x512.tif"


def write_images(folder: Path, names: Iterable[str]) -> None:
    """Write gray images; the value of all pixels is the index of the name."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((4, 5), index, np.uint8))


def test_frames_are_in_natural_order_with_stamps(tmp_path):
    write_images(tmp_path, ["2.png", "10.png", "1.png"])

    source = ImageFolderSource(tmp_path, rate=4)

    assert [frame.image[0, 0] for frame in source] == [2, 0, 1]
    assert [frame.stamp_ns for frame in source] == [250_000_000, 500_000_000, 750_000_000]
    assert (len(source), source.rate_hz, source.name) == (3, 4.0, tmp_path.name)
    assert all(frame.truth is None for frame in source)


def test_second_iteration_yields_the_same_frames(tmp_path):
    write_images(tmp_path, ["1.png", "2.png"])
    (tmp_path / "gt.txt").write_text("1 2 3 4\n-1 -1 -1 -1\n")
    source = ImageFolderSource(tmp_path)

    first = list(source)
    second = list(source)

    assert [frame.truth.boxes.tolist() for frame in first] == [[[1, 2, 3, 4]], []]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("name", ["img", "img1", "HSI", "Images", "color", "frames"])
def test_sequence_folder_gives_the_name(tmp_path, name):
    write_images(tmp_path / "car-7" / name, ["1.png"])

    assert ImageFolderSource(tmp_path / "car-7").name == "car-7"
    assert ImageFolderSource(tmp_path / "car-7" / name).name == "car-7"
    assert open_source(tmp_path / "car-7").name == "car-7"


@pytest.mark.parametrize(
    ("names", "gaps"),
    [
        (["1.png", "2.png", "4.png", "7.png"], ("the numbers of its images skip 3, 5, 6",)),
        (["10.png", "20.png", "30.png"], ()),
        (["a.png", "b.png", "d.png"], ()),
    ],
)
def test_remarks_of_a_folder_tell_missing_numbers(tmp_path, names, gaps):
    write_images(tmp_path, names)
    (tmp_path / "3.jpg").mkdir()  # a folder is no image

    assert ImageFolderSource(tmp_path).remarks == gaps


def test_broken_files_beside_a_folder_of_another_name_are_left_alone(tmp_path):
    write_images(tmp_path / "clip7", ["1.png", "2.png"])
    for name in ("gt.txt", "video.yaml", "seqinfo.ini"):
        (tmp_path / name).write_text("of something else")

    source = ImageFolderSource(tmp_path / "clip7")

    assert [frame.truth for frame in source] == [None, None]
    assert (source.name, source.rate_hz) == ("clip7", 10.0)


def test_truth_option_of_a_folder_names_a_file(tmp_path):
    write_images(tmp_path / "img", ["1.png", "2.png"])
    (tmp_path / "gt.txt").write_text("broken")
    (tmp_path / "mine.csv").write_text("1,2,3,4\n5,6,7,8\n")

    stated = open_source(f"{tmp_path / 'img'}?truth={tmp_path / 'mine.csv'}")
    without = open_source(f"{tmp_path / 'img'}?truth=none")

    assert [frame.truth.boxes.tolist() for frame in stated] == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]
    assert [frame.truth for frame in without] == [None, None]
    with pytest.raises(SourceError, match=r"gt\.txt"):
        open_source(tmp_path / "img")


@pytest.mark.parametrize(
    ("name", "image", "encoding"),
    [
        ("a.png", np.zeros((4, 5), np.uint16), "mono16"),
        ("a.png", np.zeros((4, 5, 3), np.uint8), "bgr8"),
        ("a.png", np.zeros((4, 5, 4), np.uint8), "bgr8"),
        ("a.bmp", np.zeros((4, 5), np.uint8), "mono8"),
    ],
)
def test_image_file_gets_its_encoding(tmp_path, name, image, encoding):
    cv2.imwrite(str(tmp_path / name), image)

    (frame,) = ImageFolderSource(tmp_path)

    assert frame.encoding == encoding
    assert frame.image.dtype == image.dtype


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planar", [True, False])
def test_tiff_cube_has_its_bands_last(tmp_path, kind, planar):
    cube = np.arange(30 * 40 * 16).reshape(30, 40, 16).astype(kind)
    stored = np.moveaxis(cube, 2, 0) if planar else cube
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=None)

    (frame,) = ImageFolderSource(tmp_path)

    prefix = {"uint8": "8U", "uint16": "16U", "float32": "32F"}[np.dtype(kind).name]
    assert frame.encoding == f"{prefix}C16"
    np.testing.assert_array_equal(frame.image, cube)


def test_tiff_color_is_converted_to_bgr(tmp_path):
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[..., 0] = 200
    tifffile.imwrite(tmp_path / "a.tiff", rgb, photometric="rgb")

    (frame,) = ImageFolderSource(tmp_path)

    assert frame.encoding == "bgr8"
    assert frame.image[0, 0].tolist() == [0, 0, 200]


def test_bands_are_read_from_spectral_info_file(tmp_path):
    write_images(tmp_path, ["1.png"])
    path = tmp_path / "spectral_info.yaml"

    path.write_text("wavelengths_nm: [500, 600.5, 700, 800]\nmosaic: [2, 2]\n")
    source = ImageFolderSource(tmp_path)

    assert source.spectral_info == SpectralInfo((500.0, 600.5, 700.0, 800.0), mosaic=(2, 2))


def test_spectral_info_file_with_unknown_key_is_an_error(tmp_path):
    write_images(tmp_path, ["1.png"])
    (tmp_path / "spectral_info.yaml").write_text("wavelength: [500]\n")

    with pytest.raises(SourceError, match=r"spectral_info\.yaml does not describe"):
        ImageFolderSource(tmp_path)


def test_unreadable_images_are_named(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no image")

    with pytest.raises(SourceError, match=r"1\.png is not an image"):
        list(ImageFolderSource(tmp_path))

    (tmp_path / "1.png").rename(tmp_path / "1.tif")
    with pytest.raises(SourceError, match=r"1\.tif is not a TIFF"):
        list(ImageFolderSource(tmp_path))


@pytest.mark.skipif(not CAR.is_dir(), reason="needs the shared satellite sequence")
def test_satellite_sequence_is_read():
    source = open_source(f"folder:{CAR / 'img'}?rate=25")

    truths = [frame.truth for frame in source]

    assert (source.name, len(source)) == ("car-0001", 200)
    assert sum(len(truth.ids) for truth in truths) == 200 - 9


@pytest.mark.skipif(not CUBE.is_file(), reason="needs the shared cube")
def test_hyperspectral_cube_is_read(tmp_path):
    (tmp_path / CUBE.name).symlink_to(CUBE)

    (frame,) = ImageFolderSource(tmp_path)

    assert (frame.image.shape, frame.encoding) == ((256, 512, 16), "8UC16")
