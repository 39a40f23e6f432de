"""TensorRT by torch-tensorrt: Jetson and desktop GPUs.

Written against the documented interface of torch-tensorrt 2.12 to 2.14. What it converts is checked on every
machine, by :mod:`tracking_runtime.engines.operators`; running it takes an NVIDIA GPU.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking_runtime.build_progress import stage
from tracking_runtime.engines.cache import EngineCache, graph_key
from tracking_runtime.engines.filling import filled
from tracking_runtime.engines.precision import DTYPES, in_precision
from tracking_runtime.engines.program import export_program
from tracking_runtime.engines.protocol import Engine, EngineSettings, Graph
from tracking_runtime.engines.verification import verify

PRECISIONS = ("float16", "float32", "bfloat16")

_FILE = "network.pt2"
_EXPORT = 0.05
"""Share of a build's time that the export takes."""


def missing() -> str | None:
    """Why TensorRT cannot be used here; None if it can."""
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    if importlib.util.find_spec("torch_tensorrt") is None:
        return "not installed: torch_tensorrt (pip install torch-tensorrt, of torch's own version)"
    return None


def build_engine(graph: Graph) -> bytes:
    """A TensorRT engine for the GPU here, which ``trtexec`` and TensorRT's own runtimes read."""
    import torch_tensorrt

    convert = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    return bytes(convert(export_program(graph, "cuda"), arg_inputs=_examples(graph)))


def _examples(graph: Graph) -> list[Tensor]:
    return [example.detach().clone().cuda() for example in graph.examples]


def _build(graph: Graph, folder: Path) -> None:
    """Compile the whole graph, without parts left to PyTorch, and write it down."""
    import torch_tensorrt

    examples = _examples(graph)
    stage(f"{graph.name}: exporting for TensorRT", 0.0)
    program = export_program(graph, "cuda")
    stage(f"{graph.name}: compiling by TensorRT", _EXPORT)
    compiled = torch_tensorrt.dynamo.compile(
        program, arg_inputs=examples, require_full_compilation=True, min_block_size=1
    )
    torch_tensorrt.save(compiled, str(folder / _FILE), arg_inputs=examples)


class TensorRTEngine:
    """A graph compiled for the GPU here."""

    def __init__(self, graph: Graph, settings: EngineSettings) -> None:
        import tensorrt
        import torch_tensorrt

        gpu, precision = torch.cuda.get_device_name(), settings.precision
        version = f"TensorRT {tensorrt.__version__}"
        typed = in_precision(graph, DTYPES[precision])
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        key = graph_key(typed, version, torch_tensorrt.__version__, torch.__version__, gpu, capability)
        label = f"{graph.name}, {version}, {precision}"
        with EngineCache().obtain(key, label, partial(_build, typed)) as kept:
            self._module = torch_tensorrt.load(str(kept / _FILE)).module()
        self.description = f"{version} on {gpu}, {precision}"
        verify(graph, self, precision)

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(array).cuda() for array in arrays))
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output.numpy(force=True) for output in outputs)


class TensorRTBackend:
    """TensorRT, where torch-tensorrt and an NVIDIA GPU are."""

    name = "tensorrt"
    precisions = PRECISIONS

    def unavailable(self) -> str | None:
        return missing()

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        return filled(graph, TensorRTEngine(graph, settings))
