"""Networks as ONNX files, in float and quantized to int8."""

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
REQUIRED_PACKAGES = ("onnx", "onnxscript")

# Domain and type of an operator, and of the operator that hides correlations from NNCF.
_CONVOLUTION = ("", "Conv")
_CORRELATION = ("com.microsoft", "FusedConv")
_SHAPE_OF_RESHAPE = ("Reshape", 1)  # operator, and position of its input that is the new shape


def find_unavailable_reason() -> str | None:
    """Return the reason why no ONNX file can be written here; None if one can."""
    missing = [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (pip install 'remote_sensing_tracking[export]')"
    return None


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph as one ONNX file with the weights and the names of its inputs and outputs."""
    path.write_bytes(convert_to_onnx(graph))


def convert_to_onnx(graph: Graph) -> bytes:
    """Convert a graph, or its shape template if it has one, to the content of an ONNX file."""
    if graph.shape_template is not None:
        return replace_shapes(convert_to_onnx(graph.shape_template), graph)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of libraries that are not needed
    program = torch.onnx.export(
        export_program(graph),
        (),
        dynamo=True,
        opset_version=OPSET,
        input_names=graph.input_names,
        output_names=graph.output_names,
        external_data=False,
        verbose=False,
    )
    assert program is not None, "torch.onnx.export with dynamo=True returns a program"
    return bytes(program.model_proto.SerializeToString())


def replace_shapes(network: bytes, graph: Graph) -> bytes:
    """Replace the shapes in the ONNX file of a graph's template with those of the graph."""
    import onnx

    model = onnx.load_from_string(network)
    _infer_first_sizes(model)
    del model.graph.value_info[:]
    for port, example in zip(model.graph.input, graph.examples, strict=True):
        for dimension, size in zip(port.type.tensor_type.shape.dim, example.shape, strict=True):
            dimension.dim_value = size
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")
    return bytes(onnx.shape_inference.infer_shapes(model, strict_mode=True).SerializeToString())


def _infer_first_sizes(model: ModelProto) -> None:
    """Let each reshape infer its first size, which the exporter may have fixed to that of the template."""
    from onnx import numpy_helper

    uses: dict[str, set[tuple[str, int]]] = {}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            uses.setdefault(name, set()).add((node.op_type, position))
    for initializer in model.graph.initializer:
        if uses.get(initializer.name) == {_SHAPE_OF_RESHAPE}:
            sizes = numpy_helper.to_array(initializer).copy()
            if sizes.size and sizes.min() > 0:
                sizes[0] = -1
                initializer.CopyFrom(numpy_helper.from_array(sizes, initializer.name))


def find_int8_unavailable_reason() -> str | None:
    """Return the reason why no ONNX file in int8 can be written here; None if one can."""
    missing = [name for name in ("nncf", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (pip install 'remote_sensing_tracking[int8,export]')"
    return find_unavailable_reason()


def write_quantized(graph: Graph, inputs: Sequence[Sequence[NDArray[Any]]], path: Path) -> None:
    """Write a graph as an ONNX file in int8, with symmetric quantizers, as TensorRT needs them.

    NNCF takes the second input of every convolution for weights. The second input of a correlation is an
    output of the template branch. So NNCF gets correlations as another operator, which it leaves unchanged.

    Args:
        graph: graph to quantize.
        inputs: inputs of several runs. They set the range of each quantizer.
        path: ONNX file to write.
    """
    import nncf
    import onnx

    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(convert_to_onnx(graph)), data_prop=True)

    # Step 1: hide the correlations.
    weights = {weight.name for weight in model.graph.initializer}
    for node in model.graph.node:
        if (node.domain, node.op_type) == _CONVOLUTION and node.input[1] not in weights:
            node.domain, node.op_type = _CORRELATION
    model.opset_import.append(onnx.helper.make_opsetid(_CORRELATION[0], 1))

    # Step 2: quantize.
    dataset = nncf.Dataset([dict(zip(graph.input_names, arrays, strict=True)) for arrays in inputs])
    symmetric = nncf.QuantizationPreset.PERFORMANCE
    quantized: ModelProto = nncf.quantize(model, dataset, preset=symmetric, subset_size=len(inputs))

    # Step 3: restore the correlations.
    for node in quantized.graph.node:
        if (node.domain, node.op_type) == _CORRELATION:
            node.domain, node.op_type = _CONVOLUTION
    path.write_bytes(quantized.SerializeToString())
