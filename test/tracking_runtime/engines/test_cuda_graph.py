"""Networks captured as a CUDA graph, and run kernel by kernel where that is impossible."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.cuda_graph import capture_module


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU it is captured")
def test_uncapturable_module_runs_with_a_warning(conv_graph: Graph, caplog: pytest.LogCaptureFixture) -> None:
    run, is_captured = capture_module(conv_graph.module, conv_graph.examples, "sum")

    assert run is conv_graph.module
    assert not is_captured
    assert "sum runs without a CUDA graph" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_captured_network_matches_pytorch(conv_graph: Graph) -> None:
    engine = load_engine(conv_graph, EngineSettings(engine="pytorch-cuda"))
    images = [np.random.default_rng(seed).random((1, 3, 9, 9), dtype=np.float32) for seed in (1, 2)]
    with torch.no_grad():
        expected = [conv_graph.module(torch.from_numpy(image)).numpy() for image in images]

    first, second = (engine.run(image)[0] for image in images)

    assert "CUDA graph" in engine.description
    np.testing.assert_allclose(first, expected[0], atol=1e-3)
    np.testing.assert_allclose(second, expected[1], atol=1e-3)
