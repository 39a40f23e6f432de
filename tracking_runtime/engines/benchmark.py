"""How fast engines run a network, how much memory they take, and how far they are from PyTorch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.engines.base import Backend, Engine, EngineError, EngineSettings, Graph
from tracking_runtime.engines.selection import load_engine
from tracking_runtime.engines.verification import largest_difference, realistic_inputs, reference

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Measurement:
    """One graph on one engine.

    Attributes:
        graph: its name.
        engine: as asked for, with its precision.
        description: of what ran.
        problem: why it did not run; the figures are 0 then.
        p50_ms: median time of a run, arrays in to arrays out.
        p95_ms: which 95 % of the runs do not exceed.
        per_second: runs one after the other.
        memory_mb: by which the process grew while the engine was made.
        difference: from PyTorch in float32, see ``largest_difference``.
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
class _Runner:
    """An engine at work."""

    name: str
    engine: Engine
    memory_mb: float
    seconds: list[float] = field(default_factory=list)


def measure(
    graph: Graph, backends: Sequence[Backend], runs: int, threads: int = 0
) -> Iterator[Measurement | None]:
    """Time a graph on each engine that works here, in each of its precisions.

    The engines take turns, so that other work on the machine troubles all alike.

    Args:
        graph: to run, on noise.
        backends: to try.
        runs: of each.
        threads: on a CPU; 0: as many as this process may use.

    Yields:
        None after each round of runs, and at the end a measurement of each engine.
    """
    runners, failed = _load_all(graph, backends, threads)
    inputs = realistic_inputs(graph)
    for _ in range(runs):
        for runner in runners:
            began = time.perf_counter()
            runner.engine.run(*inputs)
            runner.seconds.append(time.perf_counter() - began)
        yield None
    wanted = reference(graph, inputs)
    for runner in runners:
        yield _measured(graph, runner, wanted, inputs)
    yield from failed


def _load_all(
    graph: Graph, backends: Sequence[Backend], threads: int
) -> tuple[list[_Runner], list[Measurement]]:
    runners, failed = [], []
    for backend in backends:
        for precision in backend.precisions if backend.unavailable() is None else ():
            name, before = f"{backend.name}:{precision}", _resident_mb()
            try:
                engine = load_engine(graph, EngineSettings(backend.name, precision, threads), (backend,))
            except EngineError as error:
                failed.append(Measurement(graph.name, name, problem=str(error)))
                continue
            runners.append(_Runner(name, engine, _resident_mb() - before))
    return runners, failed


def _measured(
    graph: Graph, runner: _Runner, wanted: Sequence[NDArray[Any]], inputs: Sequence[NDArray[Any]]
) -> Measurement:
    p50, p95 = np.percentile(runner.seconds, [50, 95]) * 1000
    return Measurement(
        graph.name,
        runner.name,
        runner.engine.description,
        p50_ms=float(p50),
        p95_ms=float(p95),
        per_second=len(runner.seconds) / sum(runner.seconds),
        memory_mb=runner.memory_mb,
        difference=largest_difference(wanted, runner.engine.run(*inputs)),
    )


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6
