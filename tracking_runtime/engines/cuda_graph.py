"""A network's kernels captured as one CUDA graph, which a run launches at once instead of one by one.

Small networks spend more time on launches than on arithmetic. This needs an NVIDIA GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tracking_runtime.engines.batching import copy_to_buffers

ModuleOutputs = Tensor | tuple[Tensor, ...]
ForwardFunction = Callable[..., ModuleOutputs]

_NUM_WARM_UPS = 3  # runs before the capture, as PyTorch's documentation of CUDA graphs asks for
_log = logging.getLogger(__name__)


def capture_module(
    module: ForwardFunction, examples: Sequence[Tensor], name: str
) -> tuple[ForwardFunction, bool]:
    """Capture a module as a CUDA graph.

    A module whose control flow depends on values cannot be captured.

    Args:
        module: network without state.
        examples: inputs on the GPU, with the shapes, types and memory formats of every run's inputs.
        name: name for logs.

    Returns:
        replay of the graph and True; or, with a warning, the module itself and False.
    """
    try:
        return CapturedModule(module, examples), True
    except (RuntimeError, AssertionError) as error:
        _log.warning("%s runs without a CUDA graph, kernel by kernel: %s", name, error)
        return module, False


class CapturedModule:
    """A module's kernels for inputs of fixed shapes. Each run overwrites the tensors of the previous run.

    A run with other shapes raises EngineError.

    Raises:
        RuntimeError: the module cannot be captured.
        AssertionError: the replay gives other values than the module, or PyTorch is built without CUDA.
    """

    def __init__(self, module: ForwardFunction, examples: Sequence[Tensor]) -> None:
        self._inputs = [example.clone() for example in examples]
        warm_up_stream = torch.cuda.Stream()
        warm_up_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up_stream):
            for _ in range(_NUM_WARM_UPS):
                expected = module(*self._inputs)
        torch.cuda.current_stream().wait_stream(warm_up_stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = module(*self._inputs)
        torch.testing.assert_close(self(*examples), expected)

    def __call__(self, *tensors: Tensor) -> ModuleOutputs:
        copy_to_buffers(self._inputs, tensors)
        self._graph.replay()
        return self._outputs
