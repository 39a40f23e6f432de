"""Engines of fixed shapes, for other numbers of items than they were compiled for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.engines.protocol import Engine, Graph


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
