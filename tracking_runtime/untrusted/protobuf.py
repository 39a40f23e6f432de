"""Fields of protobuf messages of unknown origin, read without their schema."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tracking_runtime.untrusted.documents import DocumentError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # types of fields
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 100_000  # of one message


@dataclass(frozen=True)
class ProtobufField:
    """Field of a message.

    Attributes:
        number: number of the field in the schema.
        value: unsigned integer of a varint, or the bytes of any other field.
    """

    number: int
    value: int | memoryview

    @property
    def integer(self) -> int:
        """Value of a varint. Raise DocumentError if the field is another one."""
        if isinstance(self.value, int):
            return self.value
        raise DocumentError(f"field {self.number} must be an integer")

    @property
    def content(self) -> memoryview:
        """Bytes of a message, text or array. Raise DocumentError if the field is another one."""
        if isinstance(self.value, memoryview):
            return self.value
        raise DocumentError(f"field {self.number} must be bytes")

    @property
    def text(self) -> str:
        """Value of a text. Raise DocumentError if the field is another one."""
        try:
            return bytes(self.content).decode()
        except UnicodeDecodeError as error:
            raise DocumentError(f"field {self.number} must be UTF-8 text") from error

    @property
    def real(self) -> float:
        """Value of a 32-bit floating point number. Raise DocumentError if the field is another one."""
        if len(self.content) != _FIXED_BYTES[_FIXED32]:
            raise DocumentError(f"field {self.number} must be a number of 4 bytes")
        return float(struct.unpack("<f", self.content)[0])

    def list_integers(self) -> list[int]:
        """Return the integers of a repeated field: one, or several that are packed."""
        if isinstance(self.value, int):
            return [self.value]
        position = 0
        integers = []
        while position < len(self.value):
            integer, position = _read_varint(self.value, position)
            integers.append(integer)
        return integers


def iterate_fields(message: memoryview) -> Iterator[ProtobufField]:
    """Yield the fields of a message in their order. The bytes of a field are not copied.

    Raises:
        DocumentError: the message is damaged, or has more than 100,000 fields.
    """
    position = 0
    for _ in range(_MAX_FIELDS):
        if position == len(message):
            return
        key, position = _read_varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _read_varint(message, position)
            yield ProtobufField(key >> 3, value)
            continue
        if kind == _BYTES:
            size, position = _read_varint(message, position)
        elif kind in _FIXED_BYTES:
            size = _FIXED_BYTES[kind]
        else:
            raise DocumentError(f"a field of unknown type {kind}")
        if size > len(message) - position:
            raise DocumentError("a field is longer than the rest of its message")
        yield ProtobufField(key >> 3, message[position : position + size])
        position += size
    if position < len(message):
        raise DocumentError(f"a message has more than {_MAX_FIELDS} fields")


def _read_varint(content: memoryview, position: int) -> tuple[int, int]:
    """Return the integer at a position, and the position behind it."""
    value = 0
    for index, byte in enumerate(content[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise DocumentError("an integer does not end")
