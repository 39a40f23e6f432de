"""What an engine is given and what it answers to."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")


class EngineError(RuntimeError):
    """No engine can run a network here. The message says what was tried and why each failed."""


@dataclass(frozen=True)
class Graph:
    """A network with static shapes: tensors in, tensors out, no state.

    Attributes:
        name: what it is, for logs and caches.
        module: takes the inputs as positional arguments and returns a tensor or a tuple of tensors.
        examples: one tensor for each input, of the shape and type that every run will have.
        inputs: name of each input.
        outputs: name of each output.
        pattern: a graph of the same program for other shapes, which may be converted in its place and then
            given these shapes: one conversion serves many graphs.
        single: where this graph is for several items, one for each place of every input's leading axis: the
            same program for one of them, which an engine may run for each in its place. Runs may have fewer.
        no_int8: why it is not to run in int8; empty if it may.
    """

    name: str
    module: nn.Module
    examples: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pattern: Graph | None = None
    single: Graph | None = None
    no_int8: str = ""


@dataclass(frozen=True)
class EngineSettings:
    """What people may ask of an engine.

    Attributes:
        engine: name of a backend, or ``auto`` for the fastest that works; a precision may follow a colon,
            as in ``openvino:int8``.
        precision: of the arithmetic, one of ``PRECISIONS``; inputs and outputs are float32 in any case. auto:
            the backend's first.
        threads: on a CPU; 0: as many as there are cores for this process, at most ``OMP_NUM_THREADS``.
    """

    engine: str = "auto"
    precision: str = "auto"
    threads: int = 0

    @property
    def cpu_threads(self) -> int:
        """Threads to use on a CPU."""
        cores = len(os.sched_getaffinity(0))
        limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
        return self.threads or min(int(limit if limit.isdecimal() else 0) or cores, cores)

    def parsed(self) -> EngineSettings:
        """The same, with a precision that was given with the engine's name in its own place.

        Raises:
            EngineError: there is no such precision.
        """
        name, _, precision = self.engine.partition(":")
        parsed = replace(self, engine=name, precision=precision or self.precision)
        if parsed.precision not in PRECISIONS:
            raise EngineError(f"no precision {parsed.precision}; known: {', '.join(PRECISIONS)}")
        return parsed


class Engine(Protocol):
    """A network ready to run; one thread at a time."""

    @property
    def description(self) -> str:
        """Which engine this is, on what, in which precision."""
        ...

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The graph's outputs for these inputs; the results are the caller's own."""
        ...


class Backend(Protocol):
    """One way of running networks."""

    @property
    def name(self) -> str: ...

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it can compute in, the one to take first."""
        ...

    def unavailable(self) -> str | None:
        """Why this backend cannot be used here; None if it can."""
        ...

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        """Make a graph ready to run in one of the precisions; raises whatever goes wrong."""
        ...
