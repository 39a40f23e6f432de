"""Model files for other programs and machines, with a manifest that describes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from numpy.typing import NDArray

from tracking_runtime.engines import onnx, openvino_conversion, openvino_int8, tensorrt, tensorrt_rtx
from tracking_runtime.engines.base import EngineError, Graph
from tracking_runtime.engines.model_graphs import ModelGraphs
from tracking_runtime.engines.precision import DTYPES, cast_graph
from tracking_runtime.engines.verification import (
    TOLERANCES,
    compute_max_difference,
    compute_reference,
    make_realistic_inputs,
)


@dataclass(frozen=True)
class ArraySpec:
    """Name, type and shape of one input or output of a graph. The field names are keys of the manifest."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ExportedGraph:
    """Files of one graph. The field names are keys of the manifest.

    Attributes:
        name: name of the graph.
        files: SHA-256 of each file by its name.
        inputs: inputs in the graph's order.
        outputs: outputs in the graph's order.
        difference: largest difference from PyTorch in float32, relative to the output's largest value or 1;
            None if the files were not run.
        checked: program that ran the files, or the reason why none did.
    """

    name: str
    files: dict[str, str]
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    difference: float | None
    checked: str


@dataclass(frozen=True)
class ExportManifest:
    """Manifest of an export. The field names are keys of the file.

    Attributes:
        model: name of the model.
        architecture: architecture of the network.
        parameters: parameters of the architecture: bands, sizes and normalization.
        weights_sha256: SHA-256 of the model's weights.
        format: format of the files, one of `FORMATS`.
        precision: precision of the arithmetic.
        made_with: version of each program that made the files.
        accuracy: with int8, the calibration video and the tracker's metrics before and after, on OpenVINO.
        graphs: all exported graphs.
    """

    model: str
    architecture: str
    parameters: dict[str, Any]
    weights_sha256: str
    format: str
    precision: str
    made_with: dict[str, str]
    accuracy: dict[str, Any] = field(default_factory=dict)
    graphs: list[ExportedGraph] = field(default_factory=list)


def _read_graph_port_names(graph: Graph, _path: Path) -> tuple[Sequence[str], Sequence[str]]:
    return graph.input_names, graph.output_names


@dataclass(frozen=True)
class ExportFormat:
    """A file format.

    Attributes:
        find_unavailable_reason: function that returns the reason why files cannot be written here; None if
            they can.
        write: function that writes a graph's files in a precision. Their names begin with a path without
            suffix. The function returns the paths, the main file first.
        read_version: function that returns the version of the program that writes the files.
        is_runnable: True if OpenVINO can run the main file.
        precisions: precisions of the format, the default first.
        read_port_names: function that returns the names of the inputs and outputs in a graph's main file, in
            the graph's order.
    """

    find_unavailable_reason: Callable[[], str | None]
    write: Callable[[Graph, Path, str], list[Path]]
    read_version: Callable[[], str]
    is_runnable: bool
    precisions: tuple[str, ...]
    read_port_names: Callable[[Graph, Path], tuple[Sequence[str], Sequence[str]]] = _read_graph_port_names


def _write_onnx(graph: Graph, stem: Path, precision: str) -> list[Path]:
    path = stem.with_name(stem.name + ".onnx")
    if precision == "int8":
        return openvino_int8.copy_quantized(graph, path)
    onnx.write_onnx(cast_graph(graph, DTYPES[precision]), path)
    return [path]


def _write_openvino(graph: Graph, stem: Path, precision: str) -> list[Path]:
    path = stem.with_name(stem.name + ".xml")
    if precision == "int8":
        return openvino_int8.copy_quantized(graph, path)
    openvino_conversion.write_openvino(graph, path)
    return [path, path.with_suffix(".bin")]


def _write_tensorrt(graph: Graph, stem: Path, precision: str) -> list[Path]:
    path = stem.with_name(stem.name + ".engine")
    path.write_bytes(tensorrt.build_engine(graph, precision))
    return [path]


def _read_tensorrt_port_names(_graph: Graph, path: Path) -> tuple[Sequence[str], Sequence[str]]:
    return tensorrt.read_port_names(path.read_bytes())


def _write_tensorrt_rtx(graph: Graph, stem: Path, precision: str) -> list[Path]:
    network = tensorrt_rtx.make_onnx_network(graph, precision)
    paths = []
    for family, capabilities in tensorrt_rtx.GPU_FAMILIES.items():
        path = stem.with_name(f"{stem.name}.{family}.engine")
        path.write_bytes(tensorrt_rtx.build_engine(network, capabilities))
        paths.append(path)
    return paths


def _make_version_reader(package: str) -> Callable[[], str]:
    return lambda: str(import_module(package).__version__)


FORMATS: Mapping[str, ExportFormat] = {
    "onnx": ExportFormat(
        onnx.find_unavailable_reason,
        _write_onnx,
        _make_version_reader("onnx"),
        is_runnable=True,
        precisions=("float32", "float16", "int8"),
    ),
    "openvino": ExportFormat(
        openvino_conversion.find_unavailable_reason,
        _write_openvino,
        _make_version_reader("openvino"),
        is_runnable=True,
        precisions=("float32", "int8"),
    ),
    "tensorrt": ExportFormat(
        tensorrt.find_unavailable_reason,
        _write_tensorrt,
        _make_version_reader("torch_tensorrt"),
        is_runnable=False,
        precisions=tensorrt.PRECISIONS,
        read_port_names=_read_tensorrt_port_names,
    ),
    "tensorrt-rtx": ExportFormat(
        tensorrt_rtx.find_unavailable_reason,
        _write_tensorrt_rtx,
        _make_version_reader("tensorrt_rtx"),
        is_runnable=False,
        precisions=tensorrt_rtx.PRECISIONS,
    ),
}
"""Formats by name. `names.EXPORT_FORMATS` lists the names in the same order."""


def export_graphs(
    model_graphs: ModelGraphs, format_name: str, folder: Path, precision: str = "auto"
) -> Iterator[ExportedGraph]:
    """Write a model's graphs one after the other, and at the end the manifest `NAME.FORMAT.yaml`.

    Args:
        model_graphs: model to export.
        format_name: format of the files, one of `FORMATS`.
        folder: folder to write, made if it does not exist.
        precision: precision of the arithmetic; `auto` is the format's default.

    Yields:
        each graph when its files are written.

    Raises:
        EngineError: the format cannot be written here or in this precision, or the outputs of the files
            differ too much from PyTorch's.
    """
    export_format = FORMATS[format_name]
    reason = export_format.find_unavailable_reason()
    if reason is not None:
        raise EngineError(f"{format_name} cannot be written here: {reason}")
    precision = export_format.precisions[0] if precision == "auto" else precision
    if precision not in export_format.precisions:
        known = ", ".join(export_format.precisions)
        raise EngineError(f"{format_name} cannot be written in {precision}, only in {known}")
    folder.mkdir(parents=True, exist_ok=True)
    model = model_graphs.manifest
    manifest = ExportManifest(
        model=model.name,
        architecture=model.architecture,
        parameters=model.parameters,
        weights_sha256=model.weights_sha256,
        format=format_name,
        precision=precision,
        made_with={"torch": str(torch.__version__), format_name: export_format.read_version()},
    )
    if precision == "int8":
        manifest.accuracy.update(openvino_int8.read_quantization_facts(model_graphs.graphs[0]))
    for graph in model_graphs.graphs:
        exported = _export_graph(graph, export_format, folder, precision)
        manifest.graphs.append(exported)
        yield exported
    content = yaml.safe_dump(_replace_tuples(asdict(manifest)), sort_keys=False, allow_unicode=True)
    (folder / f"{model.name}.{format_name}.yaml").write_text(content)


def _export_graph(graph: Graph, export_format: ExportFormat, folder: Path, precision: str) -> ExportedGraph:
    paths = export_format.write(graph, folder / re.sub(r"\W+", "_", graph.name), precision)
    inputs = make_realistic_inputs(graph)
    expected = compute_reference(graph, inputs)
    difference, checked = _measure_difference(paths[0], export_format, inputs, expected)
    tolerance = TOLERANCES[precision]
    if difference is not None and not difference <= tolerance:
        problem = f"outputs of {paths[0]} differ from PyTorch's by {difference:.2g}"
        raise EngineError(f"{problem}, expected at most {tolerance}")
    input_names, output_names = export_format.read_port_names(graph, paths[0])
    return ExportedGraph(
        graph.name,
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
        _describe_arrays(input_names, inputs),
        _describe_arrays(output_names, expected),
        difference,
        checked,
    )


def _measure_difference(
    path: Path, export_format: ExportFormat, inputs: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]
) -> tuple[float | None, str]:
    if not export_format.is_runnable:
        return None, "not run: it takes a GPU"
    reason = openvino_conversion.find_unavailable_reason()
    if reason is not None:
        return None, f"not run: {reason}"
    actual = openvino_conversion.run_file(path, inputs)
    return compute_max_difference(expected, actual), "run by OpenVINO on a CPU"


def _describe_arrays(names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> tuple[ArraySpec, ...]:
    return tuple(
        ArraySpec(name, str(array.dtype), array.shape) for name, array in zip(names, arrays, strict=True)
    )


def _replace_tuples(value: Any) -> Any:
    """Replace tuples by lists: YAML has no tuples."""
    if isinstance(value, dict):
        return {key: _replace_tuples(item) for key, item in value.items()}
    return [_replace_tuples(item) for item in value] if isinstance(value, (list, tuple)) else value
