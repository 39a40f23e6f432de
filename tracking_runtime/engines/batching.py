"""Engines of fixed shapes: their input buffers, smaller batches, and batches run item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking_runtime.engines.base import Engine, EngineError, Graph


def make_input_buffers(graph: Graph, device: str) -> list[Tensor]:
    """Return copies of a graph's examples on a device, each row-major and in memory of its own.

    Args:
        graph: graph whose examples have the shapes of its inputs.
        device: device of PyTorch ("cuda").
    """
    row_major = torch.contiguous_format
    return [example.detach().clone(memory_format=row_major).to(device) for example in graph.examples]


def copy_to_buffers(buffers: Iterable[Tensor], tensors: Iterable[Tensor]) -> None:
    """Copy a run's inputs to the buffers of its engine.

    Raises:
        EngineError: an input has another shape than its buffer. Inputs are not broadcast.
    """
    for buffer, tensor in zip(buffers, tensors, strict=True):
        if tensor.shape != buffer.shape:
            raise EngineError(
                f"input has shape {tuple(tensor.shape)}: the engine needs {tuple(buffer.shape)}"
            )
        buffer.copy_(tensor, non_blocking=True)


def split_batch(arrays: Iterable[NDArray[Any]]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield each item of batched arrays (batch, ...), as arrays (1, ...)."""
    return zip(*(np.split(array, len(array)) for array in arrays), strict=True)


def concat_batch(outputs: Iterable[Iterable[NDArray[Any]]]) -> tuple[NDArray[Any], ...]:
    """Concatenate the outputs (1, ...) of single items to one array (batch, ...) per output."""
    return tuple(np.concatenate(parts) for parts in zip(*outputs, strict=True))


def pad_batch(graph: Graph, engine: Engine) -> Engine:
    """Return an engine that also takes smaller batches than its graph; unbatched engines are unchanged."""
    return engine if graph.per_item_graph is None else _PaddedEngine(engine, len(graph.examples[0]))


class _PaddedEngine:
    """An engine whose inputs are padded to its batch size with the last item."""

    def __init__(self, engine: Engine, batch_size: int) -> None:
        self._engine = engine
        self._batch_size = batch_size

    @property
    def description(self) -> str:
        return self._engine.description

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        num_items = len(arrays[0])
        indices = np.minimum(np.arange(self._batch_size), num_items - 1)
        outputs = self._engine.run(*(array[indices] for array in arrays))
        return tuple(output[:num_items] for output in outputs)


class PerItemEngine:
    """An engine of batch size 1 that runs once per item."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def description(self) -> str:
        return self._engine.description

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return concat_batch(self._engine.run(*item) for item in split_batch(arrays))


def load_per_item(graph: Graph, load: Callable[[Graph], Engine]) -> Engine:
    """Load the engine of a graph whose backend takes single items only, for example in int8.

    Args:
        graph: graph of a single item, or batched.
        load: function that makes the engine of an unbatched graph.
    """
    return load(graph) if graph.per_item_graph is None else PerItemEngine(load(graph.per_item_graph))
