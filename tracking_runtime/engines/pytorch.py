"""PyTorch itself, on a CPU or a CUDA device."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tracking_runtime.engines.base import Engine, EngineSettings, Graph
from tracking_runtime.engines.batching import filled
from tracking_runtime.engines.cuda_graph import Run, recorded
from tracking_runtime.engines.precision import DTYPES, in_precision

Network = TypeVar("Network", bound=nn.Module)


def channels_last(module: Network) -> Network:
    """A module whose convolutions work on images in channels-last order, which is faster."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def forbid_tf32() -> None:
    """From then on float32 is float32 on GPUs in this process: PyTorch's convolutions round it to TF32."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


class PyTorchEngine:
    """The graph's module, run without autograd, images in channels-last order; on a GPU as a CUDA graph."""

    def __init__(self, graph: Graph, device: str, settings: EngineSettings) -> None:
        self._device = torch.device(device)
        module = channels_last(copy.deepcopy(in_precision(graph, DTYPES[settings.precision]).module))
        self._module: Run = module.eval().to(self._device)
        examples = [example.numpy(force=True) for example in graph.examples]
        if self._device.type == "cpu":
            torch.set_num_threads(settings.cpu_threads)
            how = f"CPU, {settings.cpu_threads} threads, {settings.precision}"
        else:
            forbid_tf32()
            how = f"{torch.cuda.get_device_name(self._device)}, {settings.precision}"
            with torch.inference_mode():
                self._module, at_once = recorded(self._module, self._tensors(examples), graph.name)
            how += ", as a CUDA graph" if at_once else ""
        self.description = f"PyTorch {torch.__version__} on {how}"
        self.run(*examples)

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.inference_mode():
            outputs = self._module(*self._tensors(arrays))
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output.numpy(force=True) for output in outputs)

    def _tensors(self, arrays: Sequence[NDArray[Any]]) -> list[Tensor]:
        tensors = (torch.from_numpy(array).to(self._device) for array in arrays)
        return [
            tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
            for tensor in tensors
        ]


class PyTorchBackend:
    """PyTorch on one kind of device."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self._device = name, device
        self.precisions = ("float32", "bfloat16", "float16")

    def unavailable(self) -> str | None:
        if self._device == "cuda" and not torch.cuda.is_available():
            return "PyTorch finds no CUDA device"
        return None

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        engine = PyTorchEngine(graph, self._device, settings)
        return filled(graph, engine) if self._device == "cuda" else engine
