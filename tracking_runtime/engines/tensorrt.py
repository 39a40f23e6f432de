"""TensorRT by torch-tensorrt: Jetson and desktop GPUs. In int8, by TensorRT's own parser of ONNX files.

Written against the documented interface of torch-tensorrt 2.12 to 2.14. What it converts is checked on every
machine, by :mod:`tracking_runtime.engines.operator_support`; running it takes an NVIDIA GPU.
"""

from __future__ import annotations

import importlib.util
import inspect
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking_runtime.engines.base import Engine, EngineError, EngineSettings, Graph
from tracking_runtime.engines.batching import filled, input_buffers, one_by_one
from tracking_runtime.engines.build_progress import stage
from tracking_runtime.engines.gpu_cache import engine_key, gpu_facts, kept_engine
from tracking_runtime.engines.precision import DTYPES, in_precision
from tracking_runtime.engines.torch_export import export_program
from tracking_runtime.engines.trt_runtime import FILE, CompilerError, SerializedEngine, compiled, quantised
from tracking_runtime.engines.verification import verify

PRECISIONS = ("float16", "float32", "bfloat16", "int8")

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


def build_engine(graph: Graph, precision: str) -> bytes:
    """A TensorRT engine for the GPU here, which ``trtexec`` and TensorRT's own runtimes read.

    From torch-tensorrt 2.14 on, and in int8, its inputs and outputs have the graph's names.

    Raises:
        EngineError: int8: the graph was not calibrated, or TensorRT does not take it.
    """
    if precision == "int8":
        return _build_int8(quantised(graph))
    import torch_tensorrt

    graph = in_precision(graph, DTYPES[precision])
    convert = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    names = {"arg_input_binding_names": graph.inputs, "output_binding_names": graph.outputs}
    taken = {name: names[name] for name in inspect.signature(convert).parameters if name in names}
    examples = input_buffers(graph, "cuda")
    return bytes(convert(export_program(graph, "cuda"), arg_inputs=examples, disable_tf32=True, **taken))


def _build_int8(network: bytes) -> bytes:
    import tensorrt

    try:
        return compiled(tensorrt, network)
    except CompilerError as error:
        raise EngineError(f"TensorRT {tensorrt.__version__} {error}") from error


def names_in(engine: bytes) -> tuple[list[str], list[str]]:
    """Names of a TensorRT engine's inputs and outputs.

    Raises:
        EngineError: it cannot be loaded here.
    """
    import tensorrt

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise EngineError(f"TensorRT {tensorrt.__version__} cannot load what it made")
    names = [loaded.get_tensor_name(index) for index in range(loaded.num_io_tensors)]
    inputs = [name for name in names if loaded.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
    return inputs, [name for name in names if name not in inputs]


def _build(graph: Graph, folder: Path) -> None:
    """Compile the whole graph, without parts left to PyTorch, and write it down."""
    import torch_tensorrt

    examples = input_buffers(graph, "cuda")
    stage(f"{graph.name}: exporting for TensorRT", 0.0)
    program = export_program(graph, "cuda")
    stage(f"{graph.name}: compiling by TensorRT", _EXPORT)
    compiled = torch_tensorrt.dynamo.compile(
        program, arg_inputs=examples, disable_tf32=True, require_full_compilation=True, min_block_size=1
    )
    torch_tensorrt.save(compiled, str(folder / _FILE), arg_inputs=examples)


class TensorRTEngine:
    """A graph compiled for the GPU here.

    Args:
        description: which engine this is.
        folder: that it was written to.
    """

    def __init__(self, description: str, folder: Path) -> None:
        import torch_tensorrt

        self.description = description
        self._module = torch_tensorrt.load(str(folder / _FILE)).module()

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(array).cuda() for array in arrays))
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output.numpy(force=True) for output in outputs)


def _load_int8(graph: Graph) -> SerializedEngine:
    """A calibrated graph's engine, of an earlier start if it is there."""
    import tensorrt

    def make(folder: Path) -> None:
        stage(f"{graph.name}: compiling by TensorRT", 0.0)
        (folder / FILE).write_bytes(_build_int8(network))

    network = quantised(graph)
    gpu, version = gpu_facts(), f"TensorRT {tensorrt.__version__}"
    return kept_engine(
        engine_key(graph, "int8", torch.__version__, version, *gpu),
        f"{graph.name}, {version}, int8",
        make=make,
        load=partial(SerializedEngine, tensorrt, graph, f"{version} on {gpu[0]}, int8"),
        check=partial(verify, graph, precision="int8"),
    )


def _load(graph: Graph, precision: str) -> TensorRTEngine:
    """A graph's engine, of an earlier start if it is there."""
    import tensorrt
    import torch_tensorrt

    gpu, version = gpu_facts(), f"TensorRT {tensorrt.__version__}"
    made_by = (version, torch_tensorrt.__version__, torch.__version__, str(torch.version.cuda))
    return kept_engine(
        engine_key(graph, precision, *made_by, *gpu),
        f"{graph.name}, {version}, {precision}",
        make=partial(_build, in_precision(graph, DTYPES[precision])),
        load=partial(TensorRTEngine, f"{version} on {gpu[0]}, {precision}"),
        check=partial(verify, graph, precision=precision),
    )


class TensorRTBackend:
    """TensorRT, where torch-tensorrt and an NVIDIA GPU are."""

    name = "tensorrt"
    precisions = PRECISIONS

    def unavailable(self) -> str | None:
        return missing()

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        if settings.precision == "int8":
            return one_by_one(graph, _load_int8)
        return filled(graph, _load(graph, settings.precision))
