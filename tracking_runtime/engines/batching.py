"""Engines of fixed shapes: their inputs, and other numbers of items than they were compiled for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking_runtime.engines.base import Engine, EngineError, Graph


def input_buffers(graph: Graph, device: str) -> list[Tensor]:
    """A graph's examples on a device, each apart and row-major: what engines read a run's inputs from."""
    row_major = torch.contiguous_format
    return [example.detach().clone(memory_format=row_major).to(device) for example in graph.examples]


def overwrite(buffers: Iterable[Tensor], given: Iterable[Tensor]) -> None:
    """Put a run's inputs where its engine reads them.

    Raises:
        EngineError: one is not of its buffer's shape: rows are not repeated.
    """
    for buffer, tensor in zip(buffers, given, strict=True):
        if tensor.shape != buffer.shape:
            raise EngineError(f"an input is {tuple(tensor.shape)}, and the engine for {tuple(buffer.shape)}")
        buffer.copy_(tensor, non_blocking=True)


def separate(arrays: Iterable[NDArray[Any]]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Each item's part of arrays with a leading axis of items, which keeps that axis."""
    return zip(*(np.split(array, len(array)) for array in arrays), strict=True)


def joined(outputs: Iterable[Iterable[NDArray[Any]]]) -> tuple[NDArray[Any], ...]:
    """What the items gave, one array of all items for each output."""
    return tuple(np.concatenate(parts) for parts in zip(*outputs, strict=True))


def filled(graph: Graph, engine: Engine) -> Engine:
    """The engine; where its graph is for several items, one that takes fewer, too."""
    return engine if graph.single is None else _Filled(engine, len(graph.examples[0]))


class _Filled:
    """An engine whose places without an item are given the last one again."""

    def __init__(self, engine: Engine, places: int) -> None:
        self._engine, self._places = engine, places

    @property
    def description(self) -> str:
        return self._engine.description

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        items = len(arrays[0])
        rows = np.minimum(np.arange(self._places), items - 1)
        return tuple(output[:items] for output in self._engine.run(*(array[rows] for array in arrays)))


class OneByOne:
    """An engine for one item, run for each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def description(self) -> str:
        return self._engine.description

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return joined(self._engine.run(*item) for item in separate(arrays))


def one_by_one(graph: Graph, load: Callable[[Graph], Engine]) -> Engine:
    """An engine of which only the graph for a single item can be made, as in int8, where that is calibrated.

    Args:
        graph: for one item, or for several.
        load: makes the engine of a graph.
    """
    return load(graph) if graph.single is None else OneByOne(load(graph.single))
