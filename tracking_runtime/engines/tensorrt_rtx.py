"""TensorRT for RTX: engines for desktop GPUs, built ahead of time on any machine, with a GPU or without."""

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
from tracking_runtime.engines.batching import filled, one_by_one
from tracking_runtime.engines.build_progress import stage
from tracking_runtime.engines.cache import KERNELS, EngineCache
from tracking_runtime.engines.gpu_cache import engine_key, gpu_facts, kept_engine
from tracking_runtime.engines.precision import DTYPES, in_precision
from tracking_runtime.engines.trt_runtime import FILE, CompilerError, SerializedEngine, compiled, quantised
from tracking_runtime.engines.verification import verify

FAMILIES = {"sm75": (75,), "sm80-sm120": (80, 86, 89, 120)}
"""Compute capabilities of an engine: Turing's takes many times the memory, and has one of its own. NVIDIA's
support matrix gives it no products of matrices in float32: SPAX is for it in float16 alone."""

PRECISIONS = ("float16", "float32", "int8")
"""Not bfloat16: ONNX files have convolutions with weights in float32 in it, which TensorRT does not take."""

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

    def configure(config: Any) -> None:
        config.num_compute_capabilities = max(len(capabilities), 1)
        chosen = [getattr(trt.ComputeCapability, f"SM{number}") for number in capabilities]
        for index, capability in enumerate(chosen or [trt.ComputeCapability.CURRENT]):
            config.set_compute_capability(capability, index)

    try:
        return compiled(trt, network, configure)
    except CompilerError as error:
        reason = f"TensorRT for RTX {trt.__version__} {error}"
        if 75 in capabilities and "FP32 GEMM" in reason:
            reason = f"compute capability 7.5 takes it in float16 only, its compiler says: {reason}"
        raise EngineError(reason) from error


def source(graph: Graph, precision: str) -> bytes:
    """The ONNX file that a graph's engines are built from; in int8 as it was calibrated.

    Raises:
        EngineError: it was not calibrated.
    """
    if precision == "int8":
        return quantised(graph)
    return onnx.as_onnx(in_precision(graph, DTYPES[precision]))


def _build(graph: Graph, precision: str, folder: Path) -> None:
    stage(f"{graph.name}: exporting for TensorRT for RTX", 0.0)
    network = source(graph, precision)
    stage(f"{graph.name}: compiling by TensorRT for RTX", _EXPORT)
    (folder / FILE).write_bytes(build_engine(network))


class TensorRTRTXEngine(SerializedEngine):
    """A compiled file, of which kernels for the GPU here are compiled when it first runs.

    Attributes:
        kernels_known: whether those of an earlier start were taken.
    """

    def kernels(self) -> bytes:
        """Those compiled until now."""
        return bytes(self._kernels.serialize())

    def _execution_context(self, folder: Path) -> Any:
        self._config = self._engine.create_runtime_config()
        self._kernels = self._config.create_runtime_cache()
        kept = folder / KERNELS
        self.kernels_known = kept.exists() and self._kernels.deserialize(kept.read_bytes())
        self._config.set_runtime_cache(self._kernels)
        return self._engine.create_execution_context(self._config)


def _load(graph: Graph, precision: str) -> TensorRTRTXEngine:
    """A graph's engine, of an earlier start if it is there."""
    import tensorrt_rtx as trt

    gpu, version = gpu_facts(), f"TensorRT for RTX {trt.__version__}"
    key = engine_key(graph, precision, torch.__version__, version, *gpu)
    label = f"{graph.name}, {version}, {precision}"
    engine = kept_engine(
        key,
        label,
        make=partial(_build, graph, precision),
        load=partial(TensorRTRTXEngine, trt, graph, f"{version} on {gpu[0]}, {precision}"),
        check=partial(verify, graph, precision=precision),
    )
    if not engine.kernels_known:
        with suppress(OSError):  # of a cache that keeps nothing people were told
            EngineCache().keep_kernels(key, label, engine.kernels())
    return engine


class TensorRTRTXBackend:
    """TensorRT for RTX, where its package and an NVIDIA GPU are."""

    name = "tensorrt-rtx"
    precisions = PRECISIONS

    def unavailable(self) -> str | None:
        if not torch.cuda.is_available():
            return "PyTorch finds no CUDA device"
        return unbuildable()

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        if settings.precision == "int8":
            return one_by_one(graph, partial(_load, precision="int8"))
        return filled(graph, _load(graph, settings.precision))
