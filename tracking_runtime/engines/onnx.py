"""Networks as ONNX files, which most other tools read."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from tracking_runtime.engines.base import Graph
from tracking_runtime.engines.torch_export import export_program

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
NEEDED = ("onnx", "onnxscript")

_CONVOLUTION, _CORRELATION = ("", "Conv"), ("com.microsoft", "FusedConv")


def unavailable() -> str | None:
    """Why no ONNX file can be written here; None if one can."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (pip install 'remote_sensing_tracking[export]')"
    return None


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph's file, with its names of inputs and outputs, and its weights in it."""
    path.write_bytes(as_onnx(graph))


def as_onnx(graph: Graph) -> bytes:
    """A graph's file; made of its pattern's, if it has one."""
    if graph.pattern is not None:
        return with_shapes(as_onnx(graph.pattern), graph)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of libraries that nothing here needs
    made = torch.onnx.export(
        export_program(graph),
        (),
        dynamo=True,
        opset_version=OPSET,
        input_names=graph.inputs,
        output_names=graph.outputs,
        external_data=False,
        verbose=False,
    )
    assert made is not None, "export by dynamo gives a program"
    return bytes(made.model_proto.SerializeToString())


def with_shapes(network: bytes, graph: Graph) -> bytes:
    """The file of a graph's pattern as that of the graph."""
    import onnx

    model = onnx.load_from_string(network)
    del model.graph.value_info[:]
    for port, example in zip(model.graph.input, graph.examples, strict=True):
        for dimension, size in zip(port.type.tensor_type.shape.dim, example.shape, strict=True):
            dimension.dim_value = size
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")
    return bytes(onnx.shape_inference.infer_shapes(model, strict_mode=True).SerializeToString())


def unquantisable() -> str | None:
    """Why no ONNX file can be written in int8 here; None if one can."""
    missing = [name for name in ("nncf", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (pip install 'remote_sensing_tracking[int8,export]')"
    return unavailable()


def write_quantised(graph: Graph, inputs: Sequence[Sequence[NDArray[Any]]], path: Path) -> None:
    """Write a graph's file in int8: values pass through symmetric quantisers, as TensorRT takes them.

    NNCF takes the second input of every convolution for weights. That of a correlation is what the network
    made of a template, so it is shown to NNCF as an operator that it lets alone.
    """
    import nncf
    import onnx

    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(as_onnx(graph)), data_prop=True)
    weights = {weight.name for weight in model.graph.initializer}
    for node in model.graph.node:
        if (node.domain, node.op_type) == _CONVOLUTION and node.input[1] not in weights:
            node.domain, node.op_type = _CORRELATION
    model.opset_import.append(onnx.helper.make_opsetid(_CORRELATION[0], 1))
    data = nncf.Dataset([dict(zip(graph.inputs, arrays, strict=True)) for arrays in inputs])
    symmetric = nncf.QuantizationPreset.PERFORMANCE
    made: ModelProto = nncf.quantize(model, data, preset=symmetric, subset_size=len(inputs))
    for node in made.graph.node:
        if (node.domain, node.op_type) == _CORRELATION:
            node.domain, node.op_type = _CONVOLUTION
    path.write_bytes(made.SerializeToString())
