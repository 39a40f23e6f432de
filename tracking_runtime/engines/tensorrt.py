"""TensorRT for Jetson and desktop GPUs: by torch-tensorrt, and in int8 by TensorRT's own ONNX parser.

The code follows the documented interface of torch-tensorrt 2.12 to 2.14, and needs an NVIDIA GPU. The module
`tracking_runtime.engines.operator_support` checks the conversion on every machine.
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
from tracking_runtime.engines.batching import load_per_item, make_input_buffers, pad_batch
from tracking_runtime.engines.build_progress import report_stage
from tracking_runtime.engines.gpu_cache import describe_gpu_build, load_gpu_engine
from tracking_runtime.engines.precision import DTYPES, cast_graph
from tracking_runtime.engines.torch_export import export_program
from tracking_runtime.engines.trt_runtime import (
    ENGINE_FILE,
    CompilerError,
    SerializedEngine,
    compile_onnx,
    read_quantized_onnx,
)

PRECISIONS = ("float16", "float32", "bfloat16", "int8")

_PROGRAM_FILE = "network.pt2"
_EXPORT_FRACTION = 0.05  # fraction of a build's time that the export takes


def find_unavailable_reason() -> str | None:
    """Return the reason why TensorRT cannot be used here; None if it can."""
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    if importlib.util.find_spec("torch_tensorrt") is None:
        return "not installed: torch_tensorrt (pip install torch-tensorrt, of torch's own version)"
    return None


def build_engine(graph: Graph, precision: str) -> bytes:
    """Build a TensorRT engine for the GPU of this machine, for `trtexec` and TensorRT's own runtimes.

    From torch-tensorrt 2.14 on, and in int8, the inputs and outputs have the graph's names.

    Raises:
        EngineError: in int8, the graph is not calibrated, or TensorRT cannot compile it.
    """
    if precision == "int8":
        return _compile_int8(graph)
    import torch_tensorrt

    graph = cast_graph(graph, DTYPES[precision])
    convert = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine
    names = {"arg_input_binding_names": graph.input_names, "output_binding_names": graph.output_names}
    supported_names = {name: names[name] for name in inspect.signature(convert).parameters if name in names}
    examples = make_input_buffers(graph, "cuda")
    program = export_program(graph, "cuda")
    return bytes(convert(program, arg_inputs=examples, disable_tf32=True, **supported_names))


def read_port_names(engine: bytes) -> tuple[list[str], list[str]]:
    """Read the names of a TensorRT engine's inputs and outputs.

    Raises:
        EngineError: the engine cannot be loaded here.
    """
    import tensorrt

    runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise EngineError(f"TensorRT {tensorrt.__version__} cannot load an engine that it compiled")
    names = [loaded.get_tensor_name(index) for index in range(loaded.num_io_tensors)]
    inputs = [name for name in names if loaded.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
    return inputs, [name for name in names if name not in inputs]


class TensorRTEngine:
    """A program compiled by torch-tensorrt for the GPU of this machine.

    Args:
        description: description of the engine.
        folder: folder of the program's file.
    """

    def __init__(self, description: str, folder: Path) -> None:
        import torch_tensorrt

        self.description = description
        self._module = torch_tensorrt.load(str(folder / _PROGRAM_FILE)).module()

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(array).cuda() for array in arrays))
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output.numpy(force=True) for output in outputs)


class TensorRTBackend:
    """TensorRT, if torch-tensorrt is installed and the machine has an NVIDIA GPU."""

    name = "tensorrt"
    precisions = PRECISIONS

    def find_unavailable_reason(self) -> str | None:
        return find_unavailable_reason()

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        if settings.precision == "int8":
            return load_per_item(graph, _load_int8)
        return pad_batch(graph, _load(graph, settings.precision))


def _load(graph: Graph, precision: str) -> TensorRTEngine:
    """Load the engine of a graph from the cache, or build and cache the engine."""
    import tensorrt
    import torch_tensorrt

    compiler = f"TensorRT {tensorrt.__version__}"
    versions = (compiler, torch_tensorrt.__version__, torch.__version__, str(torch.version.cuda))
    build = describe_gpu_build(graph, precision, compiler, *versions)
    return load_gpu_engine(build, partial(_compile, cast_graph(graph, DTYPES[precision])), TensorRTEngine)


def _compile(graph: Graph, folder: Path) -> None:
    """Compile the whole graph, without parts that run in PyTorch, and write the program to a folder."""
    import torch_tensorrt

    examples = make_input_buffers(graph, "cuda")
    report_stage(f"{graph.name}: exporting for TensorRT", 0.0)
    program = export_program(graph, "cuda")
    report_stage(f"{graph.name}: compiling by TensorRT", _EXPORT_FRACTION)
    compiled = torch_tensorrt.dynamo.compile(
        program, arg_inputs=examples, disable_tf32=True, require_full_compilation=True, min_block_size=1
    )
    torch_tensorrt.save(compiled, str(folder / _PROGRAM_FILE), arg_inputs=examples)


def _load_int8(graph: Graph) -> SerializedEngine:
    """Load a calibrated graph's engine, from the cache if it is there."""
    import tensorrt

    def compile_graph(folder: Path) -> None:
        report_stage(f"{graph.name}: compiling by TensorRT", 0.0)
        (folder / ENGINE_FILE).write_bytes(_compile_int8(graph))

    compiler = f"TensorRT {tensorrt.__version__}"
    build = describe_gpu_build(graph, "int8", compiler, torch.__version__, compiler)
    return load_gpu_engine(build, compile_graph, partial(SerializedEngine, tensorrt, graph))


def _compile_int8(graph: Graph) -> bytes:
    network = read_quantized_onnx(graph)
    import tensorrt

    try:
        return compile_onnx(tensorrt, network)
    except CompilerError as error:
        raise EngineError(f"TensorRT {tensorrt.__version__} {error}") from error
