"""Writer of Core ML files of FEAR-XS with given weights, for tests."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import nn


def encode_varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def encode_field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return encode_varint(number << 3) + encode_varint(value)
    content = value.encode() if isinstance(value, str) else value
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def encode_layer(name: str, kind: int, parameters: bytes) -> bytes:
    return (
        encode_field(1, name) + encode_field(2, "in") + encode_field(3, name) + encode_field(kind, parameters)
    )


def encode_convolution(name: str, module: nn.Conv2d) -> bytes:
    weight = module.weight.detach().numpy()
    parameters = encode_field(1, weight.shape[0]) + encode_field(2, weight.shape[1])
    parameters += encode_field(10, module.groups)
    parameters += encode_field(20, bytes(weight.shape[2:])) + encode_field(30, bytes(module.stride))
    parameters += encode_field(50, b"")
    parameters += encode_field(90, encode_field(2, weight.astype("<f2").tobytes()))
    if module.bias is not None:
        bias = module.bias.detach().numpy()
        parameters += encode_field(70, 1) + encode_field(91, encode_field(1, bias.astype("<f4").tobytes()))
    return encode_layer(name, 100, parameters)


def encode_model(layers: Iterable[bytes]) -> bytes:
    """Return a file with these layers, between a version and a description."""
    network = b"".join(encode_field(1, layer) for layer in layers)
    return encode_field(1, 4) + encode_field(2, b"\x0a\x03abc") + encode_field(500, network)


def round_to_float16(module: nn.Module) -> None:
    """Round all weights to numbers that a float16 can hold."""
    for parameter in module.parameters():
        parameter.data = parameter.data.half().float()


def make_coreml_file(convolutions: Iterable[tuple[str, nn.Conv2d]]) -> bytes:
    """Return a file with these convolutions, each followed by an activation."""
    layers = []
    for index, (name, module) in enumerate(convolutions):
        layers.append(encode_convolution(name, module))
        layers.append(encode_layer(f"relu{index}", 130, encode_field(10, np.zeros(0).tobytes())))
    return encode_model(layers)
