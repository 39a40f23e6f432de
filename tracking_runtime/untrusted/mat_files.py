"""Structure of MATLAB files, checked before scipy reads them.

scipy's reader of level 5 uses the type of an element as an index without a check: a hostile file ends the
process. The check walks over the elements, and unpacks compressed ones piece by piece.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import IO, Protocol

from tracking_runtime.untrusted.documents import DocumentError
from tracking_runtime.untrusted.files import open_file
from tracking_runtime.untrusted.limits import IMAGE_BYTES

_HEADER_BYTES = 128
_BYTE_ORDERS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_TYPES = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13, _MATRIX, _COMPRESSED, 16, 17, 18))
_TAG_BYTES = 8
_MAX_SMALL_BYTES = 4  # content of an element that stands in its tag
_MAX_DEPTH = 20  # cells and structures in each other
_MAX_ELEMENTS = 1_000_000
_PIECE_BYTES = 1 << 16


class _Stream(Protocol):
    """Bytes that are read once, from the beginning to the end."""

    def read(self, size: int) -> bytes: ...

    def skip(self, size: int) -> None: ...


def check_mat_file(path: Path) -> None:
    """Check that a MATLAB file of level 5 has only elements of known types that end inside of their parents.

    Files of other levels are not checked.

    Raises:
        DocumentError: the file is damaged, or not a MATLAB file of level 5 although its header says so.
        SourceError: the file unpacks to more than `IMAGE_BYTES`.
        OSError: the file cannot be read.
    """
    with open_file(path) as file:
        header = file.read(_HEADER_BYTES)
        order = _BYTE_ORDERS.get(header[126:128])
        if order is None or 0 in header[:4]:
            return
        size = path.stat().st_size - _HEADER_BYTES
        _Checker(path, order).check_elements(_FilePart(file), size, depth=0)


class _FilePart:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def skip(self, size: int) -> None:
        self._file.seek(size, 1)


class _Unpacked:
    """The content of a compressed element.

    Args:
        source: stream of the packed bytes.
        size: number of packed bytes.
        checker: owner of the limit.
    """

    def __init__(self, source: _Stream, size: int, checker: _Checker) -> None:
        self._source = source
        self._packed_left = size
        self._checker = checker
        self._decompressor = zlib.decompressobj()
        self._buffer = b""

    @property
    def is_at_end(self) -> bool:
        """True if no byte is left."""
        if not self._buffer:
            self._fill()
        return not self._buffer

    def read(self, size: int) -> bytes:
        parts = []
        while size and not self.is_at_end:
            parts.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def skip(self, size: int) -> None:
        while size and not self.is_at_end:
            step = min(size, len(self._buffer))
            self._buffer = self._buffer[step:]
            size -= step

    def drain(self) -> None:
        """Skip the packed bytes that were not needed."""
        self._source.skip(self._packed_left)
        self._packed_left = 0

    def _fill(self) -> None:
        while not self._buffer and not self._decompressor.eof:
            packed = self._decompressor.unconsumed_tail
            if not packed:
                packed = self._source.read(min(_PIECE_BYTES, self._packed_left))
                self._packed_left -= len(packed)
                if not packed:
                    return
            try:
                self._buffer = self._decompressor.decompress(packed, _PIECE_BYTES)
            except zlib.error as error:
                raise DocumentError(f"a compressed element is damaged: {error}") from error
            self._checker.count_unpacked(len(self._buffer))


class _Checker:
    def __init__(self, path: Path, order: str) -> None:
        self._path = path
        self._words = struct.Struct(f"{order}II")
        self._num_elements = 0
        self._num_unpacked = 0

    def count_unpacked(self, size: int) -> None:
        """Count unpacked bytes. Raise SourceError above the limit."""
        self._num_unpacked += size
        IMAGE_BYTES.check(self._num_unpacked, f"{self._path} unpacked")

    def check_elements(self, stream: _Stream, size: int, depth: int) -> None:
        """Check the lengths and the nesting of consecutive data elements.

        Args:
            stream: content of the file, at the first element.
            size: total size of the elements in bytes.
            depth: number of matrices and compressed elements around them.

        Raises:
            DocumentError: an element is longer than the rest, or nested too deep.
        """
        if depth > _MAX_DEPTH:
            raise DocumentError("nested too deep")
        while size >= _TAG_BYTES:
            kind, length, is_small = self._read_tag(stream)
            size -= _TAG_BYTES
            if is_small:
                continue
            if length > size:
                raise DocumentError(f"an element of {length} bytes is longer than the rest of the file")
            if kind == _COMPRESSED:
                self._check_compressed(stream, length, depth)
            elif kind == _MATRIX:
                self.check_elements(stream, length, depth + 1)
            else:
                stream.skip(length)
            size -= length
            padding = 0 if kind == _COMPRESSED else min(-length % 8, size)
            stream.skip(padding)
            size -= padding
        stream.skip(size)

    def _check_compressed(self, stream: _Stream, length: int, depth: int) -> None:
        unpacked = _Unpacked(stream, length, self)
        kind, size, is_small = self._read_tag(unpacked)
        if kind == _COMPRESSED:
            raise DocumentError("a compressed element inside another")
        if kind == _MATRIX and not is_small:
            self.check_elements(unpacked, size, depth + 1)
        unpacked.drain()

    def _read_tag(self, stream: _Stream) -> tuple[int, int, bool]:
        """Return type and size of the next element, and whether the tag has the content."""
        data = stream.read(_TAG_BYTES)
        if len(data) < _TAG_BYTES:
            raise DocumentError("an element is cut off")
        self._num_elements += 1
        if self._num_elements > _MAX_ELEMENTS:
            raise DocumentError(f"more than {_MAX_ELEMENTS} elements")
        word, length = self._words.unpack(data)
        small_size = word >> 16
        kind = word & 0xFFFF if small_size else word
        if kind not in _TYPES or small_size > _MAX_SMALL_BYTES:
            raise DocumentError(f"an element has the unknown type {kind}")
        return kind, small_size or length, bool(small_size)
