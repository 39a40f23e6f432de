"""Models as files for other programs and other machines, with a manifest that says what they are."""

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

from tracking_runtime.engines import onnx, openvino, tensorrt, tensorrt_rtx
from tracking_runtime.engines.base import EngineError, Graph
from tracking_runtime.engines.model_graphs import Networks
from tracking_runtime.engines.precision import DTYPES, in_precision
from tracking_runtime.engines.verification import (
    TOLERANCES,
    largest_difference,
    realistic_inputs,
    reference,
)


@dataclass(frozen=True)
class Array:
    """One input or output of a graph."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ExportedGraph:
    """One graph as it was written.

    Attributes:
        name: of the graph.
        files: sha256 of each file by its name.
        inputs: in the graph's order.
        outputs: in the graph's order.
        difference: largest from PyTorch float32, relative to the largest value or 1; None if it was not run.
        checked: by what, or why not.
    """

    name: str
    files: dict[str, str]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    difference: float | None
    checked: str


@dataclass(frozen=True)
class ExportManifest:
    """What lies beside exported files.

    Attributes:
        model: its name.
        architecture: of the network.
        parameters: what the network is built from: its bands, sizes and normalisation.
        weights_sha256: of the model's weights.
        format: one of ``FORMATS``.
        precision: of the arithmetic.
        made_with: versions of what made it.
        accuracy: int8: what it was calibrated on, and how well its tracker did before and after, on OpenVINO.
        graphs: all files.
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


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        unavailable: why it cannot be written here; None if it can.
        write: a graph's files in a precision, their names beginning with a path's; returns them, the main one
            first.
        version: of what writes them.
        runnable: whether OpenVINO can read the first of the files and run it.
        precisions: that it can be written in, the usual one first.
        names: of the inputs and outputs in the main one of a graph's files, in the graph's order.
    """

    unavailable: Callable[[], str | None]
    write: Callable[[Graph, Path, str], list[Path]]
    version: Callable[[], str]
    runnable: bool
    precisions: tuple[str, ...]
    names: Callable[[Graph, Path], tuple[Sequence[str], Sequence[str]]] = lambda graph, _: (
        graph.inputs,
        graph.outputs,
    )


def _write_onnx(graph: Graph, stem: Path, precision: str) -> list[Path]:
    path = stem.with_name(stem.name + ".onnx")
    if precision == "int8":
        return openvino.copy_quantised(graph, path)
    onnx.write_onnx(in_precision(graph, DTYPES[precision]), path)
    return [path]


def _write_openvino(graph: Graph, stem: Path, precision: str) -> list[Path]:
    path = stem.with_name(stem.name + ".xml")
    if precision == "int8":
        return openvino.copy_quantised(graph, path)
    openvino.write_openvino(graph, path)
    return [path, path.with_suffix(".bin")]


def _write_tensorrt(graph: Graph, stem: Path, precision: str) -> list[Path]:
    path = stem.with_name(stem.name + ".engine")
    path.write_bytes(tensorrt.build_engine(graph, precision))
    return [path]


def _write_tensorrt_rtx(graph: Graph, stem: Path, precision: str) -> list[Path]:
    network, paths = tensorrt_rtx.source(graph, precision), []
    for family, capabilities in tensorrt_rtx.FAMILIES.items():
        paths.append(stem.with_name(f"{stem.name}.{family}.engine"))
        paths[-1].write_bytes(tensorrt_rtx.build_engine(network, capabilities))
    return paths


def _version(module: str) -> Callable[[], str]:
    return lambda: str(import_module(module).__version__)


FORMATS: Mapping[str, Format] = {
    "onnx": Format(onnx.unavailable, _write_onnx, _version("onnx"), True, ("float32", "float16", "int8")),
    "openvino": Format(openvino.missing, _write_openvino, _version("openvino"), True, ("float32", "int8")),
    "tensorrt": Format(
        tensorrt.missing,
        _write_tensorrt,
        _version("torch_tensorrt"),
        False,
        tensorrt.PRECISIONS,
        lambda _, path: tensorrt.names_in(path.read_bytes()),
    ),
    "tensorrt-rtx": Format(
        tensorrt_rtx.unbuildable,
        _write_tensorrt_rtx,
        _version("tensorrt_rtx"),
        False,
        tensorrt_rtx.PRECISIONS,
    ),
}


def export(networks: Networks, to: str, folder: Path, precision: str = "auto") -> Iterator[ExportedGraph]:
    """Write a model's graphs, one after the other, and at last ``NAME.FORMAT.yaml``, the manifest.

    Yields:
        each graph as it is written.

    Raises:
        EngineError: it cannot be written here or in this precision, or what was written gives other numbers
            than PyTorch.
    """
    chosen = FORMATS[to]
    reason = chosen.unavailable()
    if reason is not None:
        raise EngineError(f"{to} cannot be written here: {reason}")
    precision = chosen.precisions[0] if precision == "auto" else precision
    if precision not in chosen.precisions:
        raise EngineError(f"{to} cannot be written in {precision}, but in {', '.join(chosen.precisions)}")
    folder.mkdir(parents=True, exist_ok=True)
    made_with = {"torch": str(torch.__version__), to: chosen.version()}
    manifest = networks.manifest
    described = (manifest.name, manifest.architecture, manifest.parameters, manifest.weights_sha256)
    written = ExportManifest(*described, to, precision, made_with)
    if precision == "int8":
        written.accuracy.update(openvino.quantised_facts(networks.graphs[0]))
    for graph in networks.graphs:
        written.graphs.append(_export(graph, chosen, folder, precision))
        yield written.graphs[-1]
    content = yaml.safe_dump(_plain(asdict(written)), sort_keys=False, allow_unicode=True)
    (folder / f"{manifest.name}.{to}.yaml").write_text(content)


def _export(graph: Graph, chosen: Format, folder: Path, precision: str) -> ExportedGraph:
    files = chosen.write(graph, folder / re.sub(r"\W+", "_", graph.name), precision)
    inputs = realistic_inputs(graph)
    wanted = reference(graph, inputs)
    difference, checked = _difference(files[0], chosen, inputs, wanted)
    if difference is not None and not difference <= TOLERANCES[precision]:
        raise EngineError(f"{files[0]} gives other numbers than PyTorch: they differ by {difference:.2g}")
    given, answered = chosen.names(graph, files[0])
    return ExportedGraph(
        graph.name,
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        _described(given, inputs),
        _described(answered, wanted),
        difference,
        checked,
    )


def _difference(
    path: Path, chosen: Format, inputs: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]]
) -> tuple[float | None, str]:
    if not chosen.runnable:
        return None, "not run: it takes a GPU"
    if openvino.missing() is not None:
        return None, f"not run: {openvino.missing()}"
    return largest_difference(wanted, openvino.run_file(path, inputs)), "run by OpenVINO on a CPU"


def _described(names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> tuple[Array, ...]:
    return tuple(Array(name, str(a.dtype), a.shape) for name, a in zip(names, arrays, strict=True))


def _plain(value: Any) -> Any:
    """Values as YAML knows them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
