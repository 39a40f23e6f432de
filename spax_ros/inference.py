"""What runs a network over streams of frames: PyTorch, or an engine for each bucket of tiles."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from spax_ros.decoding import MOST_PEAKS, Peaks, best_peaks
from spax_ros.network.memory import FloatShift, FrameAt, memory_of, whole
from spax_ros.network.network import SpaxNetwork, State
from spax_ros.sparse.buckets import Ports, bucket_graph
from spax_ros.sparse.grid import PackedGrid
from spax_ros.sparse.tile_budget import bucket
from spax_ros.weights import SpaxModel
from tracking_runtime.engines import BACKENDS, Backend, Engine, EngineError, EngineSettings, load_engine
from tracking_runtime.engines.build_progress import part

MOST_ENGINES = 8
"""Kept at once, those used last: a stream stays within a few buckets, and memory grows with their tiles."""

MOST_SPARE = 2
"""Times the tiles of a frame that the bucket may have which it takes while its own has no engine yet."""

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

    def room(self, tiles: int) -> int:
        """For how many tiles the next frame's grid is to have room, if so many are active."""

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

    def room(self, tiles: int) -> int:
        return bucket(tiles)

    def see(self, frame: FrameAt, grid: PackedGrid, shift: FloatShift) -> Seen:
        step = self._memory.step(frame, grid, shift)
        return Seen(_peaks(self._network, step.features, grid), step.state.mask)


class EngineRunner:
    """Runs a network on an engine for each bucket of tiles, which is made when a frame first needs it.

    PyTorch does the first frame of a stream, and with ``auto`` also what no engine can do, which is logged as
    an error, and said in the description.

    Args:
        model: whose state is carried from frame to frame.
        settings: of the engines.
        executor: in which they are made, one at a time, while the frames go on: on the engine of a larger
            bucket, up to ``MOST_SPARE`` times theirs, or on PyTorch. None: the frames wait.
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
        self._engines: OrderedDict[int, Engine | EngineError] = OrderedDict({bucket(1): self._newest})
        self._making: tuple[int, Future[Engine | EngineError]] | None = None

    @property
    def description(self) -> str:
        engines = sorted(self._engines.items())
        failed = [(tiles, error) for tiles, error in engines if isinstance(error, EngineError)]
        instead = "".join(f"; PyTorch for {tiles} tiles: {error}" for tiles, error in failed)
        return f"{self._newest.description}, in buckets of tiles{instead}"

    def stream(self) -> Stream:
        return _EngineStream(self._model.network, self)

    def prepare(self, sizes: Sequence[int]) -> None:
        """Make the engines of buckets, one after the other, so that they are kept for other starts."""
        for index, tiles in enumerate(sizes):
            part(index, len(sizes))
            self._load(tiles)

    def room(self, tiles: int) -> int:
        """The bucket to take for so many tiles: theirs, or a larger one while its engine is being made.

        Raises:
            EngineError: the engine asked for by name cannot run their bucket.
        """
        wanted = bucket(tiles)
        self._see_to(wanted)
        if wanted in self._engines:
            self._engines.move_to_end(wanted)
            return wanted
        ready = [size for size, engine in self._engines.items() if not isinstance(engine, EngineError)]
        return min((size for size in ready if wanted < size <= MOST_SPARE * wanted), default=wanted)

    def run(self, tiles: int, inputs: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
        """The outputs of a bucket's graph; None: PyTorch has to do it, its engine is not made (yet).

        Raises:
            EngineError: the engine asked for by name failed.
        """
        engine = self._engines.get(tiles)
        if engine is None or isinstance(engine, EngineError):
            return None
        try:
            outputs = engine.run(*(tensor.numpy() for tensor in inputs))
        except EngineError as error:
            self._engines[tiles] = self._replaced(tiles, error)
            return None
        return tuple(map(torch.from_numpy, outputs))

    def _see_to(self, tiles: int) -> None:
        """Take what has been made; begin a bucket's engine if it is missing and no other is being made."""
        if self._making is not None and self._making[1].done():
            size, made = self._making
            self._making = None
            self._keep(size, made.result())
        if tiles in self._engines:
            return
        if self._executor is None:
            self._keep(tiles, self._make(tiles))
        elif self._making is None:
            self._making = tiles, self._executor.submit(self._make, tiles)

    def _keep(self, tiles: int, engine: Engine | EngineError) -> None:
        self._engines[tiles] = engine
        if len(self._engines) > MOST_ENGINES:
            self._engines.popitem(last=False)

    def _make(self, tiles: int) -> Engine | EngineError:
        try:
            self._newest = self._load(tiles)
        except EngineError as error:
            return self._replaced(tiles, error)
        return self._newest

    def _replaced(self, tiles: int, error: EngineError) -> EngineError:
        """An engine's failure, which is kept in its place: PyTorch does what it was to do."""
        if self._settings.engine != "auto":
            raise error
        _log.error("PyTorch does what has %d tiles: %s", tiles, error)
        return error

    def _load(self, tiles: int) -> Engine:
        graph = bucket_graph(self._model.network, tiles, self._model.name)
        return load_engine(graph, self._settings, self._backends)


class _EngineStream:
    def __init__(self, network: SpaxNetwork, runner: EngineRunner) -> None:
        self._network, self._runner = network, runner
        self._state: State | None = None

    def room(self, tiles: int) -> int:
        return self._runner.room(tiles)

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


def _peaks(network: SpaxNetwork, features: Tensor, grid: PackedGrid) -> Peaks:
    return best_peaks(network, features, grid, grid.levels[0].active, MOST_PEAKS)
