"""Equal detections by PyTorch and by engines, through all buckets of a stream."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.decoding import Detections, decode_peaks
from spax_ros.inference import MIN_REQUESTS, EngineInference, Inference, PyTorchInference, load_inference
from spax_ros.network.config import VARIANTS
from spax_ros.network.grid import Grid, Shift
from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.grid import TILE_PX, SparseGrid
from spax_ros.sparse.tile_budget import list_bucket_sizes, round_to_bucket
from spax_ros.weights import LoadedModel
from tracking_runtime.engines import Engine, EngineError, EngineSettings, Graph
from tracking_runtime.engines.pytorch import PyTorchBackend
from tracking_runtime.errors import ModelError

SIDE = 128
NUM_TILES = (60, 64, 80, 75, 130, 20, 160)
"""Active tiles of each frame. Two frames fill their bucket, and the bucket changes."""
GRAPHS_ON_PYTORCH = EngineSettings("pytorch", threads=1)


@pytest.fixture(params=["base_satmtb", "light_satvideodt"], scope="module")
def model(request: pytest.FixtureRequest) -> LoadedModel:
    torch.manual_seed(2)
    config = VARIANTS[request.param]
    widths = (8, 8, 16, 16, 16)[: len(config.widths)]
    network = SpaxNetwork(replace(config, widths=widths, head_width=8, memory="carried"))
    for name in ("hm", "wh", "reg"):
        torch.nn.init.normal_(network.head(name).out.weight)
    return LoadedModel("some", network.requires_grad_(False).eval())


def make_window_model(model: LoadedModel) -> LoadedModel:
    """Return a model of the same configuration that runs over a window of frames."""
    network = SpaxNetwork(replace(model.config, memory="window"))
    return LoadedModel("windowed", network.requires_grad_(False).eval())


def make_mask(num_tiles: int) -> NDArray[np.bool_]:
    """Return a mask with a number of active tiles at random positions."""
    cells = np.zeros(SIDE**2 // TILE_PX**2, bool)
    cells[np.random.default_rng(num_tiles).permutation(cells.size)[:num_tiles]] = True
    side = SIDE // TILE_PX
    return np.kron(cells.reshape(1, side, side), np.ones((1, TILE_PX, TILE_PX))) > 0


@torch.inference_mode()
def run_stream(
    inference: Inference, model: LoadedModel, num_tiles: tuple[int, ...] = NUM_TILES
) -> list[Detections]:
    """Return the detections of a drifting stream, frame by frame."""
    stream, detections = inference.start_stream(), []
    for number, num_active in enumerate(num_tiles):
        grid = SparseGrid(make_mask(num_active), model.config.num_levels, TILE_PX, stream.choose_capacity)
        generator = torch.Generator().manual_seed(number)
        image = torch.randn(1, model.config.input_channels, SIDE, SIDE, generator=generator)

        def sample_frame(grid: Grid, _: Shift, image: Tensor = image) -> Tensor:
            assert isinstance(grid, SparseGrid)
            return grid.pack(image)

        output = stream.step(sample_frame, grid, np.array([[1.0, -2.0]]))
        detections.append(decode_peaks(output.peaks, grid, 0.02))
    return detections


def assert_same_detections(detections: list[Detections], expected: list[Detections]) -> None:
    for ours, theirs in zip(detections, expected, strict=True):
        assert len(ours) == len(theirs) > 20
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)


class ManualExecutor(Executor):
    """Executor whose jobs a test runs by hand."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append(lambda: future.set_result(function(*args, **kwargs)))
        return future


class FailingBackend:
    """PyTorch that fails for graphs of too many rows, or after a number of runs."""

    name, precisions = "breaking", ("float32",)

    def __init__(self, *, max_rows: int = 10**9, max_runs: int = 10**9) -> None:
        self._max_rows = max_rows
        self.num_runs_left = max_runs

    def find_unavailable_reason(self) -> str | None:
        return None

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        if len(graph.examples[0]) > self._max_rows:
            raise RuntimeError("too large")
        return _FailingEngine(self, PyTorchBackend("pytorch", "cpu").load(graph, settings))


class _FailingEngine:
    description = "breaking"

    def __init__(self, backend: FailingBackend, engine: Engine) -> None:
        self._backend = backend
        self._engine = engine

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._backend.num_runs_left -= 1
        if self._backend.num_runs_left < 0:
            raise RuntimeError("device lost")
        return self._engine.run(*arrays)


@pytest.mark.slow
def test_engines_of_all_buckets_equal_pytorch(model: LoadedModel) -> None:
    expected = run_stream(PyTorchInference(model.network), model)

    detections = run_stream(EngineInference(model, GRAPHS_ON_PYTORCH), model)

    assert_same_detections(detections, expected)


@pytest.mark.slow
def test_frames_do_not_wait_for_engine_builds(model: LoadedModel) -> None:
    executor = ManualExecutor()
    inference = EngineInference(model, GRAPHS_ON_PYTORCH, executor)
    expected = run_stream(PyTorchInference(model.network), model)
    buckets = {round_to_bucket(num_tiles) for num_tiles in NUM_TILES} - {round_to_bucket(1)}

    for num_built in range(len(buckets) + 2):
        detections = run_stream(inference, model)

        assert_same_detections(detections, expected)
        assert len(executor.jobs) == min(num_built + 1, len(buckets))
        for job in executor.jobs[num_built:]:
            job()


@pytest.mark.slow
def test_larger_bucket_is_used_while_an_engine_is_built(model: LoadedModel) -> None:
    executor = ManualExecutor()
    inference = EngineInference(model, GRAPHS_ON_PYTORCH, executor)

    assert [inference.request_bucket(num_tiles) for num_tiles in (60, 150, 100, 200)] == [64, 160, 112, 224]
    executor.jobs.pop()()
    assert [inference.request_bucket(num_tiles) for num_tiles in (150, 129, 64)] == [160, 160, 64]
    assert [inference.request_bucket(80) for _ in range(MIN_REQUESTS - 1)] == [160] * (MIN_REQUESTS - 1)
    assert not executor.jobs
    assert [inference.request_bucket(num_tiles) for num_tiles in (80, 161)] == [160, 192]
    executor.jobs.pop()()
    assert [inference.request_bucket(num_tiles) for num_tiles in (80, 65, 81, 160)] == [80, 80, 160, 160]
    assert [inference.request_bucket(130) for _ in range(2 * MIN_REQUESTS)] == [160] * (2 * MIN_REQUESTS)
    assert not executor.jobs
    assert inference.request_bucket(161) == 192
    assert len(executor.jobs) == 1


@pytest.mark.slow
def test_pytorch_replaces_failed_engines_and_logs_errors(
    model: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    expected = run_stream(PyTorchInference(model.network), model)
    for backend, reason, failed_buckets in (
        (FailingBackend(max_rows=64 * TILE_PX**2), "too large", {80, 160}),
        (FailingBackend(max_runs=3), "device lost", {64, 160}),
    ):
        caplog.clear()
        inference = load_inference(model, EngineSettings(), backends=(backend,))
        assert inference.description == "breaking, in buckets of tiles"

        detections = run_stream(inference, model)

        assert_same_detections(detections, expected)
        assert any(
            record.levelno == logging.ERROR and reason in record.getMessage() for record in caplog.records
        )
        engine, *failures = inference.description.split("; PyTorch for ")
        assert engine.startswith("breaking") and engine.endswith("in buckets of tiles")
        assert {int(failure.split()[0]) for failure in failures} == failed_buckets
        assert all(reason in failure for failure in failures)


def test_engine_requested_by_name_is_not_replaced(model: LoadedModel) -> None:
    backends = (FailingBackend(max_rows=64 * TILE_PX**2),)
    inference = load_inference(model, EngineSettings("breaking"), backends=backends)

    with pytest.raises(EngineError, match="some 80 tiles: too large"):
        run_stream(inference, model)
    with pytest.raises(EngineError, match="some 64 tiles: too large"):
        load_inference(model, EngineSettings("breaking"), backends=(FailingBackend(max_rows=1),))


@pytest.mark.slow
def test_ladder_has_an_engine_for_every_frame_up_to_its_last(model: LoadedModel) -> None:
    executor = ManualExecutor()
    inference = EngineInference(model, GRAPHS_ON_PYTORCH, executor)

    inference.load_ladder()

    sizes = [inference.request_bucket(num_tiles) for num_tiles in (1, 65, 130, 300, 513, 960, 1024)]
    assert sizes == [64, 128, 256, 384, 640, 1024, 1024]


def test_prepared_engines_are_those_requested(model: LoadedModel) -> None:
    backends = (FailingBackend(max_rows=80 * TILE_PX**2),)
    inference = EngineInference(model, EngineSettings(), backends=backends)

    inference.prepare_engines([64, 80])

    with pytest.raises(EngineError, match=r"some 96 tiles: .*too large"):
        inference.prepare_engines([96])


def test_pytorch_runs_all_if_no_engine_works(model: LoadedModel) -> None:
    inference = load_inference(model, EngineSettings(), backends=(FailingBackend(max_rows=1),))

    assert "PyTorch" in inference.description
    assert "too large" in inference.description
    expected = run_stream(PyTorchInference(model.network), model)
    assert_same_detections(run_stream(inference, model), expected)


def test_window_model_runs_on_pytorch_only(model: LoadedModel) -> None:
    window_model = make_window_model(model)

    assert "over a window" in load_inference(window_model, EngineSettings()).description
    with pytest.raises(ModelError, match="over a window"):
        load_inference(window_model, EngineSettings("openvino"))


def test_every_bucket_size_is_listed() -> None:
    sizes = list_bucket_sizes(6144)

    assert sizes[:6] == [64, 80, 96, 112, 128, 160]
    assert sizes[-2:] == [5120, 6144]
    assert {round_to_bucket(num_tiles) for num_tiles in range(1, 6145)} == set(sizes)
