"""TensorRT for RTX: engines for desktop GPUs, built ahead of time, also without a GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tracking_runtime.engines import onnx
from tracking_runtime.engines.base import Engine, EngineError, EngineSettings, Graph
from tracking_runtime.engines.batching import load_per_item, pad_batch
from tracking_runtime.engines.build_progress import report_stage
from tracking_runtime.engines.cache import KERNELS_FILE, EngineCache
from tracking_runtime.engines.gpu_cache import describe_gpu_build, load_gpu_engine
from tracking_runtime.engines.precision import DTYPES, cast_graph
from tracking_runtime.engines.trt_runtime import (
    ENGINE_FILE,
    CompilerError,
    SerializedEngine,
    compile_onnx,
    read_quantized_onnx,
)

GPU_FAMILIES = {"sm75": (75,), "sm80-sm120": (80, 86, 89, 120)}
"""Compute capabilities of the GPUs that share an engine, by the family's name.

Turing (7.5) has an engine of its own, which takes many times the memory. NVIDIA's support matrix gives Turing
no float32 matrix products, so SPAX runs there in float16 only.
"""

PRECISIONS = ("float16", "float32", "int8")
"""Precisions, the default first. Not bfloat16: TensorRT rejects its ONNX files, whose weights are float32."""

_EXPORT_FRACTION = 0.3  # fraction of a build's time that the export takes


def find_unavailable_reason() -> str | None:
    """Return the reason why no engine can be built here, with or without a GPU; None if one can."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return "not installed: tensorrt_rtx (pip install 'remote_sensing_tracking[tensorrt-rtx]')"
    return onnx.find_unavailable_reason()


def build_engine(network: bytes, capabilities: Sequence[int] = ()) -> bytes:
    """Compile the content of an ONNX file, without rounding float32 to TF32.

    Args:
        network: content of the ONNX file.
        capabilities: compute capabilities of the GPUs, for example 86 for 8.6; empty: the GPU of this
            machine.

    Raises:
        EngineError: an operator is not supported, or the compilation fails; the message is the compiler's.
    """
    import tensorrt_rtx as trt

    def configure(config: Any) -> None:
        config.num_compute_capabilities = max(len(capabilities), 1)
        chosen = [getattr(trt.ComputeCapability, f"SM{number}") for number in capabilities]
        for index, capability in enumerate(chosen or [trt.ComputeCapability.CURRENT]):
            config.set_compute_capability(capability, index)

    try:
        return compile_onnx(trt, network, configure)
    except CompilerError as error:
        reason = f"TensorRT for RTX {trt.__version__} {error}"
        if 75 in capabilities and "FP32 GEMM" in reason:
            reason = f"compute capability 7.5 runs this network in float16 only: {reason}"
        raise EngineError(reason) from error


def make_onnx_network(graph: Graph, precision: str) -> bytes:
    """Make the content of the ONNX file from which a graph's engines are built.

    Raises:
        EngineError: the precision is int8 and the graph is not calibrated.
    """
    if precision == "int8":
        return read_quantized_onnx(graph)
    return onnx.convert_to_onnx(cast_graph(graph, DTYPES[precision]))


class TensorRTRTXEngine(SerializedEngine):
    """A compiled file whose kernels for the GPU of this machine are compiled at its first run.

    Attributes:
        has_cached_kernels: True if the kernels of an earlier start were loaded.
    """

    def serialize_kernels(self) -> bytes:
        """Return the kernels that are compiled so far."""
        return bytes(self._kernels.serialize())

    def _create_execution_context(self, folder: Path) -> Any:
        self._config = self._engine.create_runtime_config()
        self._kernels = self._config.create_runtime_cache()
        path = folder / KERNELS_FILE
        self.has_cached_kernels = path.exists() and self._kernels.deserialize(path.read_bytes())
        self._config.set_runtime_cache(self._kernels)
        return self._engine.create_execution_context(self._config)


class TensorRTRTXBackend:
    """TensorRT for RTX, if its package is installed and the machine has an NVIDIA GPU."""

    name = "tensorrt-rtx"
    precisions = PRECISIONS

    def find_unavailable_reason(self) -> str | None:
        if not torch.cuda.is_available():
            return "PyTorch finds no CUDA device"
        return find_unavailable_reason()

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        if settings.precision == "int8":
            return load_per_item(graph, partial(_load, precision="int8"))
        return pad_batch(graph, _load(graph, settings.precision))


def _load(graph: Graph, precision: str) -> TensorRTRTXEngine:
    """Load a graph's engine, from the cache if it is there."""
    import tensorrt_rtx as trt

    compiler = f"TensorRT for RTX {trt.__version__}"
    build = describe_gpu_build(graph, precision, compiler, torch.__version__, compiler)
    engine = load_gpu_engine(
        build, partial(_compile, graph, precision), partial(TensorRTRTXEngine, trt, graph)
    )
    if not engine.has_cached_kernels:
        with suppress(OSError):  # an unwritable cache has logged a warning already
            EngineCache().write_kernels(build.key, build.label, engine.serialize_kernels())
    return engine


def _compile(graph: Graph, precision: str, folder: Path) -> None:
    """Compile a graph for the GPU of this machine and write the engine to a folder."""
    report_stage(f"{graph.name}: exporting for TensorRT for RTX", 0.0)
    network = make_onnx_network(graph, precision)
    report_stage(f"{graph.name}: compiling by TensorRT for RTX", _EXPORT_FRACTION)
    (folder / ENGINE_FILE).write_bytes(build_engine(network))
