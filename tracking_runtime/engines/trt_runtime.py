"""Compilation and execution of ONNX files by TensorRT and TensorRT for RTX, whose interfaces agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tracking_runtime.engines import openvino_int8
from tracking_runtime.engines.base import EngineError, Graph
from tracking_runtime.engines.batching import copy_to_buffers, make_input_buffers

ENGINE_FILE = "network.engine"


class CompilerError(EngineError):
    """A network that a compiler does not accept. The message is the compiler's."""


def read_quantized_onnx(graph: Graph) -> bytes:
    """Read the ONNX file of a graph in int8.

    Raises:
        EngineError: the graph is not calibrated.
    """
    return openvino_int8.read_quantized(graph, ".onnx")[0]


def compile_onnx(trt: Any, network: bytes, configure: Callable[[Any], None] = lambda _: None) -> bytes:
    """Compile the content of an ONNX file with the types of the file, without rounding float32 to TF32.

    Args:
        trt: package `tensorrt` or `tensorrt_rtx`.
        network: content of the ONNX file.
        configure: function that changes the builder's configuration.

    Raises:
        CompilerError: an operator is not supported, or the compilation fails.
    """
    messages: list[str] = []

    class ErrorLogger(trt.ILogger):
        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR and "Cuda Runtime" not in text:
                messages.append(text)

    logger = ErrorLogger()
    builder = trt.Builder(logger)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(network):
        problems = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise CompilerError(f"cannot parse the network: {'; '.join(problems)}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    configure(config)
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        raise CompilerError(f"cannot compile the network: {'; '.join(messages)}")
    return bytes(engine)


class SerializedEngine:
    """A compiled file that runs on the GPU of this machine, with input and output buffers of its own.

    Args:
        trt: package that compiled the file.
        graph: compiled graph.
        description: description of the engine.
        folder: folder of the file.

    Raises:
        EngineError: the file cannot be loaded.
    """

    def __init__(self, trt: Any, graph: Graph, description: str, folder: Path) -> None:
        self.description = description
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine((folder / ENGINE_FILE).read_bytes())
        if self._engine is None:
            raise EngineError(f"{description} cannot load the compiled engine of {graph.name}")
        self._stream = torch.cuda.Stream()
        self._inputs = make_input_buffers(graph, "cuda")
        self._context = self._create_execution_context(folder)
        self._outputs = [self._make_output_buffer(trt, name) for name in graph.output_names]
        names = (*graph.input_names, *graph.output_names)
        for name, tensor in zip(names, (*self._inputs, *self._outputs), strict=True):
            self._context.set_tensor_address(name, tensor.data_ptr())

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.cuda.stream(self._stream):
            copy_to_buffers(self._inputs, (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise EngineError(f"{self.description} failed to start a run")
        self._stream.synchronize()
        return tuple(tensor.numpy(force=True) for tensor in self._outputs)

    def _create_execution_context(self, _folder: Path) -> Any:
        return self._engine.create_execution_context()

    def _make_output_buffer(self, trt: Any, name: str) -> torch.Tensor:
        dtype = torch.from_numpy(np.empty(0, trt.nptype(self._engine.get_tensor_dtype(name)))).dtype
        return torch.empty(tuple(self._engine.get_tensor_shape(name)), dtype=dtype, device="cuda")
