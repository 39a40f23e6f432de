"""A network sees the same whatever runs it, through every bucket that a stream goes through."""

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

from spax_ros.decoding import Detections, peaks_to_detections
from spax_ros.inference import EngineRunner, PyTorchRunner, Runner, open_runner
from spax_ros.network.config import VARIANTS
from spax_ros.network.grid import Grid, Shift
from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.grid import TILE, PackedGrid
from spax_ros.sparse.tile_budget import bucket, bucket_sizes
from spax_ros.weights import SpaxModel
from tracking_runtime.engines import Engine, EngineError, EngineSettings, Graph
from tracking_runtime.engines.pytorch import PyTorchBackend
from tracking_runtime.errors import ModelError

SIDE = 128
CROWDS = (60, 64, 80, 75, 130, 20, 160)
"""Active tiles of each frame: two buckets are exactly full, others change from frame to frame."""
ON_GRAPHS = EngineSettings("pytorch", threads=1)


@pytest.fixture(params=["base_satmtb", "light_satvideodt"], scope="module")
def model(request: pytest.FixtureRequest) -> SpaxModel:
    torch.manual_seed(2)
    config = VARIANTS[request.param]
    widths = (8, 8, 16, 16, 16)[: len(config.widths)]
    network = SpaxNetwork(replace(config, widths=widths, head_width=8, memory="carried"))
    for name in ("hm", "wh", "reg"):
        torch.nn.init.normal_(network.head(name).out.weight)
    return SpaxModel("some", network.requires_grad_(False).eval())


def windowed(model: SpaxModel) -> SpaxModel:
    network = SpaxNetwork(replace(model.config, memory="window"))
    return SpaxModel("windowed", network.requires_grad_(False).eval())


def crowd(tiles: int) -> NDArray[np.bool_]:
    cells = np.zeros(SIDE**2 // TILE**2, bool)
    cells[np.random.default_rng(tiles).permutation(cells.size)[:tiles]] = True
    side = SIDE // TILE
    return np.kron(cells.reshape(1, side, side), np.ones((1, TILE, TILE))) > 0


@torch.inference_mode()
def watch(runner: Runner, model: SpaxModel, crowds: tuple[int, ...] = CROWDS) -> list[Detections]:
    """What a runner sees of a drifting stream."""
    stream, found = runner.stream(), []
    for number, tiles in enumerate(crowds):
        grid = PackedGrid(crowd(tiles), model.config.levels, TILE, stream.room)
        generator = torch.Generator().manual_seed(number)
        image = torch.randn(1, model.config.input_channels, SIDE, SIDE, generator=generator)

        def frame(grid: Grid, shift: Shift, image: Tensor = image) -> Tensor:
            assert isinstance(grid, PackedGrid)
            return grid.pack(image)

        seen = stream.see(frame, grid, np.array([[1.0, -2.0]]))
        found.append(peaks_to_detections(seen.peaks, grid, 0.02))
    return found


def assert_same(found: list[Detections], wanted: list[Detections]) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        assert len(ours) == len(theirs) > 20
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)


class Later(Executor):
    """Does its jobs when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append(lambda: future.set_result(function(*args, **kwargs)))
        return future


class Breaking:
    """PyTorch, until a bucket comes that it does not take, or it has run often enough."""

    name, precisions = "breaking", ("float32",)

    def __init__(self, *, most_rows: int = 10**9, runs: int = 10**9) -> None:
        self._most_rows, self.left = most_rows, runs

    def unavailable(self) -> str | None:
        return None

    def load(self, graph: Graph, settings: EngineSettings) -> Engine:
        if len(graph.examples[0]) > self._most_rows:
            raise RuntimeError("too large")
        return _BreakingEngine(self, PyTorchBackend("pytorch", "cpu").load(graph, settings))


class _BreakingEngine:
    description = "breaking"

    def __init__(self, backend: Breaking, engine: Engine) -> None:
        self._backend, self._engine = backend, engine

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._backend.left -= 1
        if self._backend.left < 0:
            raise RuntimeError("device lost")
        return self._engine.run(*arrays)


def test_every_bucket_on_the_way_sees_what_pytorch_sees(model: SpaxModel) -> None:
    wanted = watch(PyTorchRunner(model.network), model)
    assert_same(watch(EngineRunner(model, ON_GRAPHS), model), wanted)


def test_frames_do_not_wait_for_engines_that_are_made_beside_them(model: SpaxModel) -> None:
    later = Later()
    runner = EngineRunner(model, ON_GRAPHS, later)
    wanted = watch(PyTorchRunner(model.network), model)
    buckets = {bucket(tiles) for tiles in CROWDS} - {bucket(1)}
    for made in range(len(buckets) + 2):
        assert_same(watch(runner, model), wanted)
        assert len(later.jobs) == min(made + 1, len(buckets))
        for job in later.jobs[made:]:
            job()


def test_what_is_made_is_for_the_frame_at_hand_and_serves_smaller_ones_meanwhile(model: SpaxModel) -> None:
    later = Later()
    runner = EngineRunner(model, ON_GRAPHS, later)
    assert [runner.room(tiles) for tiles in (60, 150, 100, 200)] == [64, 160, 112, 224]
    later.jobs.pop()()
    assert [runner.room(tiles) for tiles in (150, 129, 80, 64, 161)] == [160, 160, 160, 64, 192]
    later.jobs.pop()()
    assert [runner.room(tiles) for tiles in (80, 65, 81, 160)] == [80, 80, 160, 160]
    assert len(later.jobs) == 1


def test_what_an_engine_cannot_do_pytorch_does_loudly(
    model: SpaxModel, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = watch(PyTorchRunner(model.network), model)
    for backend, reason, failed in (
        (Breaking(most_rows=64 * TILE**2), "too large", {80, 160}),
        (Breaking(runs=3), "device lost", {64, 160}),
    ):
        caplog.clear()
        runner = open_runner(model, EngineSettings(), backends=(backend,))
        assert runner.description == "breaking, in buckets of tiles"
        assert_same(watch(runner, model), wanted)
        assert any(each.levelno == logging.ERROR and reason in each.getMessage() for each in caplog.records)
        engine, *instead = runner.description.split("; PyTorch for ")
        assert engine.startswith("breaking") and engine.endswith("in buckets of tiles")
        assert {int(each.split()[0]) for each in instead} == failed
        assert all(reason in each for each in instead)


def test_an_engine_asked_for_by_name_is_not_replaced(model: SpaxModel) -> None:
    backends = (Breaking(most_rows=64 * TILE**2),)
    runner = open_runner(model, EngineSettings("breaking"), backends=backends)
    with pytest.raises(EngineError, match="some 80 tiles: too large"):
        watch(runner, model)
    with pytest.raises(EngineError, match="some 64 tiles: too large"):
        open_runner(model, EngineSettings("breaking"), backends=(Breaking(most_rows=1),))


def test_engines_made_ahead_are_those_asked_for(model: SpaxModel) -> None:
    runner = EngineRunner(model, EngineSettings(), backends=(Breaking(most_rows=80 * TILE**2),))
    runner.prepare([64, 80])
    with pytest.raises(EngineError, match=r"some 96 tiles: .*too large"):
        runner.prepare([96])


def test_where_no_engine_works_pytorch_does_all_and_says_why(model: SpaxModel) -> None:
    runner = open_runner(model, EngineSettings(), backends=(Breaking(most_rows=1),))
    assert "PyTorch" in runner.description
    assert "too large" in runner.description
    assert_same(watch(runner, model), watch(PyTorchRunner(model.network), model))


def test_a_model_that_runs_over_a_window_runs_on_pytorch_alone(model: SpaxModel) -> None:
    assert "over a window" in open_runner(windowed(model), EngineSettings()).description
    with pytest.raises(ModelError, match="over a window"):
        open_runner(windowed(model), EngineSettings("openvino"))


def test_all_buckets_have_one_size_more_than_the_last() -> None:
    sizes = bucket_sizes(6144)
    assert sizes[:6] == [64, 80, 96, 112, 128, 160]
    assert sizes[-2:] == [5120, 6144]
    assert {bucket(count) for count in range(1, 6145)} == set(sizes)
