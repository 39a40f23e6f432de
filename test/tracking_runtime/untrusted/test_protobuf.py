"""Fields of protobuf messages."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.untrusted.documents import DocumentError
from tracking_runtime.untrusted.protobuf import iterate_fields


def encode_varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def encode_field(number: int, value: int | bytes | float) -> bytes:
    if isinstance(value, bytes):
        return encode_varint(number << 3 | 2) + encode_varint(len(value)) + value
    if isinstance(value, float):
        return encode_varint(number << 3 | 5) + struct.pack("<f", value)
    return encode_varint(number << 3) + encode_varint(value)


numbers = st.integers(1, 2**29 - 1)
values = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300), st.floats(width=32, allow_nan=False))


@given(st.lists(st.tuples(numbers, values), max_size=8))
def test_fields_are_read_in_their_order(fields):
    content = b"".join(encode_field(number, value) for number, value in fields)

    found = list(iterate_fields(memoryview(content)))

    assert [field.number for field in found] == [number for number, _ in fields]
    for field, (_, value) in zip(found, fields, strict=True):
        if isinstance(value, bytes):
            assert bytes(field.content) == value
        else:
            assert (field.real if isinstance(value, float) else field.integer) == value


@given(st.lists(st.integers(0, 2**40), max_size=6))
def test_packed_integers_are_read(integers):
    (field,) = iterate_fields(memoryview(encode_field(20, b"".join(map(encode_varint, integers)))))

    assert field.list_integers() == integers


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    try:
        for field in iterate_fields(memoryview(content)):
            field.list_integers()
    except DocumentError:
        pass


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\x0a\x05abc", "longer than the rest"),
        (b"\x0d\x00\x00", "longer than the rest"),
        (b"\x0b", "unknown type 3"),
        (b"\x80" * 12, "does not end"),
        (b"\x08", "does not end"),
        (b"\x08\x01" * 100_001, "more than 100000 fields"),
    ],
)
def test_damaged_message_is_refused(content, fault):
    with pytest.raises(DocumentError, match=fault):
        list(iterate_fields(memoryview(content)))


def test_value_of_another_type_is_refused():
    integer, data = iterate_fields(memoryview(encode_field(1, 3) + encode_field(2, b"\xff")))

    for name in ("content", "text", "real"):
        with pytest.raises(DocumentError, match="field 1"):
            getattr(integer, name)
    for name in ("integer", "text", "real"):
        with pytest.raises(DocumentError, match="field 2"):
            getattr(data, name)
