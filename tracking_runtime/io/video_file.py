"""Frames from a video file, decoded one at a time, with the stamps and the ground truth of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.files import describe_content
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.av_library import av
from tracking_runtime.io.georeference import GeoReference, find_georeference
from tracking_runtime.io.ground_truth import (
    OnInvalidTruth,
    find_stated_truth,
    find_truth_file,
    read_source_truth,
)
from tracking_runtime.io.image_folder import SPECTRAL_INFO_FILE, read_spectral_info_file
from tracking_runtime.io.raw_video_end import is_last_frame_cut
from tracking_runtime.io.video_integrity import find_expected_bytes
from tracking_runtime.io.video_pixels import UPRIGHT, Orientation, count_bits, read_orientation, to_image
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.untrusted.limits import IMAGE_PIXELS

OnDamage = Literal["raise", "keep"]

_DEFAULT_RATE_HZ = 25.0
_MAX_JITTER = 0.1  # difference of the periods at a constant rate, as a fraction of the period
_MAX_JITTER_S = 0.002  # rounding of the times in the file in seconds
_INEXACT = Orientation(is_exact=False)
_NS_PER_SECOND = 1_000_000_000
_TRUTH_SUFFIXES = ("_gt.txt", "_gt.csv", ".gt.txt", ".gt.csv", ".txt", ".csv")  # after the name of the video
_MIN_BOX_COLUMNS = 4
_LFS_MAGIC = b"version https://git-lfs"

# Demuxers that read the given file alone. Playlists, which name other files, are not among them.
_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,flv,mxf,ogg,h264,hevc,av1,obu,ivf,yuv4mpegpipe,nut,gif,apng,"
    "dv,m4v,mjpeg,rm,vc1,dirac"
)
# Containers and codecs in which each packet is one frame. Frames of all others are counted by decoding.
_COUNTABLE_FORMATS = {
    "mov", "matroska", "avi", "mxf", "ivf", "yuv4mpegpipe", "nut", "gif", "apng", "h264", "hevc",
}  # fmt: skip
_RAW_FORMATS = {"h264", "hevc"}  # streams that do not state whether their last frame is complete
_COUNTABLE_CODECS = {
    "h264", "hevc", "av1", "libdav1d", "vp9", "mjpeg", "ffv1", "prores", "rawvideo", "wrapped_avframe", "png",
    "jpeg2000", "dnxhd", "huffyuv", "ffvhuff", "utvideo", "v210", "gif", "apng", "cfhd", "magicyuv",
}  # fmt: skip


@dataclass(frozen=True)
class VideoFacts:
    """Properties of a video file.

    Attributes:
        container: name of the file format.
        codec: name of the codec.
        pixel_format: name of the stored pixel format.
        bits: significant bits of a sample.
        encoding: encoding of the frames.
        image_size: width and height of the upright frames in pixels.
        rate_hz: average frames per second.
        orientation: turn and mirroring of the stored pictures.
        pixel_aspect: width of a pixel divided by its height.
        is_interlaced: True if a frame consists of two fields of different times.
        num_streams: number of video streams in the file.
        has_stamps: False if the file has no times.
        num_packets: number of frames by the index; None if the frames must be counted by decoding.
    """

    container: str
    codec: str
    pixel_format: str
    bits: int
    encoding: str
    image_size: tuple[int, int]
    rate_hz: float
    orientation: Orientation
    pixel_aspect: float
    is_interlaced: bool
    num_streams: int
    has_stamps: bool
    num_packets: int | None


class VideoFileSource:
    """A video file as a camera.

    The frames have the times of the file, also at a variable frame rate; the stamp of the first frame is one
    period. Frames are turned upright. Samples of 9 to 16 bits keep their values.

    The ground truth is the file `NAME_gt.txt`, `NAME.gt.txt` or `NAME.txt` (or `.csv`) beside `NAME.mp4`, or
    a file that `find_truth_file` finds beside the only video of a folder. The bands of a raw mosaic are in
    `spectral_info.yaml` beside the video.

    Args:
        path: video file.
        rate: frames per second; replaces the stamps of the file. None: stamps of the file.
        classes: names, separated by commas, of the classes that the ground truth numbers from 1.
        malformed: policy for invalid rows of the ground truth, as in `read_source_truth`.
        truth: path of the ground truth. Empty: beside the video. `none`: no ground truth.
        damaged: policy for files that are damaged or cut off. `raise` raises an error; `keep` yields every
            frame that can be decoded.
        stream: number of the video stream in the file, from 0.

    Raises:
        SourceError: the file is not a video, has no frames, or is damaged, cut off or encrypted.
    """

    attributes: tuple[str, ...] = ()

    def __init__(
        self,
        path: str | Path,
        *,
        rate: float | None = None,
        classes: str = "",
        malformed: OnInvalidTruth = "raise",
        truth: str = "",
        damaged: OnDamage = "raise",
        stream: int = 0,
    ) -> None:
        self.path = Path(path)
        if rate is not None and not 0 < rate < float("inf"):
            raise SourceError(f"rate of {path} must be above 0 frames per second: got {rate}")
        if damaged not in get_args(OnDamage):
            choices = " or ".join(get_args(OnDamage))
            raise SourceError(f"damaged of {path} must be {choices}: got {damaged}")
        self._given_rate_hz = rate
        self._keeps_damaged = damaged == "keep"
        self._stream_number = stream
        self._malformed = malformed
        self._given_class_names = tuple(name for name in str(classes).split(",") if name)
        self._check_file()
        self.facts = self._probe()
        self.truth_path = _find_truth(self.path) if not truth else find_stated_truth(truth)

    @property
    def name(self) -> str:
        """Name of the file without its suffix."""
        return self.path.stem

    @property
    def rate_hz(self) -> float:
        """Average frames per second."""
        return float(self._given_rate_hz or self.facts.rate_hz)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class of the ground truth."""
        return self._given_class_names or ("object",)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Statements about oddities of the file, for users."""
        facts = self.facts
        statements = {
            "its frames are stored turned or mirrored, and are turned upright": facts.orientation
            not in (UPRIGHT, _INEXACT),
            "it asks for a rotation that is not a multiple of 90 degrees, which is ignored": facts.orientation
            == _INEXACT,
            f"its pixels are not square: width / height is {facts.pixel_aspect:.4g}": facts.pixel_aspect != 1,
            "it is interlaced: each frame mixes two times": facts.is_interlaced,
            f"it has {facts.num_streams} video streams; ?stream=N chooses another": facts.num_streams > 1,
            f"it states no times: {facts.rate_hz:g} Hz is assumed; ?rate=N changes it": not facts.has_stamps,
            "damaged frames are kept": self._keeps_damaged,
        }
        return tuple(text for text, applies in statements.items() if applies)

    @cached_property
    def spectral_info(self) -> SpectralInfo | None:
        """Bands of a raw mosaic; None if they are not described."""
        folder = self.path.parent
        return read_spectral_info_file(folder) if (folder / SPECTRAL_INFO_FILE).is_file() else None

    @cached_property
    def georeference(self) -> GeoReference | None:
        """Position of all frames on the Earth, by the world file beside the video; None without one."""
        return find_georeference(self.path)

    @cached_property
    def truth(self) -> Sequence[GroundTruth | None]:
        """Ground truth of each frame; None where it is unknown.

        Raises:
            SourceError: the file of the ground truth is invalid.
        """
        if self.truth_path is None:
            return [None] * len(self)
        return read_source_truth(
            self.truth_path,
            len(self),
            class_names=self._given_class_names,
            policy=self._malformed,
        )

    def __len__(self) -> int:
        """Return the number of frames, counted by decoding where no index tells the number."""
        return self._num_frames

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames. A frame is decoded when it is due.

        Raises:
            SourceError: a frame is damaged or has another size than the first.
        """
        truth = self.truth if self.truth_path is not None else None
        num_frames = 0
        stamps = _Stamps(self.facts, self._given_rate_hz)
        for picture in self._decode():
            num_frames += 1
            stamp_ns = stamps.next(picture.pts, picture.time_base)
            image, encoding = self._convert(picture, num_frames)
            yield Frame(stamp_ns, image, encoding, truth=truth[num_frames - 1] if truth is not None else None)
        expected = self.facts.num_packets
        if expected is not None and num_frames < expected and not self._keeps_damaged:
            raise SourceError(
                f"{self.path}: only {num_frames} of {expected} frames can be decoded, because the file was "
                f"cut off or is damaged; {self._damage_advice}"
            )

    def has_variable_rate(self) -> bool:
        """Return whether the intervals between the frames differ, from the times of all packets."""
        with self._open() as (container, stream):
            packets = (packet for packet in container.demux(stream) if packet.size)
            times = [packet.pts for packet in packets if packet.pts is not None]
            periods = np.diff(np.sort(np.array(times, np.float64))) * float(stream.time_base or 0)
        if not len(periods):
            return False
        return bool(np.ptp(periods) > _MAX_JITTER * np.median(periods) + _MAX_JITTER_S)

    @cached_property
    def _num_frames(self) -> int:
        if self.facts.num_packets is not None and not self._keeps_damaged:
            return self.facts.num_packets
        return sum(1 for _ in self._decode())

    @property
    def _damage_advice(self) -> str:
        return f"copy or record the file again, or read the frames that are left: {self.path}?damaged=keep"

    def _check_file(self) -> None:
        """Raise SourceError if the file is missing, empty or cut off."""
        try:
            if not self.path.is_file():
                raise SourceError(f"no video at {self.path}: check the path")
            num_bytes = self.path.stat().st_size
            expected_bytes = find_expected_bytes(self.path)
        except OSError as error:
            raise SourceError(
                f"{self.path} cannot be read: {error.strerror}; check its permissions"
            ) from error
        if num_bytes == 0:
            raise SourceError(f"{self.path} is empty: got 0 bytes; copy or record the file again")
        if expected_bytes is not None and expected_bytes > num_bytes and not self._keeps_damaged:
            advice = self._damage_advice if self._has_readable_index() else "copy or record the file again"
            raise SourceError(
                f"{self.path} was cut off: got {num_bytes} bytes, expected {expected_bytes} or more; {advice}"
            )

    def _has_readable_index(self) -> bool:
        """Return whether the file can be opened at all."""
        try:
            with self._open():
                return True
        except SourceError:
            return False

    def _probe(self) -> VideoFacts:
        """Read the properties of the file, and decode its first frame.

        Raises:
            SourceError: the file is not a video, has no frames, or is encrypted.
        """
        with self._open() as (container, stream):
            IMAGE_PIXELS.check(stream.codec_context.width * stream.codec_context.height, self.path)
            if _is_encrypted(container, stream):
                raise SourceError(
                    f"{self.path} is encrypted: decrypt the file first, for example with "
                    "ffmpeg -decryption_key KEY -i FILE -c copy NEW.mp4"
                )
        with self._open() as (container, stream):
            picture = next(self._decode_stream(container, stream), None)
            if picture is None:
                raise SourceError(f"{self.path} has no frames; record the video again")
            orientation = read_orientation(picture)
            image, encoding = to_image(picture)
            height, width = orientation.apply(image).shape[:2]
            rate = stream.average_rate or stream.guessed_rate
            aspect = stream.sample_aspect_ratio
            facts = VideoFacts(
                container=container.format.name.split(",")[0],
                codec=stream.codec_context.codec.name,
                pixel_format=picture.format.name,
                bits=count_bits(picture.format),
                encoding=encoding,
                image_size=(width, height),
                rate_hz=float(rate) if rate else _DEFAULT_RATE_HZ,
                orientation=orientation,
                pixel_aspect=float(aspect) if aspect else 1.0,
                is_interlaced=bool(picture.interlaced_frame),
                num_streams=len(container.streams.video),
                has_stamps=picture.pts is not None,
                num_packets=None,
            )
        if self._keeps_damaged or not _is_countable(facts):
            return facts
        facts = replace(facts, num_packets=self._count_packets())
        if facts.container in _RAW_FORMATS:
            self._check_last_frame(facts)
        return facts

    def _check_last_frame(self, facts: VideoFacts) -> None:
        """Raise SourceError if a stream without a size was cut off within its last frame."""
        with self._open() as (container, stream):
            if is_last_frame_cut(container, stream):
                raise SourceError(
                    f"{self.path} was cut off within frame {facts.num_packets}, its last one; "
                    f"{self._damage_advice}"
                )

    def _count_packets(self) -> int:
        """Count the packets with frames, by the index if it is complete, else by reading all packets."""
        with self._open() as (container, stream):
            entries = getattr(stream, "index_entries", ())
            if stream.frames and len(entries) == stream.frames:
                return sum(entry.size > 0 and not entry.is_discard for entry in entries)
        with self._open() as (container, stream):
            return sum(packet.size > 0 and not packet.is_discard for packet in container.demux(stream))

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """Open the file and its video stream. Errors of the library become errors that name the file."""
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        try:
            with av.open(f"file:{self.path}", options=options, metadata_errors="replace") as container:
                yield container, self._choose_stream(container)
        except av.error.EOFError as error:
            raise SourceError(f"{self.path} has no frames; record the video again") from error
        except av.error.FFmpegError as error:
            raise SourceError(
                f"{self.path} cannot be read as a video: {_explain(self.path, error)}"
            ) from error

    def _choose_stream(self, container: Any) -> Any:
        streams = [
            stream for stream in container.streams.video if not _is_cover(stream) and stream.codec_context
        ]
        if not streams:
            found = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
            raise SourceError(f"{self.path} has no video: got {found}; give a file with a video stream")
        if not 0 <= self._stream_number < len(streams):
            raise SourceError(
                f"stream of {self.path} must be 0 to {len(streams) - 1}: got {self._stream_number}"
            )
        return streams[self._stream_number]

    def _decode(self) -> Iterator[Any]:
        with self._open() as (container, stream):
            yield from self._decode_stream(container, stream)

    def _decode_stream(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the pictures of a stream. Damaged ones raise an error unless they are to be kept."""
        # Threads that decode several frames at once lose frames beside a damaged one, and may return a
        # damaged frame before they mark it.
        stream.thread_type = "SLICE"
        num_frames = 0
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError as error:
                if self._keeps_damaged:
                    continue
                raise SourceError(
                    f"{self.path}: frame {num_frames + 1} or one after it cannot be decoded; "
                    f"{self._damage_advice}"
                ) from error
            for picture in pictures:
                num_frames += 1
                if picture.is_corrupt and not self._keeps_damaged:
                    raise SourceError(f"{self.path}: frame {num_frames} is damaged; {self._damage_advice}")
                yield picture

    def _convert(self, picture: Any, number: int) -> tuple[Any, str]:
        image, encoding = to_image(picture)
        image = image if self.facts.orientation == UPRIGHT else self.facts.orientation.apply(image)
        height, width = image.shape[:2]
        if (width, height) != self.facts.image_size or encoding != self.facts.encoding:
            raise SourceError(
                f"{self.path}: frame {number} must be as the first: got {width} x {height} {encoding}, "
                f"expected {self.facts.image_size[0]} x {self.facts.image_size[1]} {self.facts.encoding}; "
                "split the video where it changes"
            )
        return image, encoding


class _Stamps:
    """Stamps of consecutive frames in nanoseconds, always increasing.

    Args:
        facts: properties of the video.
        rate_hz: frames per second that replace the times of the file; None: times of the file.
    """

    def __init__(self, facts: VideoFacts, rate_hz: float | None) -> None:
        self._uses_file = rate_hz is None and facts.has_stamps
        self._rate_hz = rate_hz or facts.rate_hz
        self._first: int | None = None
        self._offset_ns = 0
        self._index = 0
        self._last_ns = 0

    def next(self, time: int | None, time_base: Fraction | None) -> int:
        """Return the stamp of the next frame.

        Args:
            time: presentation time of the frame in units of the time base; None if unknown.
            time_base: unit of the time in seconds.
        """
        self._index += 1
        period_ns = round(_NS_PER_SECOND / self._rate_hz)
        if not self._uses_file:
            return round(self._index * _NS_PER_SECOND / self._rate_hz)
        stamp_ns = self._last_ns + period_ns
        if time is not None and time_base is not None:
            if self._first is None:
                self._first = time
            file_ns = round((time - self._first) * time_base * _NS_PER_SECOND) + period_ns
            if file_ns + self._offset_ns <= self._last_ns:  # the times jump back: two recordings in one file
                self._offset_ns = stamp_ns - file_ns
            stamp_ns = file_ns + self._offset_ns
        self._last_ns = stamp_ns
        return stamp_ns


def _is_countable(facts: VideoFacts) -> bool:
    """Return whether each packet of a video is one frame."""
    return (
        facts.container in _COUNTABLE_FORMATS and facts.codec in _COUNTABLE_CODECS and not facts.is_interlaced
    )


def _is_cover(stream: Any) -> bool:
    """Return whether a stream is a still picture for the covers of players."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _is_encrypted(container: Any, stream: Any) -> bool:
    """Return whether the first packet carries the key's identification (Common Encryption)."""
    packet = next(container.demux(stream), None)
    return packet is not None and any("encryption" in str(data.data_type) for data in packet.iter_sidedata())


def _explain(path: Path, error: Exception) -> str:
    """Explain why a file cannot be opened, from its first bytes, with what to do."""
    with path.open("rb") as file:
        head = file.read(1 << 12)
        is_mp4 = head[4:8] in (b"ftyp", b"mdat", b"free", b"wide", b"skip")
    if is_mp4:
        return (
            "its index is missing, because the recording was not finished; record again, or repair the file "
            "with the program of the camera"
        )
    if head.startswith(_LFS_MAGIC):
        return f"it is {describe_content(head)}"
    if head.lstrip()[:1] == b"<":
        return "its content is a web page or XML; download the file itself"
    if head.startswith((b"#EXTM3U", b"ffconcat")):
        return "its content is a playlist of other files; give one of these files"
    if b"\0" not in head and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head):
        return "its content is text; give a video file"
    text = getattr(error, "strerror", None) or str(error)
    return f"{text}; check with a player that the file is a video, and name it by its format"


def _find_truth(path: Path) -> Path | None:
    """Find the ground truth beside a video; None if no file exists."""
    for suffix in _TRUTH_SUFFIXES:
        candidate = path.with_name(path.stem + suffix)
        if candidate.is_file() and ("gt" in suffix or _has_boxes(candidate)):
            return candidate
    return find_truth_file(path.parent) if _is_only_video(path) else None


def _has_boxes(path: Path) -> bool:
    """Return whether the first line of a text file can be a row of ground truth: 4 or more numbers."""
    with path.open("rb") as file:
        line = file.readline(1 << 12).decode("utf-8-sig", errors="replace")
    try:
        values = [float(text) for text in line.replace(",", " ").replace(";", " ").split()]
    except ValueError:
        return False
    return len(values) >= _MIN_BOX_COLUMNS


def _is_only_video(path: Path) -> bool:
    others = (other for other in path.parent.glob(f"*{path.suffix}") if other != path)
    return not any(other.is_file() and not other.name.startswith(".") for other in others)
