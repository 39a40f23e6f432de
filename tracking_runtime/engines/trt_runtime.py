"""What TensorRT and TensorRT for RTX, whose interfaces agree, make of ONNX files, and how it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tracking_runtime.engines import openvino
from tracking_runtime.engines.base import EngineError, Graph
from tracking_runtime.engines.batching import input_buffers, overwrite

FILE = "network.engine"


class CompilerError(EngineError):
    """A network that a compiler does not take; the message has what it says."""


def quantised(graph: Graph) -> bytes:
    """The ONNX file of a graph in int8.

    Raises:
        EngineError: it was not calibrated.
    """
    return openvino.read_quantised(graph, ".onnx")[0]


def compiled(trt: Any, network: bytes, configure: Callable[[Any], None] = lambda _: None) -> bytes:
    """Compile an ONNX file's contents, every operator of it, in its own types: no float32 is rounded to TF32.

    Args:
        trt: the package ``tensorrt`` or ``tensorrt_rtx``.
        network: the file.
        configure: sets what else there is to set in the builder's configuration.

    Raises:
        CompilerError: an operator is not accepted, or the compiler gives up.
    """
    said: list[str] = []

    class Listener(trt.ILogger):
        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR and "Cuda Runtime" not in text:
                said.append(text)

    logger = Listener()
    builder = trt.Builder(logger)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(network):
        problems = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise CompilerError(f"does not take it: {'; '.join(problems)}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    configure(config)
    engine = builder.build_serialized_network(definition, config)
    if engine is None:
        raise CompilerError(f"does not compile it: {'; '.join(said)}")
    return bytes(engine)


class SerializedEngine:
    """A compiled file that runs on the GPU here, in buffers of its own.

    Args:
        trt: the package that compiled it.
        graph: what was compiled.
        description: which engine this is.
        folder: that it was written to.

    Raises:
        EngineError: it cannot be loaded.
    """

    def __init__(self, trt: Any, graph: Graph, description: str, folder: Path) -> None:
        self.description = description
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine((folder / FILE).read_bytes())
        if self._engine is None:
            raise EngineError(f"{description} cannot load what was made of {graph.name}")
        self._stream = torch.cuda.Stream()
        self._inputs = input_buffers(graph, "cuda")
        self._context = self._execution_context(folder)
        self._outputs = [self._buffer(trt, name) for name in graph.outputs]
        names = (*graph.inputs, *graph.outputs)
        for name, tensor in zip(names, (*self._inputs, *self._outputs), strict=True):
            self._context.set_tensor_address(name, tensor.data_ptr())

    def _execution_context(self, _folder: Path) -> Any:
        return self._engine.create_execution_context()

    def _buffer(self, trt: Any, name: str) -> torch.Tensor:
        dtype = torch.from_numpy(np.empty(0, trt.nptype(self._engine.get_tensor_dtype(name)))).dtype
        return torch.empty(tuple(self._engine.get_tensor_shape(name)), dtype=dtype, device="cuda")

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.cuda.stream(self._stream):
            overwrite(self._inputs, (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise EngineError(f"{self.description} refused to run")
        self._stream.synchronize()
        return tuple(tensor.numpy(force=True) for tensor in self._outputs)
