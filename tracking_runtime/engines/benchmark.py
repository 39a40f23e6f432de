"""Speed and memory of a graph's engines, and their difference from PyTorch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from tracking_runtime.engines.base import Backend, Engine, EngineError, EngineSettings, Graph
from tracking_runtime.engines.selection import load_engine
from tracking_runtime.engines.verification import (
    compute_max_difference,
    compute_reference,
    make_realistic_inputs,
)


@dataclass(frozen=True)
class Measurement:
    """Measurement of one graph on one engine. The field names are keys of `engines.json`.

    Attributes:
        graph: name of the graph.
        engine: name of the backend with the precision, for example `openvino:int8`.
        description: description of the engine that ran.
        problem: reason why the engine did not run; all numbers are 0 then.
        p50_ms: median time of a run in milliseconds, from input arrays to output arrays.
        p95_ms: 95th percentile of the time of a run in milliseconds.
        per_second: runs per second, one after the other.
        memory_mb: resident memory of the process that loading the engine added, in megabytes.
        difference: difference from PyTorch in float32, see `compute_max_difference`.
    """

    graph: str
    engine: str
    description: str = ""
    problem: str = ""
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    per_second: float = 0.0
    memory_mb: float = 0.0
    difference: float = 0.0


@dataclass
class _TimedEngine:
    """An engine with the times of its runs."""

    name: str
    engine: Engine
    memory_mb: float
    seconds: list[float] = field(default_factory=list)


def measure_engines(
    graph: Graph, backends: Sequence[Backend], num_runs: int, num_threads: int = 0
) -> Iterator[Measurement | None]:
    """Time a graph on each available engine, in each of its precisions.

    The engines take turns, so that other work on the machine slows all of them alike.

    Args:
        graph: graph to run, on noise.
        backends: backends to try.
        num_runs: number of runs of each engine.
        num_threads: number of CPU threads; 0 uses all cores of this process.

    Yields:
        None after each round of runs, and at the end a measurement of each engine.
    """
    timed_engines, failures = _load_engines(graph, backends, num_threads)
    inputs = make_realistic_inputs(graph)
    for _ in range(num_runs):
        for timed in timed_engines:
            start = time.perf_counter()
            timed.engine.run(*inputs)
            timed.seconds.append(time.perf_counter() - start)
        yield None
    expected = compute_reference(graph, inputs)
    for timed in timed_engines:
        yield _make_measurement(graph, timed, expected, inputs)
    yield from failures


def _load_engines(
    graph: Graph, backends: Sequence[Backend], num_threads: int
) -> tuple[list[_TimedEngine], list[Measurement]]:
    timed_engines = []
    failures = []
    for backend in backends:
        for precision in backend.precisions if backend.find_unavailable_reason() is None else ():
            name = f"{backend.name}:{precision}"
            memory_before_mb = _read_resident_mb()
            try:
                engine = load_engine(graph, EngineSettings(backend.name, precision, num_threads), (backend,))
            except EngineError as error:
                failures.append(Measurement(graph.name, name, problem=str(error)))
                continue
            timed_engines.append(_TimedEngine(name, engine, _read_resident_mb() - memory_before_mb))
    return timed_engines, failures


def _make_measurement(
    graph: Graph, timed: _TimedEngine, expected: Sequence[NDArray[Any]], inputs: Sequence[NDArray[Any]]
) -> Measurement:
    p50, p95 = np.percentile(timed.seconds, [50, 95]) * 1000
    return Measurement(
        graph.name,
        timed.name,
        timed.engine.description,
        p50_ms=float(p50),
        p95_ms=float(p95),
        per_second=len(timed.seconds) / sum(timed.seconds),
        memory_mb=timed.memory_mb,
        difference=compute_max_difference(expected, timed.engine.run(*inputs)),
    )


def _read_resident_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)
