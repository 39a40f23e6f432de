"""Every available engine computes what PyTorch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_tracker_ros.hanet.inference import SiameseModel, stack_kernels
from hsi_tracker_ros.hanet.weights import load_network
from tracking_runtime.engines import BACKENDS, EngineSettings, Graph, load_engine

AVAILABLE = [backend.name for backend in BACKENDS if backend.find_unavailable_reason() is None]


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 9, 9), dtype=np.float32)


def compute_expected(graph: Graph, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return graph.module(torch.from_numpy(image)).numpy()


@pytest.mark.parametrize("name", AVAILABLE)
def test_engine_in_float32_matches_pytorch(conv_graph: Graph, image: np.ndarray, name: str) -> None:
    (actual,) = load_engine(conv_graph, EngineSettings(engine=name, threads=1)).run(image)

    assert np.abs(actual - compute_expected(conv_graph, image)).max() < 1e-3


@pytest.mark.parametrize("name", AVAILABLE)
def test_engine_in_bfloat16_is_close_to_pytorch(conv_graph: Graph, image: np.ndarray, name: str) -> None:
    engine = load_engine(conv_graph, EngineSettings(engine=name, precision="bfloat16", threads=1))

    (actual,) = engine.run(image)

    assert actual.dtype == np.float32
    assert np.abs(actual - compute_expected(conv_graph, image)).max() < 0.02
    assert "bfloat16" in engine.description


@pytest.mark.parametrize("name", AVAILABLE)
def test_engine_outputs_survive_the_next_run(conv_graph: Graph, name: str) -> None:
    engine = load_engine(conv_graph, EngineSettings(engine=name, threads=1))
    (first,) = engine.run(np.ones((1, 3, 9, 9), np.float32))
    copy = first.copy()

    engine.run(np.zeros((1, 3, 9, 9), np.float32))

    assert np.array_equal(first, copy)


@pytest.mark.slow
@pytest.mark.parametrize("name", AVAILABLE)
def test_engine_of_hanet_matches_pytorch(name: str) -> None:
    rng = np.random.default_rng(0)
    network = load_network("hanet_edge_vis16")
    models = [SiameseModel(network, EngineSettings(engine=engine, threads=1)) for engine in ("pytorch", name)]
    image = rng.integers(0, 255, (3, 127, 127, 3)).astype(np.uint8)
    cube = rng.random((3, 63, 63, 16), dtype=np.float32) * 2
    search = (
        rng.integers(0, 255, (3, 255, 255, 3)).astype(np.uint8),
        rng.random((3, 127, 127, 16), dtype=np.float32),
    )

    outputs = []
    for model in models:
        first = stack_kernels([model.encode_template(*crops) for crops in zip(image, cube, strict=True)])
        online = stack_kernels(
            [model.encode_template(*crops) for crops in zip(image[::-1], cube[::-1], strict=True)]
        )
        outputs.append((*first, *model.search(search, first, online)))

    for expected, actual in zip(*outputs, strict=True):
        assert np.abs(actual - expected).max() <= 1e-3 * max(np.abs(expected).max(), 1)
