"""Mutations of valid files, drawn by a random generator that a seed repeats."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence

_NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
_TOKENS = (
    b"", b"-1", b"0", b"1e308", b"-1e400", b"nan", b"inf", b"99999999999999999999", b"null", b"true",
    b"[]", b"{}", b"[[", b"'", b'"', b"\\", b"..", b"/etc/passwd", b"\0", b"\xff\xfe", b"\xc3(", b"1_0",
    "²٣".encode(), b"1,5", b";", b"&a *a", b"!!python/name:os.system", b"<!ENTITY a 'b'>", b"\r", b"%s",
    b"[" * 3000, b'{"a":' * 1500, b"<a>" * 1500, b"9" * 5000, b"0x" + b"f" * 5000, b"1" + b":59" * 2000,
    b"\xed\xa0\x80", b"\\ud800", b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
)  # fmt: skip
_WORD = re.compile(rb"[A-Za-z_]+|-?[0-9.]+")
_MAX_EDITS = 5


def mutate(content: bytes, others: Sequence[bytes], random_: random.Random) -> bytes:
    """Return a content with one to five edits: bits, numbers, tokens, cuts, copies, parts of other seeds."""
    data = bytearray(content)
    for _ in range(random_.randint(1, _MAX_EDITS)):
        position = random_.randrange(len(data) + 1)
        size = random_.choice((1, 2, 4, 8, random_.randint(1, 64)))
        edit = random_.randrange(9)
        if edit == 0 and position < len(data):
            data[position] ^= 1 << random_.randrange(8)
        elif edit == 1:
            data[position : position + size] = random_.randbytes(size)
        elif edit == 2:
            width, order = random_.choice("BHIQ"), random_.choice("<>")
            number = random_.choice(_NUMBERS) & ((1 << 8 * struct.calcsize(width)) - 1)
            data[position : position + struct.calcsize(width)] = struct.pack(order + width, number)
        elif edit == 3:
            del data[position : position + size]
        elif edit == 4:
            data[position:position] = data[position : position + size] * random_.randint(1, 4)
        elif edit == 5:
            del data[position:]
        elif edit == 6 and others:
            other = random_.choice(others)
            start = random_.randrange(len(other) + 1)
            data[position : position + size] = other[start : start + size]
        elif edit == 7:
            word = _WORD.search(data, position)
            if word is not None:
                data[word.start() : word.end()] = random_.choice(_TOKENS)
        else:
            data[position:position] = random_.choice(_TOKENS)
    return bytes(data)
