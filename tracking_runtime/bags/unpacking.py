"""Unpacking of compressed blocks of a recording. Limits are checked before and while unpacking."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import lz4.frame
import zstandard

from tracking_runtime.errors import SourceError
from tracking_runtime.untrusted.limits import UNPACKED_BYTES, UNPACKED_RATIO

_MAX_WINDOW_BYTES = 1 << 27  # largest window of zstd's levels; a frame may ask for more memory
_COPY_BYTES = 1 << 20  # bytes that are copied at once


class DamagedBlockError(ValueError):
    """A block that cannot be unpacked, or does not have the stated size."""


class UnpackingBudget:
    """Bytes that all blocks of one file may unpack to.

    Args:
        path: file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unpacked = 0
        size = path.stat().st_size
        self._limit = max(UNPACKED_BYTES.value, size * UNPACKED_RATIO.value)

    def spend(self, size: int) -> None:
        """Count the size of one block, before the block is unpacked.

        Raises:
            SourceError: the block, or all blocks together, are larger than their limit.
        """
        UNPACKED_BYTES.check(size, f"{self._path}: unpacked block")
        self._unpacked += size
        if self._unpacked > self._limit:
            raise SourceError(
                f"{self._path}: the file unpacks to more than {self._limit} bytes, "
                f"{UNPACKED_RATIO.value} times its size; if the data are real, "
                f"set {UNPACKED_RATIO.variable} to a higher number"
            )


def check_stated_size(compression: str, data: bytes, size: int) -> None:
    """Check that the size in the header of packed bytes, if it has one, is that of the block.

    Args:
        compression: `zstd` or `lz4`; others are not checked.
        data: packed bytes.
        size: stated size of the unpacked bytes.

    Raises:
        DamagedBlockError: the sizes differ: one of them is damaged.
    """
    known = None
    with suppress(zstandard.ZstdError, RuntimeError, ValueError):
        if compression == "zstd":
            known = zstandard.get_frame_parameters(data).content_size
            known = None if known == zstandard.CONTENTSIZE_UNKNOWN else known
        elif compression == "lz4":
            known = lz4.frame.get_frame_info(data)["content_size"] or None
    if known is not None and known != size:
        raise DamagedBlockError(f"size is not the stated {size} bytes")


def unpack_block(compression: str, data: bytes, size: int) -> bytes:
    """Unpack a block.

    Args:
        compression: `` (none), `zstd` or `lz4`.
        data: packed bytes.
        size: stated size of the unpacked bytes. The caller checks it against a limit.

    Raises:
        DamagedBlockError: the compression is unknown, or the bytes do not unpack to the stated size.
    """
    try:
        unpacked = _unpack(compression, data, size)
    except (zstandard.ZstdError, RuntimeError, EOFError, ValueError) as error:
        raise DamagedBlockError(f"not {compression}: {error}") from error
    if len(unpacked) != size:
        raise DamagedBlockError(f"size is not the stated {size} bytes")
    return unpacked


def unpack_zstd_message(data: bytes, budget: UnpackingBudget) -> bytes:
    """Unpack a message that rosbag2 compressed by itself.

    Raises:
        DamagedBlockError: the bytes are not compressed by zstd.
        SourceError: the message is larger than its limit.
    """
    try:
        stated_size = zstandard.get_frame_parameters(data).content_size
    except zstandard.ZstdError as error:
        raise DamagedBlockError(f"not zstd: {error}") from error
    if stated_size == zstandard.CONTENTSIZE_UNKNOWN:
        raise DamagedBlockError("zstd frame without a size")
    budget.spend(stated_size)
    return unpack_block("zstd", data, stated_size)


def unpack_zstd_file(path: Path, target: Path) -> None:
    """Unpack a storage file that rosbag2 compressed as a whole.

    Raises:
        SourceError: the file is not compressed by zstd, or unpacks to more than its limit.
        OSError: a file cannot be read or written.
    """
    limit = max(UNPACKED_BYTES.value, path.stat().st_size * UNPACKED_RATIO.value)
    written = 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    try:
        with path.open("rb") as source, target.open("wb") as output:
            for block in _read_blocks(decompressor.stream_reader(source, read_across_frames=True)):
                written += len(block)
                if written > limit:
                    raise SourceError(
                        f"{path}: the file unpacks to more than {limit} bytes; if the data are real, set "
                        f"{UNPACKED_RATIO.variable} to more than {UNPACKED_RATIO.value}"
                    )
                output.write(block)
    except zstandard.ZstdError as error:
        raise SourceError(f"{path} cannot be unpacked: {error}; copy the file again") from error


def _read_blocks(stream: zstandard.ZstdDecompressionReader) -> Iterable[bytes]:
    return iter(lambda: stream.read(_COPY_BYTES), b"")


def _unpack(compression: str, data: bytes, size: int) -> bytes:
    if not compression:
        return data
    if compression == "zstd":
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        return decompressor.stream_reader(io.BytesIO(data)).read(size + 1)
    if compression == "lz4":
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1))
    raise ValueError("unknown compression")
