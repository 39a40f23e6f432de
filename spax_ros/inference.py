"""Inference of a network over streams of frames: by PyTorch, or by an engine for each bucket of tiles."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from spax_ros.decoding import MAX_PEAKS, Peaks, find_peaks
from spax_ros.network.memory import FloatShift, FrameSampler, make_memory, round_shift
from spax_ros.network.network import NetworkState, SpaxNetwork
from spax_ros.sparse.buckets import GraphPorts, make_bucket_graph
from spax_ros.sparse.grid import SparseGrid
from spax_ros.sparse.tile_budget import round_to_bucket
from spax_ros.weights import LoadedModel
from tracking_runtime.engines import BACKENDS, Backend, Engine, EngineError, EngineSettings, load_engine
from tracking_runtime.engines.build_progress import begin_engine

MAX_ENGINES = 10
"""Engines in memory, those used last. A stream uses few buckets, and memory grows with their tiles."""

LADDER_TILES = (128, 256, 384, 512, 640, 768, 1024)
"""Buckets of `EngineInference.load_ladder`: with them, every frame up to the last has an engine at once.

A build beside the frames of a stream that begins would cost some of them.
"""

MAX_BUCKET_RATIO = 2
"""Size of the bucket that replaces one without engine, at most, in sizes of the latter."""

MIN_REQUESTS = 10
"""Frames that a larger bucket runs before the engine of their own is built beside them.

A stream that begins passes through many buckets within some frames, and a build takes the time of several.
"""

MIN_SAVED_RATIO = 1.25
"""Size of a larger bucket, in sizes of a bucket, above which the engine of the bucket is worth its build."""

PYTORCH_ENGINE = "pytorch"  # name of PyTorch on a CPU in `EngineSettings.engine`
_PYTORCH_PRECISIONS = ("auto", "float32")  # precisions in which PyTorch runs without a graph

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkOutput:
    """Output of the network for one frame.

    Attributes:
        peaks: best peaks, `MAX_PEAKS` or as many as the frame has rows.
        mask: probability of a moving object in each row, ``(rows, 1)``.
    """

    peaks: Peaks
    mask: Tensor


class InferenceStream(Protocol):
    """Inference of a network over one stream, with its recurrent state."""

    def choose_capacity(self, num_tiles: int) -> int:
        """Return the tile capacity (bucket size) of the next frame's grid for its number of active tiles."""

    def step(self, frame: FrameSampler, grid: SparseGrid, shift: FloatShift) -> NetworkOutput:
        """Run the network on the next frame; the arguments are those of `Memory.step`."""


class Inference(Protocol):
    """Inference of one network over any number of streams."""

    @property
    def description(self) -> str:
        """Name of the engine, its device and its precision, and the reason why no other engine is used."""
        ...

    def start_stream(self) -> InferenceStream:
        """Return the inference of a new stream."""
        ...


class PyTorchInference:
    """Inference by PyTorch on as many rows as a frame has, with any memory.

    Args:
        network: network of any variant.
        reason: reason why no other engine is used; empty: PyTorch was requested.
    """

    def __init__(self, network: SpaxNetwork, reason: str = "") -> None:
        self._network = network
        self._reason = f" ({reason})" if reason else ""

    @property
    def description(self) -> str:
        num_threads = torch.get_num_threads()
        return f"PyTorch {torch.__version__} on CPU, {num_threads} threads, float32, packed{self._reason}"

    def start_stream(self) -> InferenceStream:
        return _PyTorchStream(self._network)


class _PyTorchStream:
    def __init__(self, network: SpaxNetwork) -> None:
        self._network = network
        self._memory = make_memory(network)

    def choose_capacity(self, num_tiles: int) -> int:
        return round_to_bucket(num_tiles)

    def step(self, frame: FrameSampler, grid: SparseGrid, shift: FloatShift) -> NetworkOutput:
        step = self._memory.step(frame, grid, shift)
        return NetworkOutput(_find_best_peaks(self._network, step.features, grid), step.state.mask)


class EngineInference:
    """Inference by one engine for each bucket of tiles, built when a frame first needs the bucket.

    PyTorch runs the first frame of a stream. With ``auto`` it also runs the buckets whose engine failed. Such
    a failure is logged as an error and part of the description.

    Args:
        model: model whose state is carried from frame to frame.
        settings: settings of the engines.
        executor: executor that builds engines, one at a time. Meanwhile frames run on the engine of a larger
            bucket, up to `MAX_BUCKET_RATIO` times as large, or on PyTorch. A larger bucket of more than
            `MIN_SAVED_RATIO` is replaced after `MIN_REQUESTS` frames. None: frames wait for the build.
        backends: backends to choose from.

    Attributes:
        ports: inputs and outputs of the network's graphs.

    Raises:
        ModelError: the model runs over a window of frames.
        EngineError: no engine can run the smallest bucket.
    """

    def __init__(
        self,
        model: LoadedModel,
        settings: EngineSettings,
        executor: Executor | None = None,
        backends: Sequence[Backend] = BACKENDS,
    ) -> None:
        self.ports = GraphPorts.for_network(model.network)
        self._model = model
        self._settings = settings
        self._executor = executor
        self._backends = _select_backends(backends, settings)
        smallest = round_to_bucket(1)
        self._newest_engine = self._load_engine(smallest)
        self._engines: OrderedDict[int, Engine | EngineError] = OrderedDict({smallest: self._newest_engine})
        self._pending_build: tuple[int, Future[Engine | EngineError]] | None = None
        self._num_requests: Counter[int] = Counter()  # by bucket without engine

    @property
    def description(self) -> str:
        engines = sorted(self._engines.items())
        failed = [(size, error) for size, error in engines if isinstance(error, EngineError)]
        failures = "".join(f"; PyTorch for {size} tiles: {error}" for size, error in failed)
        return f"{self._newest_engine.description}, in buckets of tiles{failures}"

    def start_stream(self) -> InferenceStream:
        return _EngineStream(self._model.network, self)

    def prepare_engines(self, bucket_sizes: Sequence[int]) -> None:
        """Build the engines of some buckets one after the other, so that they are cached for later starts."""
        for index, bucket_size in enumerate(bucket_sizes):
            begin_engine(index, len(bucket_sizes))
            self._load_engine(bucket_size)

    def load_ladder(self) -> None:
        """Load the engines of `LADDER_TILES`.

        PyTorch would otherwise run the frames of a stream that begins, several times as slowly.
        """
        missing = [bucket_size for bucket_size in LADDER_TILES if bucket_size not in self._engines]
        for index, bucket_size in enumerate(missing):
            begin_engine(index, len(missing))
            self._store_engine(bucket_size, self._build_engine(bucket_size))

    def request_bucket(self, num_tiles: int) -> int:
        """Request the engine for a number of tiles; return the bucket size to use now.

        The size is that of a larger bucket while the engine is built and such a bucket has an engine.

        Raises:
            EngineError: the engine was requested by name and cannot run the bucket.
        """
        bucket_size = round_to_bucket(num_tiles)
        self._store_finished_build()
        if bucket_size not in self._engines:
            self._request_engine(bucket_size)
        size = bucket_size if bucket_size in self._engines else self._find_larger_bucket(bucket_size)
        if size is None:
            return bucket_size
        self._engines.move_to_end(size)
        return size

    def run_bucket(self, bucket_size: int, inputs: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
        """Run the graph of a bucket, and return its outputs; None if its engine is missing or fails.

        Args:
            bucket_size: number of tiles of the bucket.
            inputs: inputs of the graph, in its order.

        Raises:
            EngineError: the engine was requested by name and failed.
        """
        engine = self._engines.get(bucket_size)
        if engine is None or isinstance(engine, EngineError):
            return None
        try:
            outputs = engine.run(*(tensor.numpy() for tensor in inputs))
        except EngineError as error:
            self._engines[bucket_size] = self._handle_failure(bucket_size, error)
            return None
        return tuple(map(torch.from_numpy, outputs))

    def _find_larger_bucket(self, bucket_size: int) -> int | None:
        """Return the smallest larger bucket that has an engine and may replace a bucket; None without one."""
        ready = [size for size, engine in self._engines.items() if not isinstance(engine, EngineError)]
        max_size = MAX_BUCKET_RATIO * bucket_size
        return min((size for size in ready if bucket_size < size <= max_size), default=None)

    def _store_finished_build(self) -> None:
        if self._pending_build is not None and self._pending_build[1].done():
            pending_size, build = self._pending_build
            self._pending_build = None
            self._store_engine(pending_size, build.result())

    def _request_engine(self, bucket_size: int) -> None:
        """Build a missing engine, or start its build if it is due and no other is under way."""
        if self._executor is None:
            self._store_engine(bucket_size, self._build_engine(bucket_size))
            return
        larger = self._find_larger_bucket(bucket_size)
        if larger is not None and larger <= MIN_SAVED_RATIO * bucket_size:
            return
        self._num_requests[bucket_size] += 1
        is_due = larger is None or self._num_requests[bucket_size] >= MIN_REQUESTS
        if is_due and self._pending_build is None:
            del self._num_requests[bucket_size]
            self._pending_build = bucket_size, self._executor.submit(self._build_engine, bucket_size)

    def _store_engine(self, bucket_size: int, engine: Engine | EngineError) -> None:
        self._engines[bucket_size] = engine
        if len(self._engines) > MAX_ENGINES:
            self._engines.popitem(last=False)

    def _build_engine(self, bucket_size: int) -> Engine | EngineError:
        """Build the engine of a bucket; return the error if PyTorch replaces it."""
        try:
            self._newest_engine = self._load_engine(bucket_size)
        except EngineError as error:
            return self._handle_failure(bucket_size, error)
        return self._newest_engine

    def _handle_failure(self, bucket_size: int, error: EngineError) -> EngineError:
        """Log and return the failure of an engine that PyTorch replaces; raise it if no other may be used."""
        if self._settings.engine != "auto":
            raise error
        _log.error("PyTorch runs the bucket of %d tiles because its engine failed: %s", bucket_size, error)
        return error

    def _load_engine(self, bucket_size: int) -> Engine:
        graph = make_bucket_graph(self._model.network, bucket_size, self._model.name)
        return load_engine(graph, self._settings, self._backends)


class _EngineStream:
    def __init__(self, network: SpaxNetwork, inference: EngineInference) -> None:
        self._network = network
        self._inference = inference
        self._state: NetworkState | None = None

    def choose_capacity(self, num_tiles: int) -> int:
        return self._inference.request_bucket(num_tiles)

    def step(self, frame: FrameSampler, grid: SparseGrid, shift: FloatShift) -> NetworkOutput:
        ports = self._inference.ports
        x = frame(grid, round_shift(shift * 0))
        previous = self._state and self._state.warp_to(grid, round_shift(shift))
        outputs = None
        if previous is not None:
            inputs = ports.pack_inputs(x, grid, previous)
            outputs = self._inference.run_bucket(grid.levels[0].capacity, inputs)
        if outputs is None:
            step = self._network.step(x, grid, previous)
            outputs = ports.pack_outputs(_find_best_peaks(self._network, step.features, grid), step.state)
        peaks, self._state = ports.unpack_outputs(outputs, grid)
        return NetworkOutput(peaks, self._state.mask)


def load_inference(
    model: LoadedModel,
    settings: EngineSettings,
    executor: Executor | None = None,
    backends: Sequence[Backend] = BACKENDS,
) -> Inference:
    """Load the inference of a model.

    Args:
        model: model to run.
        settings: engine, precision and threads. ``auto`` is the first engine that works; PyTorch if none
            works or the model runs over a window of frames.
        executor: executor that builds engines; see `EngineInference`.
        backends: backends to choose from.

    Raises:
        ModelError: the model runs over a window of frames, and another engine than PyTorch is requested.
        EngineError: the engine is unknown or does not work on this machine.
    """
    settings = settings.parse_precision_suffix()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.engine == PYTORCH_ENGINE and settings.precision in _PYTORCH_PRECISIONS:
        return PyTorchInference(model.network)
    if settings.engine != "auto":
        return EngineInference(model, settings, executor, backends)
    if model.config.memory == "window":
        return PyTorchInference(model.network, "the model runs over a window of frames")
    try:
        return EngineInference(model, settings, executor, backends)
    except EngineError as error:
        if settings.precision not in _PYTORCH_PRECISIONS:
            raise
        _log.warning("PyTorch runs model %s because no engine works: %s", model.name, error)
        return PyTorchInference(model.network, str(error))


def _select_backends(backends: Sequence[Backend], settings: EngineSettings) -> Sequence[Backend]:
    """Return the backends without PyTorch on a CPU if `auto` may use it without a graph."""
    needs_no_graph = settings.engine == "auto" and settings.precision in _PYTORCH_PRECISIONS
    return [backend for backend in backends if backend.name != PYTORCH_ENGINE or not needs_no_graph]


def _find_best_peaks(network: SpaxNetwork, features: Tensor, grid: SparseGrid) -> Peaks:
    return find_peaks(network, features, grid, grid.levels[0].active, MAX_PEAKS)
