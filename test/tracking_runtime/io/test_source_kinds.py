"""Kind of source at a path: the content decides before the suffix."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pytest

from tracking_runtime.errors import SourceError
from tracking_runtime.io.source_kinds import BAG, CUBE, FOLDER, VIDEO, find_source_kind

PNG = cv2.imencode(".png", np.zeros((4, 5), np.uint8))[1].tobytes()
MP4 = b"\0\0\0\x20ftypisom" + bytes(100)


def make_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.png", PNG, CUBE),
        ("a.mp4", PNG, CUBE),
        ("a.dat", MP4, VIDEO),
        ("a.png", MP4, VIDEO),
        ("a.mkv", b"\x1a\x45\xdf\xa3", VIDEO),
        ("a", b"RIFF\0\0\0\0AVI LIST", VIDEO),
        ("a.h264", b"\0\0\0\x01g", VIDEO),
        ("a.ts", (b"\x47" + bytes(187)) * 3, VIDEO),
        ("bag", b"\x89MCAP0\r\n", BAG),
        ("bag.db3", b"SQLite format 3\0", BAG),
        ("a.bag", b"#ROSBAG V2.0\n", BAG),
        ("a.hdr", b"ENVI\nsamples = 4", CUBE),
        ("a.bin", make_npy(), CUBE),
        ("a.mat", b"\0\0\0\0", CUBE),
        ("a.tif", b"II*\0", CUBE),
    ],
)
def test_find_source_kind_of_file_heeds_content_first(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)

    assert find_source_kind(path) == kind


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"1.png": PNG, "notes.txt": b"x"}, FOLDER),
        ({"metadata.yaml": b"", "x.mcap": b"x"}, BAG),
        ({"a.hdr": b"ENVI\n", "a.raw": b"x", "quicklook.png": PNG}, CUBE),
        ({"a.npy": make_npy(), "._b.png": PNG}, CUBE),
        ({"img/1.png": PNG}, FOLDER),
        ({"Frames/1.png": PNG, "gt/gt.txt": b""}, FOLDER),
        ({"1.png": PNG, "metadata.yaml": b"camera: a\n"}, FOLDER),
        ({"metadata.yaml": b""}, BAG),
        ({"1.png": PNG, "timestamps.npy": make_npy(), "preview.mp4": MP4}, FOLDER),
    ],
)
def test_find_source_kind_of_folder_heeds_its_files(tmp_path, files, kind):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    assert find_source_kind(tmp_path) == kind


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"b.mp4": MP4, "a.MKV": b"x"},
            r"must be a folder of frames: got 2 videos; give a file, as .*a\.MKV",
        ),
        (
            {"clip/1.png": PNG, ".git/x": b"", "b/c": b""},
            "got the folders b, clip; give one that holds frames",
        ),
        ({"1.png/x": PNG}, r"got the folders 1\.png"),
        ({"a.txt": b"x"}, r"got \.txt; give a folder of images or cubes"),
    ],
)
def test_find_source_kind_of_other_folder_tells_what_to_give(tmp_path, files, reason):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    with pytest.raises(SourceError, match=reason):
        find_source_kind(tmp_path)


def test_find_source_kind_of_other_header_tells_the_cure(tmp_path):
    (tmp_path / "dem.bil").write_bytes(bytes(8))
    (tmp_path / "dem.hdr").write_text("BYTEORDER I\nLAYOUT BIL\n")

    with pytest.raises(
        SourceError, match=r"dem\.hdr must be a header of ENVI or ESRI .* dem\.bil: .*GeoTIFF"
    ):
        find_source_kind(tmp_path / "dem.bil")


def test_find_source_kind_unusable_path_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", PNG)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "a.raw").write_bytes(b"12345")
    (tmp_path / "words").write_text("words")
    (tmp_path / "sea.nc").write_bytes(b"CDF\x01" + bytes(40))
    (tmp_path / "folder").mkdir()

    for name, reason in {
        "none.mp4": "nothing at .*none.mp4",
        "empty.mp4": "empty.mp4 is empty",
        "a.zip": "archive: unpack",
        "a.txt": "not a source of frames",
        "a.raw": "header NAME.hdr",
        "sea.nc": "convert the raster to GeoTIFF, for example with gdal_translate",
        "words": "give a video, cube, image or recording",
        "folder": "holds no frames",
    }.items():
        with pytest.raises(SourceError, match=reason):
            find_source_kind(tmp_path / name)
