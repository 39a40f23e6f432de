import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from hsi_tracker_ros.hanet.inference import SiameseModel, stack
from hsi_tracker_ros.hanet.weights import load_network
from tracking_runtime.commands.engine import engine as command
from tracking_runtime.engines import BACKENDS, EngineError, EngineSettings, Graph, load_engine, openvino
from tracking_runtime.engines.batching import OneByOne, filled
from tracking_runtime.engines.cuda_graph import recorded
from tracking_runtime.engines.input_capture import observed

torch.manual_seed(0)
GRAPH = Graph(
    "sum",
    nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
    (torch.rand(1, 3, 9, 9),),
    ("image",),
    ("features",),
)
AVAILABLE = [backend.name for backend in BACKENDS if backend.unavailable() is None]


@pytest.mark.parametrize("name", AVAILABLE)
def test_every_engine_here_gives_pytorchs_numbers(name):
    image = np.random.default_rng(0).random((1, 3, 9, 9), dtype=np.float32)
    (given,) = load_engine(GRAPH, EngineSettings(engine=name, threads=1)).run(image)
    with torch.no_grad():
        wanted = GRAPH.module(torch.from_numpy(image)).numpy()
    assert np.abs(given - wanted).max() < 1e-3


@pytest.mark.parametrize(
    ("limit", "threads"), [(None, 3), ("2", 2), ("2,1", 2), ("8", 3), ("", 3), ("0", 3), ("many", 3)]
)
def test_threads_are_the_cores_of_this_process_or_fewer_where_the_environment_says_so(
    monkeypatch, limit, threads
):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert EngineSettings().cpu_threads == threads
    assert EngineSettings(threads=5).cpu_threads == 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it is recorded")
def test_what_cannot_be_recorded_runs_kernel_by_kernel_and_says_so(caplog):
    run, at_once = recorded(GRAPH.module, GRAPH.examples, "sum")
    assert run is GRAPH.module
    assert not at_once
    assert "sum runs without a CUDA graph" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_replays_a_recorded_network():
    engine = load_engine(GRAPH, EngineSettings(engine="pytorch-cuda"))
    assert "CUDA graph" in engine.description
    images = [np.random.default_rng(seed).random((1, 3, 9, 9), dtype=np.float32) for seed in (1, 2)]
    first, second = (engine.run(image)[0] for image in images)
    with torch.no_grad():
        wanted = [GRAPH.module(torch.from_numpy(image)).numpy() for image in images]
    np.testing.assert_allclose(first, wanted[0], atol=1e-3)
    np.testing.assert_allclose(second, wanted[1], atol=1e-3)


def test_products_of_matrices_leave_the_cores_to_engines():
    with threadpool_limits(2, "blas"):
        load_engine(GRAPH, EngineSettings(engine="pytorch", threads=1))
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}


@pytest.mark.parametrize("name", AVAILABLE)
def test_every_engine_here_tracks_as_pytorch(name):
    rng = np.random.default_rng(0)
    network = load_network("hanet_edge_vis16")
    models = [SiameseModel(network, EngineSettings(engine=each, threads=1)) for each in ("pytorch", name)]
    image = rng.integers(0, 255, (3, 127, 127, 3)).astype(np.uint8)
    cube = rng.random((3, 63, 63, 16), dtype=np.float32) * 2
    search = (
        rng.integers(0, 255, (3, 255, 255, 3)).astype(np.uint8),
        rng.random((3, 127, 127, 16), dtype=np.float32),
    )
    outputs = []
    for model in models:
        first = stack([model.encode(*crops) for crops in zip(image, cube, strict=True)])
        online = stack([model.encode(*crops) for crops in zip(image[::-1], cube[::-1], strict=True)])
        outputs.append((*first, *model.search(search, first, online)))
    for wanted, given in zip(*outputs, strict=True):
        assert np.abs(given - wanted).max() <= 1e-3 * max(np.abs(wanted).max(), 1)


@pytest.mark.parametrize("name", AVAILABLE)
def test_bfloat16_is_close(name):
    image = np.random.default_rng(0).random((1, 3, 9, 9), dtype=np.float32)
    engine = load_engine(GRAPH, EngineSettings(engine=name, precision="bfloat16", threads=1))
    (given,) = engine.run(image)
    with torch.no_grad():
        wanted = GRAPH.module(torch.from_numpy(image)).numpy()
    assert given.dtype == np.float32
    assert np.abs(given - wanted).max() < 0.02
    assert "bfloat16" in engine.description


@pytest.mark.parametrize("name", AVAILABLE)
def test_results_are_the_callers_own(name):
    engine = load_engine(GRAPH, EngineSettings(engine=name, threads=1))
    (first,) = engine.run(np.ones((1, 3, 9, 9), np.float32))
    kept = first.copy()
    engine.run(np.zeros((1, 3, 9, 9), np.float32))
    assert np.array_equal(first, kept)


class Working:
    precisions = ("float32", "bfloat16")

    def __init__(self, name, *, reason=None, fails_loading=False, fails_after=None):
        self.name, self._reason, self._fails_loading, self._fails_after = (
            name,
            reason,
            fails_loading,
            fails_after,
        )

    def unavailable(self):
        return self._reason

    def load(self, _graph, _settings):
        if self._fails_loading:
            raise RuntimeError("does not compile")
        return self.Loaded(self.name, self._fails_after)

    class Loaded:
        def __init__(self, name, fails_after):
            self.description, self._left = name, fails_after

        def run(self, *arrays):
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    raise RuntimeError("device lost")
            return arrays


def test_auto_takes_the_first_that_works_and_says_why(caplog):
    order = [
        Working("absent", reason="not installed"),
        Working("broken", fails_loading=True),
        Working("good"),
    ]
    with caplog.at_level(logging.INFO):
        engine = load_engine(GRAPH, EngineSettings(), order)
    assert engine.description.startswith("good")
    assert "not installed" in engine.description
    assert "does not compile" in engine.description
    assert any(record.levelno == logging.ERROR and "broken" in record.message for record in caplog.records)


def test_auto_goes_on_with_the_next_when_one_fails_while_running(caplog):
    engine = load_engine(GRAPH, EngineSettings(), [Working("flaky", fails_after=1), Working("good")])
    array = np.ones(1)
    assert engine.run(array) == (array,)
    assert engine.run(array) == (array,)
    assert engine.description.startswith("good")
    assert "device lost" in engine.description
    assert any(record.levelno == logging.ERROR and "flaky" in record.message for record in caplog.records)


def test_nothing_working_names_every_reason():
    order = [Working("absent", reason="not installed"), Working("broken", fails_loading=True)]
    with pytest.raises(EngineError, match=r"not installed.*does not compile"):
        load_engine(GRAPH, EngineSettings(), order)


def test_an_engine_asked_for_by_name_is_not_replaced():
    with pytest.raises(EngineError, match=r"broken.*does not compile"):
        load_engine(
            GRAPH, EngineSettings(engine="broken"), [Working("broken", fails_loading=True), Working("good")]
        )
    with pytest.raises(EngineError, match="known: auto, good"):
        load_engine(GRAPH, EngineSettings(engine="tpu"), [Working("good")])


def test_a_precision_may_be_given_with_the_engine():
    engine = load_engine(GRAPH, EngineSettings("pytorch:bfloat16", threads=1))
    assert "bfloat16" in engine.description
    with pytest.raises(EngineError, match="no precision float8; known: auto, float32"):
        load_engine(GRAPH, EngineSettings("pytorch:float8"))
    with pytest.raises(EngineError, match="it computes in float32, bfloat16, float16, not in int8"):
        load_engine(GRAPH, EngineSettings("pytorch", precision="int8"))


def test_auto_passes_over_engines_without_the_precision():
    order = [Working("first"), Working("second")]
    order[1].precisions = ("int8",)
    engine = load_engine(GRAPH, EngineSettings(precision="int8"), order)
    assert engine.description.startswith("second")
    assert "not first: it computes in float32" in engine.description


def test_what_engines_are_given_can_be_observed():
    with observed(3) as seen:
        engine = load_engine(GRAPH, EngineSettings(), [Working("good")])
        for number in range(20):
            engine.run(np.full(1, number))
    assert [int(inputs[0][0]) for inputs in seen["sum"]] == [0, 8, 16]
    assert load_engine(GRAPH, EngineSettings(), [Working("good")]).run(np.ones(1)) is not None


def test_a_graph_that_is_not_for_int8_is_refused_with_the_reason():
    pytest.importorskip("openvino", reason="needs OpenVINO")
    graph = replace(GRAPH, examples=(torch.rand(1, 3, 11, 12),), no_int8="it gains nothing")
    with pytest.raises(EngineError, match="it gains nothing"):
        load_engine(graph, EngineSettings("openvino", precision="int8"))
    build = ["build", "spax_small", "--precision", "int8", "--calibration", "scene:satellite"]
    refused = CliRunner().invoke(command, [*build, "--batch", "64"])
    assert refused.exit_code == 1
    assert "spax_small cannot be calibrated: SPAX gains nothing by int8" in refused.output


def test_an_engine_for_one_runs_for_each():
    class One(Working.Loaded):
        def run(self, *arrays):
            assert [array.shape for array in arrays] == [(1, 3, 9, 9), (1,)]
            return super().run(*arrays)

    image, factor = np.random.default_rng(0).random((3, 3, 9, 9), np.float32), np.arange(3)
    for given, wanted in zip(OneByOne(One("one", None)).run(image, factor), (image, factor), strict=True):
        np.testing.assert_array_equal(given, wanted)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU they run")
def test_what_cannot_run_int8_says_why_before_it_is_calibrated():
    build = ["build", "hanet_edge_vis16", "--precision", "int8", "--calibration", "scene:hyperspectral"]
    for engine, reason in {
        "tensorrt": "PyTorch finds no CUDA device",
        "tensorrt-rtx": "PyTorch finds no CUDA device",
        "pytorch": "not in int8",
    }.items():
        refused = CliRunner().invoke(command, [*build, "--engine", engine])
        assert refused.exit_code == 1
        assert f"engine {engine} cannot be used" in refused.output
        assert reason in refused.output


def test_int8_is_calibrated_first():
    pytest.importorskip("openvino", reason="needs OpenVINO")
    settings = EngineSettings("openvino", precision="int8", threads=1)
    graph = replace(GRAPH, examples=(torch.rand(1, 3, 11, 11),))
    with pytest.raises(EngineError, match="rstrack engine build MODEL --precision int8"):
        load_engine(graph, settings)
    pytest.importorskip("nncf", reason="needs NNCF")
    images = np.random.default_rng(0).random((8, 1, 3, 11, 11), dtype=np.float32)
    openvino.quantise(graph, [(image,) for image in images])
    openvino.describe_quantised(graph, {"success": 0.5})
    assert openvino.quantised_facts(graph) == {"success": 0.5}
    (given,) = load_engine(graph, settings).run(images[0])
    with torch.no_grad():
        wanted = graph.module(torch.from_numpy(images[0])).numpy()
    assert 1e-4 < np.abs(given - wanted).max() < 0.05
    several = replace(graph, examples=(torch.rand(2, 3, 11, 11),), single=graph)
    (both,) = load_engine(several, settings).run(images[:2, 0])
    np.testing.assert_allclose(both[:1], given, atol=1e-5)


class Scaled(nn.Module):
    def forward(self, image, factor):
        return image * factor[:, None, None, None], factor + 1


def several(items):
    one = Graph("scaled", Scaled(), (torch.rand(1, 3, 9, 9), torch.ones(1)), ("x", "f"), ("y", "g"))
    examples = tuple(torch.cat([example] * items) for example in one.examples)
    return replace(one, examples=examples, single=one)


@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_graph_for_several_items_takes_fewer(name, threads):
    engine = load_engine(several(4), EngineSettings(engine=name, threads=threads))
    image = np.random.default_rng(0).random((4, 3, 9, 9), dtype=np.float32)
    factor = np.arange(4, dtype=np.float32)
    for items in (1, 3, 4):
        scaled, more = engine.run(image[:items], factor[:items])
        np.testing.assert_allclose(scaled, image[:items] * factor[:items, None, None, None], rtol=1e-6)
        np.testing.assert_array_equal(more, factor[:items] + 1)


def test_an_engine_of_fixed_shapes_is_filled():
    class Fixed(Working.Loaded):
        def run(self, *arrays):
            assert [array.shape for array in arrays] == [(4, 3, 9, 9), (4,)]
            return super().run(*arrays)

    engine = filled(several(4), Fixed("fixed", None))
    image, factor = np.random.default_rng(0).random((3, 3, 9, 9), np.float32), np.arange(3)
    for given, wanted in zip(engine.run(image, factor), (image, factor), strict=True):
        np.testing.assert_array_equal(given, wanted)
