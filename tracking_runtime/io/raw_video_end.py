"""Completeness of the last frame of a raw H.264 or H.265 stream, which such a stream does not state."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from typing import Any

from tracking_runtime.io.av_library import av

_TAILS = (b"\xff" * 4096, b"\x5a" * 4096)  # bytes that begin no unit of a stream
_MAX_PACKETS = 600  # frames before the end that are decoded if no frame is marked as a key frame
_MAX_REORDERED = 17  # last pictures among which the last frame of the stream is shown


def is_last_frame_cut(container: Any, stream: Any) -> bool:
    """Return whether the last frame of a raw stream was cut off.

    The decoder finishes a complete frame before the end of its bytes, and ignores what follows. A frame that
    was cut off takes the bytes that follow as its own. The frames since the last key frame are therefore
    decoded twice, with different bytes at their end, and compared.

    Args:
        container: opened file of the stream, from its start.
        stream: video stream of the container.
    """
    packets: deque[bytes] = deque(maxlen=_MAX_PACKETS)
    for packet in container.demux(stream):
        if packet.is_keyframe and packet.size:
            packets.clear()
        if packet.size:
            packets.append(bytes(packet))
    if not packets:
        return False
    last = packets.pop()
    first, second = (_hash_pictures(stream.codec_context, [*packets, last + tail]) for tail in _TAILS)
    return first != second


def _hash_pictures(codec: Any, packets: Iterable[bytes]) -> list[bytes]:
    """Decode packets, and return a hash of each of the last pictures."""
    context = av.CodecContext.create(codec.codec.name, "r")
    context.extradata = codec.extradata
    context.thread_type = "SLICE"  # threads for several frames lose frames beside a damaged one
    hashes: deque[bytes] = deque(maxlen=_MAX_REORDERED)
    for packet in [*map(av.Packet, packets), None]:
        try:
            pictures = context.decode(packet)
        except av.error.InvalidDataError:
            hashes.append(b"")
            continue
        for picture in pictures:
            planes = b"".join(map(bytes, picture.planes))
            hashes.append(hashlib.blake2b(planes).digest())
    return list(hashes)
