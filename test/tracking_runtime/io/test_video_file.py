"""Video files: exact frames, stamps, bits, orientation, ground truth, and files that cannot be read."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.errors import SourceError
from tracking_runtime.io import open_source
from tracking_runtime.io.video_file import VideoFileSource
from tracking_runtime.io.video_pixels import Orientation

MakeVideo = Callable[..., Path]
HEIGHT, WIDTH = 48, 64
ONE = 1 << 16  # the value 1 in a display matrix


def make_noise(num_frames: int, *, channels: int = 3, bits: int = 8) -> np.ndarray:
    shape = (num_frames, HEIGHT, WIDTH) + ((channels,) if channels > 1 else ())
    values = np.random.default_rng(0).integers(0, 1 << bits, shape)
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def make_steps(num_frames: int) -> np.ndarray:
    """Make gray frames whose value is ten times their number."""
    return np.stack([np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8) for number in range(num_frames)])


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Replace the display matrix in the header of the first track of an MP4 file."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    matrix = np.array([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30], ">i4")
    data[start : start + 36] = matrix.tobytes()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"), [("a.mkv", "ffv1", "bgr0"), ("a.avi", "ffv1", "bgr0")]
)
def test_lossless_video_has_the_exact_frames(
    make_video: MakeVideo, name: str, codec: str, pixel_format: str
) -> None:
    images = make_noise(5)

    source = open_source(make_video(name, images, codec=codec, pixel_format=pixel_format))
    frames = list(source)

    assert len(source) == 5
    assert {frame.encoding for frame in frames} == {"bgr8"}
    np.testing.assert_array_equal([frame.image for frame in frames], images)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mov", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.h264", "libx264", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("wrong_suffix.bin.mp4", "libx264", "yuv420p"),
    ],
)
def test_video_has_every_frame_once_in_order(
    make_video: MakeVideo, name: str, codec: str, pixel_format: str
) -> None:
    source = open_source(make_video(name, make_steps(23), codec=codec, pixel_format=pixel_format))

    values = [frame.image.mean() for frame in source]
    stamps_ns = [frame.stamp_ns for frame in source]

    assert len(source) == 23
    np.testing.assert_allclose(values, 10 * np.arange(23), atol=4)
    assert source.rate_hz == 25
    np.testing.assert_array_equal(stamps_ns, 40_000_000 * np.arange(1, 24))


def test_content_decides_the_format_not_the_suffix(make_video: MakeVideo) -> None:
    path = make_video("a.mkv", make_steps(3)).rename

    renamed = path(make_video("b.mkv", make_steps(1)).with_name("c.mp4"))

    assert len(open_source(renamed)) == 3


def test_variable_frame_rate_keeps_the_times_of_the_file(make_video: MakeVideo) -> None:
    stamps_ms = [0, 40, 80, 200, 240, 250, 400]

    source = VideoFileSource(make_video("a.mp4", make_steps(7), stamps_ms=stamps_ms))
    stamps_ns = np.array([frame.stamp_ns for frame in source])

    np.testing.assert_array_equal(stamps_ns - stamps_ns[0], np.multiply(stamps_ms, 1_000_000))
    assert stamps_ns[0] == round(1e9 / source.rate_hz)


def test_rate_option_replaces_the_times_of_the_file(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_steps(3), stamps_ms=[0, 40, 400])

    source = open_source(f"video:{path}?rate=50")

    assert source.rate_hz == 50
    assert [frame.stamp_ns for frame in source] == [20_000_000, 40_000_000, 60_000_000]


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_gray_video_keeps_all_bits(make_video: MakeVideo, bits: int) -> None:
    images = make_noise(3, channels=1, bits=bits)
    pixel_format = f"gray{bits}le"
    path = make_video("a.mkv", images, codec="ffv1", pixel_format=pixel_format, image_format=pixel_format)

    source = VideoFileSource(path)
    frames = list(source)

    assert source.facts.bits == bits
    assert {frame.encoding for frame in frames} == {"mono16"}
    np.testing.assert_array_equal([frame.image for frame in frames], images)


@pytest.mark.parametrize("bits", [10, 12])
def test_color_video_of_more_bits_keeps_them(make_video: MakeVideo, bits: int) -> None:
    rgb = make_noise(2, bits=bits)
    pixel_format = f"gbrp{bits}le"
    path = make_video("a.mkv", rgb, codec="ffv1", pixel_format=pixel_format, image_format=pixel_format)

    frames = list(VideoFileSource(path))

    assert {frame.encoding for frame in frames} == {"16UC3"}
    np.testing.assert_array_equal([frame.image for frame in frames], rgb[..., ::-1])


@pytest.mark.parametrize("bits", [10, 12])
def test_yuv_video_of_more_bits_has_their_range(make_video: MakeVideo, bits: int) -> None:
    images = np.stack([np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (0, 128, 255)])
    path = make_video("a.mkv", images, codec="ffv1", pixel_format=f"yuv422p{bits}le")

    values = [frame.image.mean() for frame in VideoFileSource(path)]

    np.testing.assert_allclose(values, np.array([0, 128 / 255, 1]) * ((1 << bits) - 1), atol=1 << (bits - 7))


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
    ],
)
def test_rotated_video_is_turned_upright(
    make_video: MakeVideo, matrix: tuple[int, int, int, int], turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:16, :16] = 255
    path = make_video("a.mp4", [image] * 2)
    set_display_matrix(path, *matrix)

    source = VideoFileSource(path)
    frame = next(iter(source))

    expected = turn(image)
    assert frame.image.shape == expected.shape
    assert source.facts.image_size == expected.shape[1::-1]
    np.testing.assert_allclose(frame.image.astype(int), expected, atol=30)


def test_rotation_by_another_angle_is_told(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_steps(1))
    set_display_matrix(path, 2, 0, 0, 1)

    assert VideoFileSource(path).facts.orientation == Orientation(is_exact=False)


def test_source_can_be_sent_to_another_process(make_video: MakeVideo) -> None:
    source = VideoFileSource(make_video("a.mp4", make_steps(3)))

    copy = pickle.loads(pickle.dumps(source))

    assert [frame.stamp_ns for frame in copy] == [frame.stamp_ns for frame in source]


@pytest.mark.parametrize("name", ["a_gt.txt", "a.gt.txt", "a.txt", "a.csv", "gt.txt", "groundtruth.txt"])
def test_ground_truth_beside_the_video_is_found(make_video: MakeVideo, name: str) -> None:
    path = make_video("a.mp4", make_steps(2))
    path.with_name(name).write_text("1,7,10,11,12,13,1,1,1\n2,7,11,11,12,13,1,1,1\n")

    frames = list(open_source(path))

    assert [frame.truth.ids.tolist() for frame in frames if frame.truth] == [[7], [7]]
    assert frames[1].truth is not None
    np.testing.assert_array_equal(frames[1].truth.boxes, [[11, 11, 12, 13]])


def test_text_beside_the_video_without_boxes_is_no_truth(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_steps(2))
    path.with_name("a.txt").write_text("Recorded on a sunny day.\n")

    assert [frame.truth for frame in open_source(path)] == [None, None]


def test_ground_truth_of_another_video_is_not_taken(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_steps(1))
    make_video("b.mp4", make_steps(1))
    path.with_name("gt.txt").write_text("1,7,10,11,12,13,1,1\n")

    assert VideoFileSource(path).truth_path is None


def test_ground_truth_option_names_a_file(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("a.mp4", make_steps(1))
    (tmp_path / "labels.txt").write_text("1,7,10,11,12,13,1,1\n")

    named = open_source(f"video:{path}?truth={tmp_path}/labels.txt")
    missing = f"video:{path}?truth={tmp_path}/missing.txt"

    assert [frame.truth.ids.tolist() for frame in named if frame.truth] == [[7]]
    with pytest.raises(SourceError, match=r"no ground truth at .*missing\.txt"):
        open_source(missing)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
def test_cut_off_video_is_refused(make_video: MakeVideo, name: str, fraction: float) -> None:
    codec = ("ffv1", "bgr0") if name == "a.avi" else ("libx264", "yuv420p")
    path = make_video(name, make_noise(10), codec=codec[0], pixel_format=codec[1])
    data = path.read_bytes()
    path.write_bytes(data[: int(fraction * len(data))])

    with pytest.raises(SourceError, match=rf"{path} was cut off: got .* bytes, expected .*; copy") as error:
        open_source(path)
    assert ("damaged=keep" in str(error.value)) == (name != "a.mp4")  # the index of an MP4 file is at its end


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.gif", "gif", "gray"),
        ("a.y4m", "wrapped_avframe", "yuv420p"),
        ("a.y4m", "wrapped_avframe", "yuv444p"),
        ("a.y4m", "wrapped_avframe", "gray"),
    ],
)
def test_cut_off_video_without_a_size_is_refused(
    make_video: MakeVideo, name: str, codec: str, pixel_format: str
) -> None:
    path = make_video(name, make_noise(10), codec=codec, pixel_format=pixel_format)
    assert len(open_source(path)) == 10
    data = path.read_bytes()

    path.write_bytes(data[: int(0.61 * len(data))])

    with pytest.raises(SourceError, match=rf"{path} was cut off: .*{path}\?damaged=keep"):
        open_source(path)
    assert 3 <= len(list(open_source(f"{path}?damaged=keep"))) < 10


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.hevc", "libx265")])
def test_cut_off_raw_stream_is_refused(make_video: MakeVideo, name: str, codec: str) -> None:
    """A raw stream states no size. Where it ends within a frame, the frame is named."""
    path = make_video(name, make_noise(10), codec=codec)
    source = open_source(path)
    assert len(source) == len(list(source)) == 10
    data = path.read_bytes()
    last_unit = data.rindex(b"\0\0\1")

    for num_bytes in (len(data) // 3, last_unit + 30, len(data) - 6):
        path.write_bytes(data[:num_bytes])

        with pytest.raises(SourceError, match=rf"{path} was cut off within frame \d+, .*damaged=keep"):
            open_source(path)
        kept = open_source(f"{path}?damaged=keep")
        assert 1 <= len(kept) == len(list(kept)) <= 10


def test_raw_stream_that_is_cut_between_frames_is_read(make_video: MakeVideo) -> None:
    path = make_video("a.hevc", make_noise(10), codec="libx265")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\0\0\1")].rstrip(b"\0"))

    source = open_source(path)

    assert len(source) == len(list(source)) == 9


def test_pointer_of_git_lfs_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")

    with pytest.raises(SourceError, match=rf"{path} cannot be read as a video: .* run git lfs pull"):
        open_source(path)


def test_world_file_beside_a_video_gives_its_position(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_noise(2))
    assert open_source(path).georeference is None  # type: ignore[attr-defined]

    path.with_suffix(".wld").write_text("2\n0\n0\n-2\n11\n19\n")

    assert open_source(path).georeference.transform == ((2, 0, 10), (0, -2, 20))  # type: ignore[attr-defined]


def test_cut_off_video_can_be_kept(make_video: MakeVideo) -> None:
    images = make_noise(10)
    path = make_video("a.mkv", images, codec="ffv1", pixel_format="bgr0")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    source = open_source(f"{path}?damaged=keep")
    frames = list(source)

    assert 3 <= len(frames) == len(source) <= 6
    np.testing.assert_array_equal([frame.image for frame in frames[:3]], images[:3])


def test_damaged_frame_is_refused_by_number(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_noise(10))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)

    with pytest.raises(SourceError, match=rf"{path}: .*frame \d+ .*damaged=keep"):
        list(open_source(path))
    assert len(list(open_source(f"{path}?damaged=keep"))) >= 8


def test_encrypted_video_is_refused(make_video: MakeVideo) -> None:
    encryption = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }

    path = make_video("a.mp4", make_noise(3), options=encryption)

    with pytest.raises(SourceError, match=rf"{path} is encrypted: decrypt"):
        open_source(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"not a video\n" * 50, "content is text; give a video file"),
        (b"<html><body>404</body></html>" * 9, "web page"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
        (bytes(range(1, 256)) * 20, "cannot be read as a video"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=rf"{path} .*{reason}"):
        VideoFileSource(path)


def test_playlist_of_an_existing_video_is_not_followed(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", make_steps(1))
    playlist = path.with_name("list.mp4")
    playlist.write_text(f"ffconcat version 1.0\nfile {path}\n")

    with pytest.raises(SourceError, match="playlist"):
        VideoFileSource(playlist)


def test_video_without_frames_is_refused(make_video: MakeVideo) -> None:
    path = make_video("a.mkv", make_steps(1), codec="ffv1", pixel_format="bgr0")
    data = path.read_bytes()
    first_cluster = data.index(b"\x1f\x43\xb6\x75")
    path.write_bytes(data[:first_cluster])

    with pytest.raises(SourceError, match=rf"{path} has no frames"):
        VideoFileSource(path, damaged="keep")


def test_sound_without_video_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    with pytest.raises(SourceError, match=rf"{path} has no video: got audio"):
        VideoFileSource(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no video at .*a\.mp4"):
        VideoFileSource(tmp_path / "a.mp4")


@pytest.mark.parametrize("option", ["rate=0", "rate=-1", "damaged=ignore", "stream=1", "speed=2"])
def test_invalid_option_is_refused(make_video: MakeVideo, option: str) -> None:
    path = make_video("a.mp4", make_steps(1))

    with pytest.raises(SourceError, match=option.partition("=")[0]):
        open_source(f"video:{path}?{option}")


def test_frames_above_the_limit_of_pixels_are_refused(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("a.mp4", make_steps(1))
    monkeypatch.setenv("RSTRACK_MAX_PIXELS", "1000")

    with pytest.raises(SourceError, match=f"{path}: 3072 pixels are more than the limit of 1000"):
        VideoFileSource(path)


@given(st.booleans(), st.booleans(), st.booleans())
def test_orientation_keeps_every_pixel(transposed: bool, columns: bool, rows: bool) -> None:
    image = np.arange(6).reshape(2, 3)

    turned = Orientation(transposed, columns, rows).apply(image)

    assert turned.shape == ((3, 2) if transposed else (2, 3))
    assert sorted(turned.ravel()) == sorted(image.ravel())
