"""Inputs of engines, captured while a tracker runs, for calibration and for comparisons of engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.engines.base import Engine

EngineInputs = tuple[NDArray[Any], ...]


class _EvenSamples:
    """Inputs of evenly spaced runs, at most a given number. The total number of runs need not be known."""

    def __init__(self, max_samples: int) -> None:
        self.samples: list[EngineInputs] = []
        self._max_samples = max_samples
        self._num_runs = 0
        self._interval = 1

    def add(self, arrays: EngineInputs) -> None:
        if self._num_runs % self._interval == 0:
            self.samples.append(tuple(np.array(array) for array in arrays))
        self._num_runs += 1
        if len(self.samples) > self._max_samples:
            del self.samples[1::2]
            self._interval *= 2


class _InputRecorder:
    """Samples of each graph's inputs, by the graph's name."""

    def __init__(self, max_samples: int) -> None:
        self._max_samples = max_samples
        self.samples_by_graph: dict[str, _EvenSamples] = {}

    def add(self, name: str, arrays: EngineInputs) -> None:
        self.samples_by_graph.setdefault(name, _EvenSamples(self._max_samples)).add(arrays)


_recorder: ContextVar[_InputRecorder | None] = ContextVar("recorder", default=None)


@contextmanager
def capture_inputs(max_samples: int) -> Iterator[Mapping[str, list[EngineInputs]]]:
    """Capture the inputs of graphs that are loaded in the block.

    Args:
        max_samples: largest number of captured runs of each graph. The runs are evenly spaced.

    Yields:
        the captured inputs by the graph's name, filled in when the block ends.
    """
    recorder = _InputRecorder(max_samples)
    captured: dict[str, list[EngineInputs]] = {}
    token = _recorder.set(recorder)
    try:
        yield captured
    finally:
        _recorder.reset(token)
        captured.update({name: samples.samples for name, samples in recorder.samples_by_graph.items()})


def wrap_engine(name: str, engine: Engine) -> Engine:
    """Return the engine, in a block of `capture_inputs` wrapped so that its inputs are captured."""
    recorder = _recorder.get()
    return engine if recorder is None else _CapturingEngine(name, engine, recorder)


class _CapturingEngine:
    """An engine whose inputs are captured."""

    def __init__(self, name: str, engine: Engine, recorder: _InputRecorder) -> None:
        self._name = name
        self._engine = engine
        self._recorder = recorder

    @property
    def description(self) -> str:
        return self._engine.description

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._recorder.add(self._name, arrays)
        return self._engine.run(*arrays)
