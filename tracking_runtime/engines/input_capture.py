"""What engines are given while trackers run: to calibrate with, and to compare engines on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.engines.base import Engine

Inputs = tuple[NDArray[Any], ...]


class _Samples:
    """The inputs of some runs, evenly spread, however many there will be."""

    def __init__(self, most: int) -> None:
        self.kept: list[Inputs] = []
        self._most, self._runs, self._step = most, 0, 1

    def add(self, arrays: Inputs) -> None:
        if self._runs % self._step == 0:
            self.kept.append(tuple(np.array(array) for array in arrays))
        self._runs += 1
        if len(self.kept) > self._most:
            del self.kept[1::2]
            self._step *= 2


class _Observer:
    def __init__(self, most: int) -> None:
        self._most = most
        self.graphs: dict[str, _Samples] = {}

    def add(self, name: str, arrays: Inputs) -> None:
        self.graphs.setdefault(name, _Samples(self._most)).add(arrays)


_observer: ContextVar[_Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observed(most: int) -> Iterator[Mapping[str, list[Inputs]]]:
    """What graphs loaded in the block are given in it, known at its end: some runs of each, by its name."""
    observer, seen = _Observer(most), dict[str, list[Inputs]]()
    token = _observer.set(observer)
    try:
        yield seen
    finally:
        _observer.reset(token)
        seen.update({name: samples.kept for name, samples in observer.graphs.items()})


def watched(name: str, engine: Engine) -> Engine:
    """The engine; in the block of ``observed``, one that tells what it is given."""
    observer = _observer.get()
    return engine if observer is None else _Watched(name, engine, observer)


class _Watched:
    def __init__(self, name: str, engine: Engine, observer: _Observer) -> None:
        self._name, self._engine, self._observer = name, engine, observer

    @property
    def description(self) -> str:
        return self._engine.description

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._observer.add(self._name, arrays)
        return self._engine.run(*arrays)
