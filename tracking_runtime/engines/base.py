"""Graphs, settings, and the protocols of engines and backends."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from tracking_runtime.engines.names import PRECISIONS
from tracking_runtime.errors import TrackingError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn


class EngineError(TrackingError, RuntimeError):
    """No engine can run a network here. The message names each engine and the reason."""


@dataclass(frozen=True)
class Graph:
    """A network with static shapes: tensors in, tensors out, no state.

    Attributes:
        name: name for logs and caches.
        module: network that takes the inputs as positional arguments and returns one or several tensors.
        examples: one tensor per input, with the shape and type of every run's input.
        input_names: name of each input.
        output_names: name of each output.
        shape_template: the same network for other shapes. An engine may convert the template once and then
            set this graph's shapes, so that many graphs share one conversion. None disables this.
        per_item_graph: the same network with batch size 1, if this graph is batched along the first axis of
            every input. An engine may run it once per item instead. Runs may use a smaller batch. None: the
            graph is not batched.
        int8_unavailable_reason: reason why the graph must not run in int8; empty if it may.
    """

    name: str
    module: nn.Module
    examples: tuple[Tensor, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    shape_template: Graph | None = None
    per_item_graph: Graph | None = None
    int8_unavailable_reason: str = ""


@dataclass(frozen=True)
class EngineSettings:
    """Choice of an engine, its precision and its CPU threads.

    Attributes:
        engine: name of a backend, or `auto` for the fastest that works. A precision may follow after a colon:
            `openvino:int8`.
        precision: precision of the arithmetic, one of `PRECISIONS`; `auto` is the backend's first. Inputs and
            outputs are float32 in any precision.
        threads: number of CPU threads; 0 uses all cores of this process, but at most `OMP_NUM_THREADS`.
        permits_bfloat16: True if `auto` is bfloat16 in OpenVINO on a CPU that multiplies in it, which is
            faster and less accurate.
    """

    engine: str = "auto"
    precision: str = "auto"
    threads: int = 0
    permits_bfloat16: bool = False

    @property
    def num_cpu_threads(self) -> int:
        """Number of CPU threads to use, at least 1."""
        num_cores = len(os.sched_getaffinity(0))
        limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
        return self.threads or min(int(limit if limit.isdecimal() else 0) or num_cores, num_cores)

    def parse_precision_suffix(self) -> EngineSettings:
        """Return the settings with `engine:precision` split. A suffix overrides `precision`.

        Raises:
            EngineError: the suffix or `precision` is unknown.
        """
        name, _, precision = self.engine.partition(":")
        parsed = replace(self, engine=name, precision=precision or self.precision)
        if parsed.precision not in PRECISIONS:
            raise EngineError(f"unknown precision {parsed.precision}; known: {', '.join(PRECISIONS)}")
        return parsed


class Engine(Protocol):
    """A network that is ready to run, by one thread at a time."""

    @property
    def description(self) -> str:
        """Name of the engine, its device and its precision."""
        ...

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return the graph's outputs for these inputs, as new arrays.

        Args:
            arrays: inputs of the graph, of its shapes and types. A batched graph takes fewer items, too.

        Raises:
            EngineError: the engine failed.
        """
        ...


class Backend(Protocol):
    """One library that runs networks on one kind of device."""

    @property
    def name(self) -> str:
        """Name of the backend in `EngineSettings.engine`."""
        ...

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions of the backend's arithmetic, the default first."""
        ...

    def find_unavailable_reason(self) -> str | None:
        """Return the reason why this backend cannot run here; None if it can."""
        ...

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        """Make a graph ready to run in the precision of the settings. Any error may be raised."""
        ...
