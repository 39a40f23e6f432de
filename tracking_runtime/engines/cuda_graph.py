"""All kernels of a network as one CUDA graph: a run launches it at once, not kernel by kernel.

Small networks wait for launches more than they compute. Written by PyTorch's documentation of CUDA graphs;
running it takes an NVIDIA GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tracking_runtime.engines.batching import overwrite

Outputs = Tensor | tuple[Tensor, ...]
Run = Callable[..., Outputs]

_WARM_UPS = 3
_log = logging.getLogger(__name__)


def recorded(module: Run, examples: Sequence[Tensor], name: str) -> tuple[Run, bool]:
    """A module that replays what this one does on a GPU, and True; or itself, and False, with a warning.

    Not every module can be recorded: some look at values on the way.

    Args:
        module: without state.
        examples: inputs on the GPU, of the shapes, types and memory formats that every run will have.
        name: for logs.
    """
    try:
        return RecordedModule(module, examples), True
    except (RuntimeError, AssertionError) as error:
        _log.warning("%s runs without a CUDA graph, kernel by kernel: %s", name, error)
        return module, False


class RecordedModule:
    """A module's kernels for inputs of fixed shapes. The next run overwrites what a run returns.

    Runs with other shapes raise EngineError.

    Raises:
        RuntimeError: it cannot be recorded.
        AssertionError: the replay gives something else, or this PyTorch is not for CUDA.
    """

    def __init__(self, module: Run, examples: Sequence[Tensor]) -> None:
        self._inputs = [example.clone() for example in examples]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                wanted = module(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = module(*self._inputs)
        torch.testing.assert_close(self(*examples), wanted)

    def __call__(self, *tensors: Tensor) -> Outputs:
        overwrite(self._inputs, tensors)
        self._graph.replay()
        return self._outputs
