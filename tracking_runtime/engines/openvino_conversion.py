"""Networks in OpenVINO's format: conversion from PyTorch, and runs of a file in float32."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.engines.base import Graph
from tracking_runtime.engines.torch_export import export_program

NETWORK_FILE = "network.xml"
WEIGHTS_FILE = "network.bin"
_MAX_GATHERED_COLUMNS = 16  # columns up to which OpenVINO gathers numbers, one vector of AVX-512


def find_unavailable_reason() -> str | None:
    """Return the reason why OpenVINO cannot be used here; None if it can."""
    if importlib.util.find_spec("openvino") is None:
        return "not installed: openvino (pip install 'remote_sensing_tracking[cpu]')"
    return None


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would send usage reports from forked processes."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


@lru_cache
def get_core() -> Any:
    """Return OpenVINO's core, one per process."""
    return import_openvino().Core()


def format_version() -> str:
    """Return the full version of OpenVINO as text for labels and keys."""
    return f"OpenVINO {import_openvino().__version__}"


def list_shapes(graph: Graph) -> list[list[int]]:
    """Return the shapes of a graph's inputs."""
    return [list(example.shape) for example in graph.examples]


def write_openvino(graph: Graph, path: Path) -> None:
    """Write a graph as OpenVINO's `.xml` and `.bin`, with the names of its inputs and outputs."""
    openvino = import_openvino()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch warns of its own code
        network = openvino.convert_model(export_program(graph))
    for ports, names in ((network.inputs, graph.input_names), (network.outputs, graph.output_names)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    # The conversion drops static shapes. Dynamic shapes are slower.
    network.reshape(dict(enumerate(list_shapes(graph))))
    _copy_short_rows(network)
    openvino.save_model(network, path, compress_to_fp16=False)


def _copy_short_rows(network: Any) -> None:
    """Make OpenVINO copy the gathered rows of short matrices; its default gathers each number.

    Copies take a seventh of the time with 8 columns, and a fourteenth with 16.
    """
    openvino = import_openvino()
    operations = openvino.opset13
    for node in network.get_ordered_ops():
        if node.get_type_name() != "Gather":
            continue
        rows, indices, axis = node.input_values()
        shape = rows.get_partial_shape()
        is_matrix = shape.rank.is_static and shape.rank.get_length() == 2 and shape[1].is_static
        if is_matrix and shape[1].get_length() <= _MAX_GATHERED_COLUMNS and _is_zero(axis.get_node()):
            positions = operations.unsqueeze(indices, operations.constant(-1))
            node.output(0).replace(operations.gather_nd(rows, positions).output(0))
    network.validate_nodes_and_infer_types()


def _is_zero(node: Any) -> bool:
    return node.get_type_name() == "Constant" and not any(node.get_vector())


def run_file(path: Path, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the outputs of a file in OpenVINO's format or in ONNX, in float32 on this CPU."""
    core = get_core()
    with preserve_signal_stack():
        compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled.create_infer_request().infer(dict(enumerate(inputs)))
    return [np.array(result) for result in results.values()]


class _SignalStack(ctypes.Structure):
    """The structure `stack_t` of sigaltstack(2)."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def preserve_signal_stack() -> Iterator[None]:
    """Restore the signal stack of this thread after the block.

    Each model that OpenVINO compiles installs a signal stack and restores the previous one when it is freed.
    Models freed in another order leave the thread with a freed stack: the next signal would crash the
    process.
    """
    libc = ctypes.CDLL(None)
    before = _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
