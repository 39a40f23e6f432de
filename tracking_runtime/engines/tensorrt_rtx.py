"""TensorRT for RTX: engines for desktop GPUs, built ahead of time on any machine, with a GPU or without."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tracking_runtime.build_progress import stage
from tracking_runtime.engines import onnx, openvino
from tracking_runtime.engines.cache import graph_key
from tracking_runtime.engines.filling import OneByOne, filled, input_buffers, overwrite
from tracking_runtime.engines.nvidia import gpu_facts, kept_engine
from tracking_runtime.engines.precision import DTYPES, in_precision
from tracking_runtime.engines.protocol import Engine, EngineError, EngineSettings, Graph
from tracking_runtime.engines.verification import verify

if TYPE_CHECKING:
    import tensorrt_rtx

FAMILIES = {"sm75": (75,), "sm80-sm120": (80, 86, 89, 120)}
"""Compute capabilities of an engine: Turing's takes many times the memory, and has one of its own. NVIDIA's
support matrix gives it no products of matrices in float32: SPAX is for it in float16 alone."""

PRECISIONS = ("float16", "float32", "int8")
"""Not bfloat16: ONNX files have convolutions with weights in float32 in it, which TensorRT does not take."""

_FILE = "network.engine"
_EXPORT = 0.3
"""Share of a build's time that the export takes."""


def unbuildable() -> str | None:
    """Why no engine can be built here; None if one can."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return "not installed: tensorrt_rtx (pip install 'remote_sensing_tracking[tensorrt-rtx]')"
    return onnx.unavailable()


def build_engine(network: bytes, capabilities: Sequence[int] = ()) -> bytes:
    """Compile an ONNX file's contents, every operator of it, without rounding float32 to TF32.

    Args:
        network: the file.
        capabilities: the GPUs' compute capabilities, as 86 for 8.6; none: that of the GPU here.

    Raises:
        EngineError: an operator is not accepted, or the compiler gives up; the message has what it says.
    """
    import tensorrt_rtx as trt

    said: list[str] = []

    class Listener(trt.ILogger):
        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR and "Cuda Runtime" not in text:
                said.append(text)

    logger = Listener()
    builder = trt.Builder(logger)
    definition = builder.create_network(0)
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(network):
        problems = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise EngineError(f"TensorRT for RTX {trt.__version__} does not take it: {'; '.join(problems)}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.num_compute_capabilities = max(len(capabilities), 1)
    chosen = [getattr(trt.ComputeCapability, f"SM{number}") for number in capabilities]
    for index, capability in enumerate(chosen or [trt.ComputeCapability.CURRENT]):
        config.set_compute_capability(capability, index)
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        reason = "; ".join(said)
        if 75 in capabilities and "FP32 GEMM" in reason:
            reason = f"compute capability 7.5 takes it in float16 only, its compiler says: {reason}"
        raise EngineError(
            f"TensorRT for RTX {trt.__version__} does not compile it for {capabilities}: {reason}"
        )
    return bytes(engine)


def source(graph: Graph, precision: str) -> bytes:
    """The ONNX file that a graph's engines are built from; in int8 as it was calibrated.

    Raises:
        EngineError: it was not calibrated.
    """
    if precision == "int8":
        return openvino.read_quantised(graph, ".onnx")[0]
    return onnx.as_onnx(in_precision(graph, DTYPES[precision]))


def _key(graph: Graph, precision: str, *facts: str) -> str:
    if precision == "int8":
        facts = (*facts, hashlib.sha256(source(graph, precision)).hexdigest())
    else:
        graph = in_precision(graph, DTYPES[precision])
    return graph_key(graph, torch.__version__, *facts)


def _build(graph: Graph, precision: str, folder: Path) -> None:
    stage(f"{graph.name}: exporting for TensorRT for RTX", 0.0)
    network = source(graph, precision)
    stage(f"{graph.name}: compiling by TensorRT for RTX", _EXPORT)
    (folder / _FILE).write_bytes(build_engine(network))


class TensorRTRTXEngine:
    """A graph compiled for the GPU here.

    Args:
        graph: what was compiled.
        description: which engine this is.
        folder: that it was written to.

    Raises:
        EngineError: it cannot be loaded.
    """

    def __init__(self, graph: Graph, description: str, folder: Path) -> None:
        import tensorrt_rtx as trt

        self.description = description
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine((folder / _FILE).read_bytes())
        if self._engine is None:
            raise EngineError(f"{description} cannot load what was made of {graph.name}")
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()
        self._inputs = input_buffers(graph, "cuda")
        self._outputs = [self._buffer(trt, name) for name in graph.outputs]
        names = (*graph.inputs, *graph.outputs)
        for name, tensor in zip(names, (*self._inputs, *self._outputs), strict=True):
            self._context.set_tensor_address(name, tensor.data_ptr())

    def _buffer(self, trt: tensorrt_rtx, name: str) -> torch.Tensor:
        dtype = torch.from_numpy(np.empty(0, trt.nptype(self._engine.get_tensor_dtype(name)))).dtype
        return torch.empty(tuple(self._engine.get_tensor_shape(name)), dtype=dtype, device="cuda")

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.cuda.stream(self._stream):
            overwrite(self._inputs, (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise EngineError("TensorRT for RTX refused to run")
        self._stream.synchronize()
        return tuple(tensor.numpy(force=True) for tensor in self._outputs)


def _load(graph: Graph, precision: str) -> TensorRTRTXEngine:
    """A graph's engine, of an earlier start if it is there."""
    import tensorrt_rtx as trt

    gpu, version = gpu_facts(), f"TensorRT for RTX {trt.__version__}"
    return kept_engine(
        _key(graph, precision, version, *gpu),
        f"{graph.name}, {version}, {precision}",
        make=partial(_build, graph, precision),
        load=partial(TensorRTRTXEngine, graph, f"{version} on {gpu[0]}, {precision}"),
        check=partial(verify, graph, precision=precision),
    )


class TensorRTRTXBackend:
    """TensorRT for RTX, where its package and an NVIDIA GPU are."""

    name = "tensorrt-rtx"
    precisions = PRECISIONS

    def unavailable(self) -> str | None:
        if not torch.cuda.is_available():
            return "PyTorch finds no CUDA device"
        return unbuildable()

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        if settings.precision == "int8" and graph.single is not None:  # which is what was calibrated
            return OneByOne(_load(graph.single, settings.precision))
        return filled(graph, _load(graph, settings.precision))
