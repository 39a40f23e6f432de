"""What runs a network over streams of frames: PyTorch, or an engine for each bucket of tiles."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from spax_ros.detection import MOST_PEAKS, Peaks, best_peaks
from spax_ros.models import SpaxModel
from spax_ros.network.memory import FloatShift, FrameAt, memory_of, whole
from spax_ros.network.network import SpaxNetwork, State
from spax_ros.packed.buckets import Ports, bucket_graph
from spax_ros.packed.grid import PackedGrid
from spax_ros.packed.limit import bucket
from tracking_runtime.build_progress import part
from tracking_runtime.engines import BACKENDS, Backend, Engine, EngineError, EngineSettings, load_engine

MOST_ENGINES = 8
"""Kept at once, those used last: a stream stays within a few buckets, and memory grows with their tiles."""

PYTORCH = "pytorch"
"""The engine's name on a CPU."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What a network finds in a frame.

    Attributes:
        peaks: the best, ``MOST_PEAKS`` or as many as the frame has rows.
        mask: ``(rows, 1)`` probabilities that something moves there.
    """

    peaks: Peaks
    mask: Tensor


class Stream(Protocol):
    """A network on its way through a stream, with what it remembers."""

    def see(self, frame: FrameAt, grid: PackedGrid, shift: FloatShift) -> Seen:
        """What is in the next frame; arguments as of ``spax_ros.network.memory.Memory.step``."""


class Runner(Protocol):
    """What runs a network."""

    @property
    def description(self) -> str:
        """Which engine this is, on what, in which precision, and why no other."""
        ...

    def stream(self) -> Stream:
        """The network at the beginning of a stream."""
        ...


class PyTorchRunner:
    """Runs a network on as many rows as a frame has, whatever it remembers and how.

    Args:
        network: of any variant.
        why: no other engine does it, for people.
    """

    def __init__(self, network: SpaxNetwork, why: str = "") -> None:
        self._network, self._why = network, f" ({why})" if why else ""

    @property
    def description(self) -> str:
        threads = torch.get_num_threads()
        return f"PyTorch {torch.__version__} on CPU, {threads} threads, float32, packed{self._why}"

    def stream(self) -> Stream:
        return _PyTorchStream(self._network)


class _PyTorchStream:
    def __init__(self, network: SpaxNetwork) -> None:
        self._network, self._memory = network, memory_of(network)

    def see(self, frame: FrameAt, grid: PackedGrid, shift: FloatShift) -> Seen:
        step = self._memory.step(frame, grid, shift)
        return Seen(_peaks(self._network, step.features, grid), step.state.mask)


class EngineRunner:
    """Runs a network on an engine for each bucket of tiles, which is made when a frame first needs it.

    PyTorch does the first frame of a stream, and with ``auto`` also what no engine can do, which is logged as
    an error.

    Args:
        model: whose state is carried from frame to frame.
        settings: of the engines.
        executor: in which they are made, while PyTorch goes on with the frames; None: the frames wait.
        backends: to choose from.

    Raises:
        ModelError: the model runs over a window of frames.
        EngineError: no engine can run the smallest bucket.
    """

    def __init__(
        self,
        model: SpaxModel,
        settings: EngineSettings,
        executor: Executor | None = None,
        backends: Sequence[Backend] = BACKENDS,
    ) -> None:
        self._model, self._settings, self._executor = model, settings, executor
        self._backends = _needing_graphs(backends, settings)
        self.ports = Ports.of(model.network)
        self._newest = self._load(bucket(1))
        self._engines = OrderedDict({bucket(1): _done(self._newest)})

    @property
    def description(self) -> str:
        return f"{self._newest.description}, in buckets of tiles"

    def stream(self) -> Stream:
        return _EngineStream(self._model.network, self)

    def prepare(self, sizes: Sequence[int]) -> None:
        """Make the engines of buckets, one after the other, so that they are kept for other starts."""
        for index, tiles in enumerate(sizes):
            with part(index, len(sizes)):
                self._load(tiles)

    def run(self, tiles: int, inputs: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
        """The outputs of a bucket's graph; None: PyTorch has to do it, its engine is not made (yet).

        Raises:
            EngineError: the engine asked for by name cannot run this bucket.
        """
        engine = self._engine(tiles)
        if engine is None:
            return None
        try:
            outputs = engine.run(*(tensor.numpy() for tensor in inputs))
        except EngineError as error:
            if self._settings.engine != "auto":
                raise
            _log.error("PyTorch does what has %d tiles: %s", tiles, error)
            self._engines[tiles] = _done(None)
            return None
        return tuple(map(torch.from_numpy, outputs))

    def _engine(self, tiles: int) -> Engine | None:
        """A bucket's engine, if it is made; if not, it is begun."""
        if tiles not in self._engines:
            make = partial(self._make, tiles)
            self._engines[tiles] = self._executor.submit(make) if self._executor else _done(make())
        self._engines.move_to_end(tiles)
        if len(self._engines) > MOST_ENGINES:
            self._engines.popitem(last=False)
        made = self._engines[tiles]
        return made.result() if made.done() else None

    def _make(self, tiles: int) -> Engine | None:
        try:
            self._newest = self._load(tiles)
        except EngineError as error:
            if self._settings.engine != "auto":
                raise
            _log.error("PyTorch does what has %d tiles: %s", tiles, error)
            return None
        return self._newest

    def _load(self, tiles: int) -> Engine:
        graph = bucket_graph(self._model.network, tiles, self._model.name)
        return load_engine(graph, self._settings, self._backends)


class _EngineStream:
    def __init__(self, network: SpaxNetwork, runner: EngineRunner) -> None:
        self._network, self._runner = network, runner
        self._state: State | None = None

    def see(self, frame: FrameAt, grid: PackedGrid, shift: FloatShift) -> Seen:
        x, ports, outputs = frame(grid, whole(shift * 0)), self._runner.ports, None
        last = self._state and self._state.at(grid, whole(shift))
        if last is not None:
            outputs = self._runner.run(grid.levels[0].capacity, ports.inputs(x, grid, last))
        if outputs is None:
            step = self._network.step(x, grid, last)
            outputs = ports.outputs(_peaks(self._network, step.features, grid), step.state)
        peaks, self._state = ports.read(outputs, grid)
        return Seen(peaks, self._state.mask)


def open_runner(
    model: SpaxModel,
    settings: EngineSettings,
    executor: Executor | None = None,
    backends: Sequence[Backend] = BACKENDS,
) -> Runner:
    """What the settings ask for.

    Args:
        model: to run.
        settings: ``auto`` takes the first engine that works, or PyTorch where none does or the model has no
            graphs.
        executor: as of ``EngineRunner``.
        backends: as of ``EngineRunner``.

    Raises:
        ModelError: an engine other than PyTorch is asked for, and the model runs over a window of frames.
        EngineError: there is no such engine, or it does not work here.
    """
    settings = settings.parsed()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.engine == PYTORCH and settings.precision in _PACKED:
        return PyTorchRunner(model.network)
    if settings.engine != "auto":
        return EngineRunner(model, settings, executor, backends)
    if model.config.memory == "window":
        return PyTorchRunner(model.network, "the model runs over a window of frames")
    try:
        return EngineRunner(model, settings, executor, backends)
    except EngineError as error:
        if settings.precision not in _PACKED:
            raise
        _log.warning("PyTorch runs %s: %s", model.name, error)
        return PyTorchRunner(model.network, str(error))


_PACKED = ("auto", "float32")  # precisions in which PyTorch needs no graph


def _needing_graphs(backends: Sequence[Backend], settings: EngineSettings) -> Sequence[Backend]:
    """All, but for PyTorch on a CPU where it is not asked for: it needs no graph."""
    packed = settings.engine == "auto" and settings.precision in _PACKED
    return [backend for backend in backends if backend.name != PYTORCH or not packed]


def _done(engine: Engine | None) -> Future[Engine | None]:
    future: Future[Engine | None] = Future()
    future.set_result(engine)
    return future


def _peaks(network: SpaxNetwork, features: Tensor, grid: PackedGrid) -> Peaks:
    return best_peaks(network, features, grid, grid.levels[0].active, MOST_PEAKS)
