"""Writer of MP4 files that can be played up to the last second also if the process is killed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.io.av_library import av

_TIME_BASE = Fraction(1, 90_000)  # unit of the times in the file in seconds
_NS_PER_SECOND = 1_000_000_000
_SECONDS_PER_FRAGMENT = 1.0  # a killed process loses at most about this much of the video
_MAX_FRAMES_PER_FRAGMENT = 60
_CODECS = ("libx264", "mpeg4")  # the first that PyAV was built with is used
_CODEC_OPTIONS = {"libx264": {"preset": "veryfast", "crf": "20"}, "mpeg4": {"qscale": "3"}}


class VideoWriter:
    """A video in an MP4 file. Each frame is shown from its stamp to the next.

    The file has fragments while it is written, and an ordinary index after it is closed.

    Args:
        path: file to write.
        rate_hz: approximate frames per second.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        path.open("wb").close()  # PyAV opens the file with the first frame: report errors now
        self._rate_hz = rate_hz
        self._container = av.open(
            f"file:{path}", "w", format="mp4", options={"movflags": "hybrid_fragmented", "flush_packets": "1"}
        )
        self._stream: Any = None
        self._first_ns = 0
        self._last_time = -1

    def __enter__(self) -> VideoWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, also after an error."""
        self.close()

    def write(self, image: NDArray[np.uint8], stamp_ns: int) -> None:
        """Append a frame.

        Args:
            image: BGR image, (H, W, 3). All images have the same size.
            stamp_ns: stamp of the frame in nanoseconds. A stamp that is not above the last one is raised.

        Raises:
            OSError: the file cannot be written, for example because the disk is full.
        """
        if self._stream is None:
            self._stream = self._add_stream(image)
            self._first_ns = stamp_ns
        elapsed = Fraction(stamp_ns - self._first_ns, _NS_PER_SECOND)
        self._last_time = max(round(elapsed / _TIME_BASE), self._last_time + 1)
        picture = av.VideoFrame.from_ndarray(_pad_to_even_size(image), format="bgr24")
        picture.pts = self._last_time
        picture.time_base = _TIME_BASE
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write the frames that the encoder holds back, and the index."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
            self._stream = None
        self._container.close()

    def _add_stream(self, image: NDArray[np.uint8]) -> Any:
        codec = next(name for name in _CODECS if name in av.codecs_available)
        rate = Fraction(self._rate_hz).limit_denominator(1001)
        stream: Any = self._container.add_stream(codec, rate=rate, options=dict(_CODEC_OPTIONS[codec]))
        height, width = image.shape[:2]
        stream.width = width + width % 2
        stream.height = height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TIME_BASE
        frames = round(self._rate_hz * _SECONDS_PER_FRAGMENT)
        stream.codec_context.gop_size = min(max(frames, 1), _MAX_FRAMES_PER_FRAGMENT)
        return stream


def _pad_to_even_size(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column of an image with odd sides, which H.264 cannot store."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return np.ascontiguousarray(image)
