"""Frames from a live camera: a network stream (`rtsp://...`) or a camera of this computer (its index)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame
from tracking_runtime.io.av_library import av
from tracking_runtime.io.video_pixels import to_image
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.untrusted.limits import IMAGE_PIXELS

_DEFAULT_RATE_HZ = 25.0
_NS_PER_SECOND = 1_000_000_000
_MAX_RATE_HZ = 1000.0  # streams without a frame rate claim the rate of their clock
_POLL_S = 0.1  # period of the checks whether the reader's thread has ended
# What a stream may open: never a file of this computer.
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,rtmp,rtmps,rtmpt,srt,tcp,udp,tls,http,https,httpproxy,crypto,data"


class UnknownLengthError(SourceError, TypeError):
    """A live stream has no number of frames."""


@dataclass(frozen=True)
class _Picture:
    """A received frame, and its time in the stream in seconds; None if the stream has no times."""

    image: NDArray[Any]
    encoding: str
    seconds: float | None


class LiveSource:
    """A live camera. A frame that arrives while the last one is in use replaces the one that waits.

    The stamps are Unix times: the time of arrival of the first frame, plus the times of the stream. The
    stream is opened at once. Its frames can be iterated over once.

    Args:
        address: address as `rtsp://host/path`, or the index of a camera of this computer.
        timeout: longest wait for the connection and for each frame in seconds.

    Attributes:
        num_dropped: number of frames that were replaced before their use.
        image_size: width and height of the first frame in pixels.

    Raises:
        SourceError: the camera does not answer, or has no video.
    """

    def __init__(self, address: str, *, timeout: float = 10.0) -> None:
        if not 0 < timeout < float("inf"):
            raise SourceError(f"timeout of {address} must be above 0 seconds: got {timeout}")
        self._address = str(address)
        self._timeout_s = timeout
        self._rate_hz = _DEFAULT_RATE_HZ
        self.num_dropped = 0
        self._pictures = self._read_camera() if self._address.isdigit() else self._read_stream()
        first = next(self._pictures, None)
        if first is None:
            raise SourceError(f"{self._address} has no frames; check the camera")
        self._first: _Picture | None = first
        height, width = first.image.shape[:2]
        self.image_size = (width, height)

    @property
    def name(self) -> str:
        """Last part of the address, or `camera` and its index."""
        if self._address.isdigit():
            return f"camera{self._address}"
        path = self._address.partition("?")[0].rstrip("/")
        return path.rpartition("/")[2].rpartition("@")[2].replace(":", "_") or "stream"

    @property
    def rate_hz(self) -> float:
        """Frames per second, as the camera states it; 25 if unknown."""
        return self._rate_hz

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of the only class."""
        return ("object",)

    @property
    def spectral_info(self) -> SpectralInfo | None:
        """None: the bands of a live camera are unknown."""
        return None

    def __len__(self) -> int:
        """Raise UnknownLengthError."""
        raise UnknownLengthError(
            f"{self._address} is a live stream without a number of frames; record it first, or use "
            "rstrack track"
        )

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the newest frames until the stream ends.

        Raises:
            SourceError: no frame arrives within the timeout, or the frames were iterated over before.
        """
        if self._first is None:
            raise SourceError(f"{self._address}: a live stream can be read once; open the stream again")
        stamps = _LiveStamps()
        with closing(_NewestItem(self._iterate_pictures())) as newest:
            while (picture := newest.take(self._timeout_s)) is not None:
                yield Frame(stamps.next(picture.seconds), picture.image, picture.encoding)
                self.num_dropped = newest.num_replaced

    def _iterate_pictures(self) -> Iterator[_Picture]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._pictures

    def _read_stream(self) -> Iterator[_Picture]:
        options = {"protocol_whitelist": _PROTOCOLS}
        if self._address.startswith("rtsp"):
            options["rtsp_flags"] = "prefer_tcp"
        try:
            with av.open(self._address, options=options, timeout=self._timeout_s) as container:
                stream = next(iter(container.streams.video), None)
                if stream is None:
                    raise SourceError(f"{self._address} has no video; check the address")
                stream.thread_type = "SLICE"  # threads for several frames delay each frame
                rate = stream.average_rate or stream.guessed_rate
                if rate and 0 < rate <= _MAX_RATE_HZ:
                    self._rate_hz = float(rate)
                for picture in self._decode(container, stream):
                    IMAGE_PIXELS.check(picture.width * picture.height, self._address)
                    time_base = picture.time_base
                    has_time = picture.pts is not None and time_base is not None
                    yield _Picture(*to_image(picture), float(picture.pts * time_base) if has_time else None)
        except (av.error.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceError(
                f"{self._address} cannot be read: {reason}; check the address, the password and the network"
            ) from error

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the undamaged pictures of a stream."""
        for packet in container.demux(stream):
            try:
                pictures = packet.decode()
            except (
                av.error.InvalidDataError
            ):  # a packet was lost, or the stream was joined between key frames
                continue
            yield from (picture for picture in pictures if not picture.is_corrupt)

    def _read_camera(self) -> Iterator[_Picture]:
        device = Path(f"/dev/video{self._address}")
        capture = cv2.VideoCapture(int(self._address)) if device.exists() else None
        if capture is None or not capture.isOpened():
            available = ", ".join(sorted(path.name for path in Path("/dev").glob("video*"))) or "none"
            raise SourceError(
                f"no camera {self._address}: {device} cannot be opened; available: {available}; "
                "give the index of a camera that no other program uses"
            )
        try:
            rate = capture.get(cv2.CAP_PROP_FPS)
            if 0 < rate <= _MAX_RATE_HZ:
                self._rate_hz = float(rate)
            while True:
                is_read, image = capture.read()
                if not is_read:
                    return
                yield _Picture(image, "mono8" if image.ndim == 2 else "bgr8", None)
        finally:
            capture.release()


class _LiveStamps:
    """Unix times of consecutive frames in nanoseconds, always increasing."""

    def __init__(self) -> None:
        self._start_ns = 0
        self._start_s = 0.0
        self._last_ns = 0

    def next(self, seconds: float | None) -> int:
        """Return the stamp of the next frame, by its time in the stream if it is known."""
        now_ns = time.time_ns()
        if seconds is not None and not self._start_ns:
            self._start_ns = now_ns
            self._start_s = seconds
        stamp_ns = now_ns
        if seconds is not None:
            stamp_ns = self._start_ns + round((seconds - self._start_s) * _NS_PER_SECOND)
        if stamp_ns <= self._last_ns:
            stamp_ns = max(now_ns, self._last_ns + 1)
        self._last_ns = stamp_ns
        return stamp_ns


class _NewestItem:
    """A slot for the newest item of an iterator that a thread reads.

    Args:
        items: items; only the thread iterates over them.

    Attributes:
        num_replaced: number of items that were replaced before they were taken.
    """

    def __init__(self, items: Iterator[_Picture]) -> None:
        self.num_replaced = 0
        self._item: _Picture | None = None
        self._error: Exception | None = None
        self._is_finished = False
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(items,), name="live", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> _Picture | None:
        """Wait for an item and take it. Return None at the end.

        Raises:
            SourceError: no item arrived in time, or the iterator raised an error.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._item is not None or self._is_finished, timeout_s):
                raise SourceError(f"no frame arrived for {timeout_s:g} s; check the camera and the network")
            item, self._item = self._item, None
            if item is None and self._error is not None:
                raise self._error
            return item

    def close(self) -> None:
        """End the thread after its current item."""
        self._is_closed = True
        self._thread.join(_POLL_S)

    def _read(self, items: Iterator[_Picture]) -> None:
        try:
            for item in items:
                with self._changed:
                    self.num_replaced += self._item is not None
                    self._item = item
                    self._changed.notify_all()
                if self._is_closed:
                    return
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._is_finished = True
                self._changed.notify_all()
