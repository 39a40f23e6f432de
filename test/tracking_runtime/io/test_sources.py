"""Folders, bags and scenes give the same frames whenever they are asked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracking_runtime.bags import BagWriter
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.sources import BagSource, FolderSource, open_source
from tracking_runtime.messages.conversion import (
    IMAGE,
    SPECTRAL_INFO,
    TRACKS,
    read_image,
    read_spectral_info,
    serialize_image,
    serialize_spectral_info,
    serialize_truth,
)
from tracking_runtime.messages.definitions import typestore
from tracking_runtime.spectral_info import Calibration, SpectralInfo

CAR = Path(__file__).parents[4] / "shared/data/satellite/car-0001"
CUBE = Path(__file__).parents[4] / "shared/data/hyperspectral/vis_16band_256x512.tif"


def shaped(encoding: str, height: int, width: int) -> tuple[type, tuple[int, ...]]:
    named = {"mono8": (np.uint8, 1), "mono16": (np.uint16, 1), "bgr8": (np.uint8, 3), "rgb8": (np.uint8, 3)}
    if encoding in named:
        kind, channels = named[encoding]
    else:
        prefix, _, number = encoding.partition("C")
        kind, channels = {"8U": np.uint8, "16U": np.uint16, "32F": np.float32}[prefix], int(number)
    return kind, (height, width) if channels == 1 else (height, width, channels)


@st.composite
def frames(draw) -> Frame:
    encoding = draw(
        st.sampled_from(["mono8", "mono16", "bgr8", "rgb8"])
        | st.tuples(st.sampled_from(["8UC", "16UC", "32FC"]), st.integers(1, 25)).map(
            lambda p: f"{p[0]}{p[1]}"
        )
    )
    kind, shape = shaped(encoding, draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    image = draw(hnp.arrays(kind, shape))
    return Frame(draw(st.integers(0, 2**31 * 10**9 - 1)), image, encoding, draw(st.text(max_size=5)))


@given(frames())
@settings(deadline=None)
def test_image_of_every_encoding_returns_as_it_was(frame):
    read = read_image(typestore().deserialize_cdr(serialize_image(frame), IMAGE))
    assert (read.stamp_ns, read.encoding, read.frame_id) == (frame.stamp_ns, frame.encoding, frame.frame_id)
    assert read.image.dtype == frame.image.dtype
    np.testing.assert_array_equal(read.image, frame.image)


def test_padded_and_big_endian_rows_are_read():
    message = typestore().deserialize_cdr(
        serialize_image(Frame(1, np.array([[1, 2], [3, 4]], np.uint16), "mono16")), IMAGE
    )
    message.is_bigendian = 1
    message.step = 6
    message.data = np.frombuffer(b"\0\1\0\2xx\0\3\0\4xx", np.uint8)
    np.testing.assert_array_equal(read_image(message).image, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("step", 1, "step is 1"), ("encoding", "yuv", "encoding 'yuv' is not known"), ("height", 0, "empty")],
)
def test_contradictory_images_are_refused(field, value, reason):
    message = typestore().deserialize_cdr(
        serialize_image(Frame(1, np.zeros((2, 2), np.uint8), "mono8")), IMAGE
    )
    setattr(message, field, value)
    with pytest.raises(FrameRefusedError, match=reason):
        read_image(message)


@given(st.integers(1, 5), st.integers(1, 5), st.booleans(), st.integers(0, 15))
@settings(deadline=None)
def test_spectral_info_returns_as_it_was(rows, columns, is_mosaic, calibration):
    bands = rows * columns
    info = SpectralInfo(
        wavelengths_nm=tuple(400.0 + 10 * i for i in range(bands)),
        fwhm_nm=(15.0,) * bands,
        mosaic=(rows, columns) if is_mosaic else None,
        band_order=tuple(reversed(range(bands))) if is_mosaic else (),
        bit_depth=10,
        black_level=12.0,
        saturation_level=1023.0,
        calibration=Calibration(calibration),
    )
    data = serialize_spectral_info(info, 5, "camera")
    assert read_spectral_info(typestore().deserialize_cdr(data, SPECTRAL_INFO)) == info


class TestFolder:
    def make(self, folder: Path, names: Iterable[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for value, name in enumerate(names):
            cv2.imwrite(str(folder / name), np.full((4, 5), value, np.uint8))

    def test_frames_come_in_natural_order_with_stamps_of_the_rate(self, tmp_path):
        self.make(tmp_path, ["2.png", "10.png", "1.png"])
        source = FolderSource(tmp_path, rate=4)
        assert [frame.image[0, 0] for frame in source] == [2, 0, 1]
        assert [frame.stamp_ns for frame in source] == [250_000_000, 500_000_000, 750_000_000]
        assert (len(source), source.rate_hz, source.name) == (3, 4.0, tmp_path.name)
        assert all(frame.truth is None for frame in source)

    def test_iterating_twice_gives_the_same(self, tmp_path):
        self.make(tmp_path, ["1.png", "2.png"])
        (tmp_path / "gt.txt").write_text("1 2 3 4\n-1 -1 -1 -1\n")
        source = FolderSource(tmp_path)
        first, second = list(source), list(source)
        assert [f.truth.boxes.tolist() for f in first] == [[[1, 2, 3, 4]], []]
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.image, other.image)

    @pytest.mark.parametrize("name", ["img", "img1", "HSI"])
    def test_sequence_folder_is_named_and_searched(self, tmp_path, name):
        self.make(tmp_path / "car-7" / name, ["1.png"])
        assert FolderSource(tmp_path / "car-7").name == "car-7"
        assert FolderSource(tmp_path / "car-7" / name).name == "car-7"

    @pytest.mark.parametrize(
        ("name", "image", "encoding"),
        [
            ("a.png", np.zeros((4, 5), np.uint16), "mono16"),
            ("a.png", np.zeros((4, 5, 3), np.uint8), "bgr8"),
            ("a.png", np.zeros((4, 5, 4), np.uint8), "bgr8"),
            ("a.bmp", np.zeros((4, 5), np.uint8), "mono8"),
        ],
    )
    def test_encodings(self, tmp_path, name, image, encoding):
        cv2.imwrite(str(tmp_path / name), image)
        (frame,) = FolderSource(tmp_path)
        assert frame.encoding == encoding
        assert frame.image.dtype == image.dtype

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
    @pytest.mark.parametrize("planar", [True, False])
    def test_cubes_of_tiff_have_their_bands_last(self, tmp_path, kind, planar):
        cube = np.arange(30 * 40 * 16).reshape(30, 40, 16).astype(kind)
        stored = np.moveaxis(cube, 2, 0) if planar else cube
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=None)
        (frame,) = FolderSource(tmp_path)
        assert (
            frame.encoding == {"uint8": "8U", "uint16": "16U", "float32": "32F"}[np.dtype(kind).name] + "C16"
        )
        np.testing.assert_array_equal(frame.image, cube)

    def test_colour_of_tiff_is_bgr(self, tmp_path):
        rgb = np.zeros((4, 5, 3), np.uint8)
        rgb[..., 0] = 200
        tifffile.imwrite(tmp_path / "a.tiff", rgb, photometric="rgb")
        (frame,) = FolderSource(tmp_path)
        assert frame.encoding == "bgr8"
        assert frame.image[0, 0].tolist() == [0, 0, 200]

    def test_bands_are_described_by_a_file(self, tmp_path):
        self.make(tmp_path, ["1.png"])
        (tmp_path / "spectral_info.yaml").write_text(
            "wavelengths_nm: [500, 600.5, 700, 800]\nmosaic: [2, 2]\n"
        )
        assert FolderSource(tmp_path).spectral_info == SpectralInfo(
            (500.0, 600.5, 700.0, 800.0), mosaic=(2, 2)
        )
        (tmp_path / "spectral_info.yaml").write_text("wavelength: [500]\n")
        with pytest.raises(SourceError, match=r"spectral_info\.yaml does not describe"):
            FolderSource(tmp_path)

    def test_unreadable_images_are_named(self, tmp_path):
        (tmp_path / "1.png").write_bytes(b"no image")
        with pytest.raises(SourceError, match=r"1\.png is not an image"):
            list(FolderSource(tmp_path))
        (tmp_path / "1.png").rename(tmp_path / "1.tif")
        with pytest.raises(SourceError, match=r"1\.tif is not a TIFF"):
            list(FolderSource(tmp_path))

    @pytest.mark.skipif(not CAR.is_dir(), reason="the shared satellite sequence is not here")
    def test_real_satellite_sequence(self):
        source = open_source(f"folder:{CAR / 'img'}?rate=25")
        assert (source.name, len(source)) == ("car-0001", 200)
        truths = [frame.truth for frame in source]
        assert sum(len(truth.ids) for truth in truths) == 200 - 9

    @pytest.mark.skipif(not CUBE.is_file(), reason="the shared cube is not here")
    def test_real_cube(self, tmp_path):
        (tmp_path / CUBE.name).symlink_to(CUBE)
        (frame,) = FolderSource(tmp_path)
        assert (frame.image.shape, frame.encoding) == ((256, 512, 16), "8UC16")


def record(
    folder: Path, sequence: list[Frame], *, truth_last: bool = False, cameras: tuple[str, ...] = ("/cam",)
):
    with BagWriter(folder) as writer:
        for camera in cameras:
            writer.add_topic(f"{camera}/image", IMAGE)
            writer.add_topic(f"{camera}/ground_truth", TRACKS)
            writer.add_topic(f"{camera}/spectral_info", SPECTRAL_INFO)
            info = SpectralInfo((500.0,))
            writer.write(f"{camera}/spectral_info", serialize_spectral_info(info, 1, "camera"), 0)
            for frame in sequence:
                messages = [("image", serialize_image(frame))]
                if frame.truth is not None:
                    size = frame.image.shape[1], frame.image.shape[0]
                    data = serialize_truth(frame.truth, frame.stamp_ns, frame.frame_id, size, ["car", "ship"])
                    messages.append(("ground_truth", data))
                for name, data in messages if truth_last else reversed(messages):
                    writer.write(f"{camera}/{name}", data, frame.stamp_ns)


truths = st.none() | hnp.array_shapes(min_dims=1, max_dims=1, min_side=0, max_side=4).flatmap(
    lambda shape: st.builds(
        GroundTruth,
        ids=st.just(np.arange(1, shape[0] + 1)),
        class_ids=st.just(np.arange(shape[0], dtype=np.uint8) % 2),
        boxes=hnp.arrays(np.float32, (shape[0], 4), elements=st.floats(0, 1000, width=32)),
    )
)


class TestBag:
    @given(st.lists(truths, min_size=1, max_size=25), st.booleans())
    @settings(deadline=None, max_examples=30)
    def test_frames_return_with_the_truth_of_their_stamp(self, sequence, truth_last):
        recorded = [
            Frame((i + 1) * 100, np.full((3, 4), i, np.uint8), "mono8", truth=truth)
            for i, truth in enumerate(sequence)
        ]
        with TemporaryDirectory() as folder:
            record(Path(folder) / "bag", recorded, truth_last=truth_last)
            source = BagSource(Path(folder) / "bag")
            assert len(source) == len(recorded)
            assert source.spectral_info == SpectralInfo((500.0,))
            read = list(source)
        assert [frame.stamp_ns for frame in read] == [frame.stamp_ns for frame in recorded]
        for one, other in zip(recorded, read, strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            assert (one.truth is None) == (other.truth is None)
            if one.truth is not None and other.truth is not None:
                np.testing.assert_array_equal(one.truth.boxes, other.truth.boxes)
                np.testing.assert_array_equal(one.truth.ids, other.truth.ids)
                np.testing.assert_array_equal(one.truth.class_ids, other.truth.class_ids)

    def test_rate_and_class_names_are_the_recordings(self, tmp_path):
        frames_ = [
            Frame(i * 40_000_000, np.zeros((2, 2), np.uint8), "mono8", truth=GroundTruth())
            for i in range(1, 5)
        ]
        record(tmp_path / "bag", frames_)
        source = open_source(f"bag:{tmp_path / 'bag'}")
        assert math.isclose(source.rate_hz, 25.0)
        assert source.class_names == ("car", "ship")
        assert source.name == "bag"

    def test_one_of_several_cameras_is_chosen(self, tmp_path):
        record(tmp_path / "bag", [Frame(1, np.zeros((2, 2), np.uint8), "mono8")], cameras=("/left", "/right"))
        with pytest.raises(SourceError, match=r"topic=…; there: /left/image, /right/image"):
            open_source(f"bag:{tmp_path / 'bag'}")
        assert len(open_source(f"bag:{tmp_path / 'bag'}?topic=/left/image")) == 1
        with pytest.raises(SourceError, match="there: /left/image"):
            open_source(f"bag:{tmp_path / 'bag'}?topic=/up/image")

    def test_recording_without_images_is_refused(self, tmp_path):
        with BagWriter(tmp_path / "bag") as writer:
            writer.add_topic("/tracks", TRACKS)
        with pytest.raises(SourceError, match="none, only /tracks"):
            BagSource(tmp_path / "bag")


class TestAddress:
    @pytest.mark.parametrize(
        ("uri", "reason"),
        [
            ("/data/x", "begins with one of folder:, bag:, scene:"),
            ("video:x", "begins with one of"),
            ("folder:/nowhere/at/all", "no folder at /nowhere/at/all"),
            ("bag:/nowhere/at/all", "no recording at /nowhere/at/all"),
            ("scene:moon", "no scene named 'moon'"),
            ("folder:/tmp?rate", "name=value"),
            ("folder:/tmp?pace=3", "options are folder, rate"),
        ],
    )
    def test_what_is_wrong_is_said(self, uri, reason):
        with pytest.raises(SourceError, match=reason):
            open_source(uri)

    def test_folder_without_images(self, tmp_path):
        with pytest.raises(SourceError, match=f"no images .* in {tmp_path}"):
            open_source(f"folder:{tmp_path}")

    def test_unusable_rate(self, tmp_path):
        TestFolder().make(tmp_path, ["1.png"])
        with pytest.raises(SourceError, match="rate"):
            open_source(f"folder:{tmp_path}?rate=fast")
        with pytest.raises(SourceError, match="rate 0"):
            open_source(f"folder:{tmp_path}?rate=0")
