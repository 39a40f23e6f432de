"""PyTorch itself, on a CPU or a CUDA device."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tracking_runtime.engines.base import Engine, EngineSettings, Graph
from tracking_runtime.engines.batching import pad_batch
from tracking_runtime.engines.cuda_graph import ForwardFunction, capture_module
from tracking_runtime.engines.precision import DTYPES, cast_graph

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def to_channels_last(module: AnyModule) -> AnyModule:
    """Set the weights of a module's convolutions to channels-last order, and return the module."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def disable_tf32() -> None:
    """Disable the rounding of float32 to TF32 on GPUs, which PyTorch's convolutions do, in this process."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


class PyTorchEngine:
    """A graph's module without autograd, images in channels-last order; on a GPU as a CUDA graph."""

    def __init__(self, graph: Graph, device: str, settings: EngineSettings) -> None:
        self._device = torch.device(device)
        module = to_channels_last(copy.deepcopy(cast_graph(graph, DTYPES[settings.precision]).module))
        self._module: ForwardFunction = module.eval().to(self._device)
        examples = [example.numpy(force=True) for example in graph.examples]
        if self._device.type == "cpu":
            torch.set_num_threads(settings.num_cpu_threads)
            details = f"CPU, {settings.num_cpu_threads} threads, {settings.precision}"
        else:
            disable_tf32()
            details = f"{torch.cuda.get_device_name(self._device)}, {settings.precision}"
            with torch.inference_mode():
                tensors = self._make_tensors(examples)
                self._module, is_captured = capture_module(self._module, tensors, graph.name)
            details += ", as a CUDA graph" if is_captured else ""
        self.description = f"PyTorch {torch.__version__} on {details}"
        self.run(*examples)

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.inference_mode():
            outputs = self._module(*self._make_tensors(arrays))
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output.numpy(force=True) for output in outputs)

    def _make_tensors(self, arrays: Sequence[NDArray[Any]]) -> list[Tensor]:
        tensors = (torch.from_numpy(array).to(self._device) for array in arrays)
        return [
            tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
            for tensor in tensors
        ]


class PyTorchBackend:
    """PyTorch on one kind of device.

    Args:
        name: name of the backend.
        device: type of the device, `cpu` or `cuda`.
    """

    precisions = ("float32", "bfloat16", "float16")

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self._device = device

    def find_unavailable_reason(self) -> str | None:
        if self._device == "cuda" and not torch.cuda.is_available():
            return "PyTorch finds no CUDA device"
        return None

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        engine = PyTorchEngine(graph, self._device, settings)
        return pad_batch(graph, engine) if self._device == "cuda" else engine
