"""Bytes that a video file must have by its own headers, to detect files that were cut off."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

_BOX = struct.Struct(">I4s")  # size and type of a box of MP4 and QuickTime
_LARGE_SIZE = struct.Struct(">Q")
_RIFF = struct.Struct("<4sI4s")  # AVI: tag, size, type
_RIFF_TAGS = {b"AVI ", b"AVIX"}
_RIFF_OVERHEAD_BYTES = 8  # tag and size, which the size leaves out
_EBML_HEADER = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_HEAD_BYTES = 1024  # enough for the headers that are parsed at once
_TS_SYNC = 0x47  # first byte of each packet of a transport stream
_TS_PACKET_BYTES = 188
_Y4M_MAGIC = b"YUV4MPEG2 "
_Y4M_HEADER = re.compile(rb"YUV4MPEG2 ([^\n]*)\n(FRAME[^\n]*\n)")
_Y4M_CHROMA = {b"420": (2, 2), b"411": (4, 1), b"422": (2, 1), b"444": (1, 1)}  # pixels per chroma sample
_MAX_BOXES = 100_000  # boxes at the top level; a fragmented file has two per fragment


def find_expected_bytes(path: Path) -> int | None:
    """Return the size in bytes that a video file must have by its headers, packets and end.

    Known are MP4, QuickTime, Matroska, WebM, AVI, GIF, YUV4MPEG and MPEG transport streams. A transport
    stream that was cut between two packets is complete.

    Returns:
        Size; larger than the file if the file was cut off. None if the format does not tell the size, as raw
        streams.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith(_EBML_HEADER):
            return _find_matroska_bytes(file)
        if head[:4] == b"RIFF" and head[8:12] in _RIFF_TAGS:
            return _find_riff_bytes(file)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _find_mp4_bytes(file)
        size = os.fstat(file.fileno()).st_size
        if head.startswith(b"GIF8"):
            return _find_gif_bytes(file, size)
        if head.startswith(_Y4M_MAGIC):
            return _find_y4m_bytes(head, size)
        if len(head) > _TS_PACKET_BYTES and head[0] == head[_TS_PACKET_BYTES] == _TS_SYNC:
            return -(-size // _TS_PACKET_BYTES) * _TS_PACKET_BYTES
    return None


def _find_gif_bytes(file: BinaryIO, size: int) -> int:
    """Return a byte more than the file has if its trailer is missing. Zeros may follow the trailer."""
    file.seek(max(0, size - _HEAD_BYTES))
    return size if file.read().rstrip(b"\0").endswith(b"\x3b") else size + 1


def _find_y4m_bytes(head: bytes, size: int) -> int | None:
    """Return the end of the last frame that the file begins; None if the header has another form."""
    header = _Y4M_HEADER.match(head)
    if header is None:
        return None
    fields = {field[:1]: field[1:] for field in header[1].split()}
    if not (fields.get(b"W", b"").isdigit() and fields.get(b"H", b"").isdigit()):
        return None
    width, height = int(fields[b"W"]), int(fields[b"H"])
    layout = fields.get(b"C", b"420jpeg")
    columns, rows = next((value for name, value in _Y4M_CHROMA.items() if layout.startswith(name)), (0, 0))
    num_chroma = -(-width // columns) * -(-height // rows) * 2 if columns else 0
    num_planes = width * height + num_chroma + (width * height if layout.startswith(b"444alpha") else 0)
    sample_bytes = 2 if re.search(rb"p\d\d$|mono\d+$", layout) else 1
    frame_bytes = len(header[2]) + num_planes * sample_bytes
    start = header.start(2)
    return start + -(-(size - start) // frame_bytes) * frame_bytes


def _find_mp4_bytes(file: BinaryIO) -> int:
    """Add the sizes of the boxes at the top level."""
    end = os.fstat(file.fileno()).st_size
    position = 0
    for _ in range(_MAX_BOXES):
        if position >= end:
            break
        file.seek(position)
        header = file.read(_BOX.size)
        if len(header) < _BOX.size:
            return position + _BOX.size
        size, _ = _BOX.unpack(header)
        if size == 0:  # the box ends with the file
            return end
        if size == 1:
            large = file.read(_LARGE_SIZE.size)
            if len(large) < _LARGE_SIZE.size:
                return position + _BOX.size + _LARGE_SIZE.size
            (size,) = _LARGE_SIZE.unpack(large)
        if size < _BOX.size:  # no box: other bytes follow the video
            break
        position += size
    return position


def _find_riff_bytes(file: BinaryIO) -> int:
    """Add the sizes of the RIFF lists. Files above 1 GB have several."""
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        header = file.read(_RIFF.size)
        if len(header) < _RIFF.size:
            break
        tag, size, kind = _RIFF.unpack(header)
        if tag != b"RIFF" or kind not in _RIFF_TAGS or size == 0:
            break
        position += _RIFF_OVERHEAD_BYTES + size + size % 2
    return position


def _find_matroska_bytes(file: BinaryIO) -> int | None:
    """Return the end of the segment; None if the recorder left its size open."""
    file.seek(len(_EBML_HEADER))
    header_bytes = _read_variable_size(file)
    if header_bytes is None:
        return None
    file.seek(header_bytes, os.SEEK_CUR)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return None
    segment_bytes = _read_variable_size(file)
    return None if segment_bytes is None else file.tell() + segment_bytes


def _read_variable_size(file: BinaryIO) -> int | None:
    """Read a size of EBML, whose leading zeros give its length. Return None for an unknown size."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = first[0] & (0xFF >> length)
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return None
    for byte in rest:
        value = value << 8 | byte
    return None if value == (1 << 7 * length) - 1 else value
