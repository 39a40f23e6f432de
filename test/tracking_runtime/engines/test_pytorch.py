"""PyTorch as an engine computes in its declared precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.pytorch import disable_tf32


@pytest.fixture
def tf32() -> Iterator[None]:
    """Let PyTorch round to TF32 during the test."""
    settings = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = True
    yield
    for setting, is_allowed in zip(settings, before, strict=True):
        setting.allow_tf32 = is_allowed


@pytest.mark.usefixtures("tf32")
def test_tf32_is_disabled() -> None:
    disable_tf32()

    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.usefixtures("tf32")
def test_gpu_engine_does_not_round_float32() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(256, 256, 3)
    graph = Graph("sum", module, (torch.rand(1, 256, 31, 31),), ("x",), ("y",))
    image = graph.examples[0].numpy()

    (output,) = load_engine(graph, EngineSettings("pytorch-cuda", "float32")).run(image)

    with torch.no_grad():
        expected = module.double()(torch.from_numpy(image).double()).numpy()
    assert np.abs(output - expected).max() < 1e-5  # about 1e-4 in TF32
