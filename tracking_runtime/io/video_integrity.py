"""Bytes that a video file must have by its own headers, to detect files that were cut off."""

from __future__ import annotations

import os
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
_MAX_BOXES = 100_000  # boxes at the top level; a fragmented file has two per fragment


def find_expected_bytes(path: Path) -> int | None:
    """Return the size that the headers of an MP4, QuickTime, Matroska, WebM or AVI file claim, in bytes.

    Returns:
        Size; larger than the file if the file was cut off. None if the format does not tell the size, as MPEG
        transport streams and raw streams.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head.startswith(_EBML_HEADER):
            return _find_matroska_bytes(file)
        if head[:4] == b"RIFF" and head[8:12] in _RIFF_TAGS:
            return _find_riff_bytes(file)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _find_mp4_bytes(file)
    return None


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
