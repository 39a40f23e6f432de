"""Networks quantized to int8 by NNCF for OpenVINO, cached for engines and exports."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from tracking_runtime.engines import onnx, openvino_conversion
from tracking_runtime.engines.base import EngineError, Graph
from tracking_runtime.engines.cache import EngineCache, compute_graph_key
from tracking_runtime.engines.openvino_conversion import (
    NETWORK_FILE,
    format_version,
    get_core,
    import_openvino,
    write_openvino,
)


def find_unavailable_reason(graphs: Iterable[Graph]) -> str | None:
    """Return the reason why these graphs cannot be quantized here; None if they can."""
    reasons = [graph.int8_unavailable_reason for graph in graphs if graph.int8_unavailable_reason]
    if reasons:
        return reasons[0]
    if importlib.util.find_spec("nncf") is None:
        return "not installed: nncf (pip install 'remote_sensing_tracking[int8]')"
    return openvino_conversion.find_unavailable_reason() or EngineCache().find_unwritable_reason()


def quantize(graph: Graph, inputs: Sequence[Sequence[NDArray[Any]]]) -> None:
    """Quantize a graph and cache the network for engines, also as ONNX if ONNX is installed.

    Args:
        graph: graph to quantize.
        inputs: inputs of several runs. They set the range of each quantizer.

    Raises:
        EngineError: the network cannot be made or stored; an earlier calibration is unchanged.
    """
    reason = find_unavailable_reason([graph])
    if reason is not None:
        raise EngineError(f"{graph.name} cannot be calibrated: {reason}")

    def build(folder: Path) -> None:
        write_quantized(graph, inputs, folder / NETWORK_FILE)
        if onnx.find_int8_unavailable_reason() is None:
            onnx.write_quantized(graph, inputs, (folder / NETWORK_FILE).with_suffix(".onnx"))

    cache = EngineCache()
    try:
        cache.replace(_compute_key(graph), _make_label(graph), build)
    except Exception as error:
        folders = f"built in {tempfile.gettempdir()} and stored in {cache.folder}"
        raise EngineError(f"{graph.name} in int8 cannot be {folders}: {error}") from error


def write_quantized(graph: Graph, inputs: Sequence[Sequence[NDArray[Any]]], path: Path) -> None:
    """Write a graph in int8 as OpenVINO's `.xml` and `.bin`.

    Args:
        graph: graph to quantize.
        inputs: inputs of several runs. They set the range of each quantizer.
        path: `.xml` file to write.
    """
    openvino = import_openvino()
    logging.getLogger("nncf").setLevel(logging.ERROR)
    import nncf

    with tempfile.TemporaryDirectory() as folder:
        write_openvino(graph, Path(folder) / NETWORK_FILE)
        network = get_core().read_model(Path(folder) / NETWORK_FILE)
        dataset = nncf.Dataset([dict(enumerate(arrays)) for arrays in inputs])
        mixed = nncf.QuantizationPreset.MIXED
        quantized = nncf.quantize(network, dataset, preset=mixed, subset_size=len(inputs))
        openvino.save_model(quantized, path, compress_to_fp16=False)


def write_quantization_facts(graph: Graph, facts: Mapping[str, Any]) -> None:
    """Store facts about a graph's int8 network beside it, for users.

    Raises:
        EngineError: the facts cannot be stored; the network can still be used.
    """
    cache = EngineCache()
    try:
        cache.write_facts(_compute_key(graph), _make_label(graph), facts)
    except OSError as error:
        problem = f"{graph.name} is calibrated, but its accuracy cannot be stored in {cache.folder}"
        raise EngineError(f"{problem}: {error}") from error


def read_quantization_facts(graph: Graph) -> dict[str, Any]:
    """Return the facts about a graph's int8 network: calibration video, and accuracy before and after."""
    return EngineCache().read_facts(_compute_key(graph))


@contextmanager
def open_quantized(graph: Graph) -> Iterator[Path]:
    """Yield the folder of a graph's int8 network.

    Raises:
        EngineError: the graph is not calibrated.
    """
    build = partial(_refuse_uncalibrated, graph)
    with EngineCache().get_or_build(_compute_key(graph), _make_label(graph), build) as folder:
        yield folder


def read_quantized(graph: Graph, *suffixes: str) -> list[bytes]:
    """Read files of a graph's int8 network: its `.onnx`, or OpenVINO's `.xml` or `.bin`.

    Raises:
        EngineError: the graph is not calibrated, or was calibrated without ONNX.
    """
    reason = openvino_conversion.find_unavailable_reason()
    if reason is not None:
        raise EngineError(f"{graph.name} in int8 needs OpenVINO for its calibration: {reason}")
    with open_quantized(graph) as folder:
        paths = [(folder / NETWORK_FILE).with_suffix(suffix) for suffix in suffixes]
        if not all(path.exists() for path in paths):
            cure = onnx.find_int8_unavailable_reason() or "a package was missing then: calibrate again"
            raise EngineError(f"{graph.name} was calibrated without ONNX: {cure}")
        return [path.read_bytes() for path in paths]


def copy_quantized(graph: Graph, path: Path) -> list[Path]:
    """Copy the int8 network of a calibrated graph.

    Args:
        graph: calibrated graph.
        path: file to write: an `.onnx`, or an `.xml` of OpenVINO with its `.bin` beside it.

    Returns:
        paths of the files, the main one first.

    Raises:
        EngineError: the graph is not calibrated, or was calibrated without ONNX.
    """
    paths = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    contents = read_quantized(graph, *(copy.suffix for copy in paths))
    for copy, content in zip(paths, contents, strict=True):
        copy.write_bytes(content)
    return paths


def _refuse_uncalibrated(graph: Graph, _folder: Path) -> None:
    uncalibrated = "not calibrated: `rstrack engine build MODEL --precision int8 --calibration SOURCE`"
    raise EngineError(graph.int8_unavailable_reason or uncalibrated)


def _compute_key(graph: Graph) -> str:
    return compute_graph_key(graph, format_version(), torch.__version__, "int8")


def _make_label(graph: Graph) -> str:
    return f"{graph.name}, {format_version()}, int8"
