"""Live streams: frames over the network, drops of late frames, ends and errors."""

from __future__ import annotations

import http.server
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from tracking_runtime.errors import SourceError
from tracking_runtime.io import open_source
from tracking_runtime.io.live_stream import LiveSource, UnknownLengthError
from tracking_runtime.io.sources import is_live

NUM_FRAMES = 12


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """A handler of files that logs nothing."""

    def log_message(self, *args: object) -> None:
        pass


class RtspServer:
    """An RTSP server that sends a transport stream once, over the connection of its only client."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://127.0.0.1:{self._socket.getsockname()[1]}/cam?channel=1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        sdp = (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track1\r\n"
        )
        replies = {
            "OPTIONS": "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
            "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}",
            "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
            "PLAY": "Session: 1\r\n\r\n",
        }
        with connection, self._socket, connection.makefile("rb") as lines:
            while method := lines.readline().decode().partition(" ")[0]:
                headers = dict(line.split(": ", 1) for line in _read_headers(lines))
                connection.sendall(
                    f"RTSP/1.0 200 OK\r\nCSeq: {headers['CSeq']}\r\n{replies[method]}".encode()
                )
                if method == "PLAY":
                    self._send(connection)
                    return

    def _send(self, connection: socket.socket) -> None:
        """Send the stream in RTP packets of seven packets each."""
        step = 7 * 188
        for number, start in enumerate(range(0, len(self._data), step)):
            header = struct.pack(">BBHII", 0x80, 33, number, 3600 * number, 1)
            packet = header + self._data[start : start + step]
            connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


def _read_headers(lines: BinaryIO) -> Iterator[str]:
    while line := lines.readline().decode().strip():
        yield line


@pytest.fixture
def stream(make_video: Callable[..., Path]) -> Iterator[str]:
    """Yield the address of a transport stream on an HTTP server, whose frames get brighter."""
    images = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(NUM_FRAMES)]
    path = make_video("live.ts", images)
    handler = partial(RangeHandler, directory=path.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{path.name}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_stream_yields_frames_with_rising_stamps(stream: str) -> None:
    before_ns = time.time_ns()

    source = open_source(stream)
    frames = list(source)

    stamps_ns = [frame.stamp_ns for frame in frames]
    values = [frame.image.mean() for frame in frames]
    assert source.name == "live.ts" and source.rate_hz == 25
    assert len(frames) + source.num_dropped == NUM_FRAMES
    assert stamps_ns[0] >= before_ns
    assert (np.diff(stamps_ns) > 0).all() and (np.diff(values) > 0).all()


def test_rtsp_stream_yields_frames(make_video: Callable[..., Path]) -> None:
    images = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(NUM_FRAMES)]
    server = RtspServer(make_video("live.ts", images).read_bytes())

    source = open_source(server.address)
    values = [frame.image.mean() for frame in source]

    assert (source.name, source.rate_hz) == ("cam", 25)
    assert NUM_FRAMES - 1 <= len(values) + source.num_dropped <= NUM_FRAMES
    assert (np.diff(values) > 0).all()


def test_stream_skips_frames_that_arrive_while_one_is_used(stream: str) -> None:
    source = LiveSource(stream)

    frames = iter(source)
    taken = [next(frames)]
    for thread in threading.enumerate():
        if thread.name == "live":
            thread.join(10)
    taken += frames

    assert len(taken) <= 2 and len(taken) + source.num_dropped == NUM_FRAMES
    assert taken[-1].image.mean() == pytest.approx(20 * (NUM_FRAMES - 1), abs=4)


def test_stream_has_no_length_and_is_read_once(stream: str) -> None:
    source = LiveSource(stream)
    list(source)

    with pytest.raises(UnknownLengthError, match="live stream without a number of frames"):
        len(source)
    with pytest.raises(SourceError, match="can be read once"):
        list(source)


def test_stream_that_does_not_answer_is_an_error() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x"

        with pytest.raises(SourceError, match=f"{address} cannot be read: .*; check the address"):
            LiveSource(address, timeout=0.3)


def test_stream_that_refuses_connections_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1:9/x cannot be read: Connection refused"):
        open_source("rtsp://127.0.0.1:9/x")


def test_missing_camera_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"no camera 77: /dev/video77 cannot be opened; available: "):
        open_source("77")


@pytest.mark.parametrize("timeout", [0, -1, float("inf")])
def test_invalid_timeout_is_refused(timeout: float) -> None:
    with pytest.raises(SourceError, match="timeout of 0 must be above 0 seconds"):
        LiveSource("0", timeout=timeout)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://host/x", True),
        ("RTSPS://user:word@host:554/x?channel=1", True),
        ("udp://@:1234", True),
        ("0", True),
        ("camera:1", True),
        ("/dev/video2", True),
        ("video.mp4", False),
        ("rtsp:", False),
        ("scene:satellite", False),
        ("1234", False),
    ],
)
def test_is_live_recognizes_addresses(address: str, expected: bool) -> None:
    assert is_live(address) is expected


def test_folder_named_by_a_number_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "7").mkdir()
    monkeypatch.chdir(tmp_path)

    assert not is_live("7")
