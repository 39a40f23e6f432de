"""Layers of a neural network in a Core ML file (`.mlmodel`), with the weights of its convolutions.

The file is a protobuf message. Nothing in it is executed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import ModelError
from tracking_runtime.untrusted.documents import DocumentError
from tracking_runtime.untrusted.files import read_file
from tracking_runtime.untrusted.protobuf import ProtobufField, iterate_fields

_MAX_FILE_BYTES = 256 << 20

_NEURAL_NETWORK = 500  # field of a model
_LAYER, _PREPROCESSING = 1, 2  # fields of a neural network
_NAME, _INPUT, _OUTPUT = 1, 2, 3  # fields of a layer
_KINDS = {
    100: "convolution",
    130: "activation",
    220: "unary",
    230: "add",
    245: "scale",
    320: "concat",
    985: "transpose",
    1045: "matmul",
    1140: "reshape",
}
"""Fields of a layer that hold the parameters of its kind."""

_SAME_PADDING = 51
_FLOAT32, _FLOAT16 = 1, 2  # fields of weights


@dataclass(frozen=True)
class CoremlConvolution:
    """Convolution of images.

    Attributes:
        weight: weights, (outputs, inputs of a group, height, width).
        bias: bias of each output, (outputs,); None without a bias.
        groups: number of groups of channels.
        stride: step in rows and columns.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    groups: int
    stride: tuple[int, int]


@dataclass(frozen=True)
class CoremlLayer:
    """Layer of a network.

    Attributes:
        name: name of the layer.
        kind: kind of the layer, for example `convolution`; `unknown` for kinds that are not read.
        inputs: names of its inputs.
        outputs: names of its outputs.
        convolution: parameters of a convolution; None for other kinds.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    convolution: CoremlConvolution | None = None


def read_coreml_layers(path: Path) -> list[CoremlLayer]:
    """Read the layers of a Core ML file in their order.

    Raises:
        ModelError: the file cannot be read, is damaged, or is not a neural network of Core ML.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise ModelError(f"{path} must have at most {_MAX_FILE_BYTES} bytes: got {size}")
        content = memoryview(read_file(path))
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    try:
        layers = [
            _parse_layer(field.content)
            for network in iterate_fields(content)
            if network.number == _NEURAL_NETWORK
            for field in iterate_fields(network.content)
            if field.number == _LAYER
        ]
    except DocumentError as error:
        raise ModelError(f"{path} is not a Core ML model (.mlmodel): {error}") from error
    if not layers:
        raise ModelError(f"{path} is not a Core ML model (.mlmodel) of a neural network: it has no layers")
    return layers


def _parse_layer(message: memoryview) -> CoremlLayer:
    name, kind = "", "unknown"
    inputs: list[str] = []
    outputs: list[str] = []
    convolution = None
    for field in iterate_fields(message):
        if field.number == _NAME:
            name = field.text
        elif field.number == _INPUT:
            inputs.append(field.text)
        elif field.number == _OUTPUT:
            outputs.append(field.text)
        elif field.number in _KINDS:
            kind = _KINDS[field.number]
            if kind == "convolution":
                convolution = _parse_convolution(field.content)
    return CoremlLayer(name, kind, tuple(inputs), tuple(outputs), convolution)


def _parse_convolution(message: memoryview) -> CoremlConvolution:
    fields = {field.number: field for field in iterate_fields(message)}

    def get_sizes(number: int, default: int) -> tuple[int, int]:
        sizes = fields[number].list_integers() if number in fields else [default, default]
        if len(sizes) != 2:
            raise DocumentError(f"a convolution must have two sizes in field {number}: got {len(sizes)}")
        return sizes[0], sizes[1]

    def get_integer(number: int) -> int:
        return fields[number].integer if number in fields else 0

    if get_integer(60) or get_sizes(40, 1) != (1, 1) or _SAME_PADDING in fields:
        raise DocumentError("a convolution is transposed, dilated or padded to the same size")
    outputs, inputs = get_integer(1), get_integer(2)
    if 90 not in fields:
        raise DocumentError("a convolution has no weights")
    height, width = get_sizes(20, 3)
    weight = _parse_weights(fields[90].content)
    if not weight.size or weight.size != outputs * inputs * height * width:
        raise DocumentError(
            f"a convolution must have {outputs} x {inputs} x {height} x {width} weights: got {weight.size}"
        )
    bias = _parse_weights(fields[91].content) if get_integer(70) and 91 in fields else None
    if bias is not None and bias.size != outputs:
        raise DocumentError(f"a convolution must have a bias for {outputs} outputs: got {bias.size}")
    return CoremlConvolution(
        weight.reshape(outputs, inputs, height, width), bias, max(get_integer(10), 1), get_sizes(30, 1)
    )


def _parse_weights(message: memoryview) -> NDArray[np.float32]:
    """Return the numbers of weights as float32, flat. Quantized weights are not read."""
    readers: dict[int, Callable[[ProtobufField], NDArray[np.float32]]] = {
        _FLOAT32: lambda field: _read_array(field.content, "<f4"),
        _FLOAT16: lambda field: _read_array(field.content, "<f2"),
    }
    parts = [readers[field.number](field) for field in iterate_fields(message) if field.number in readers]
    weights = np.concatenate([np.zeros(0, np.float32), *parts])
    if not np.isfinite(weights).all():
        raise DocumentError("weights must be finite: got NaN or infinite ones")
    return weights


def _read_array(content: memoryview, sample_type: str) -> NDArray[np.float32]:
    dtype = np.dtype(sample_type)
    if len(content) % dtype.itemsize:
        raise DocumentError("the size of weights is not a multiple of their samples")
    return np.frombuffer(content, dtype).astype(np.float32)
