"""PyTorch as an engine computes in the precision that it says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.pytorch import forbid_tf32


@pytest.fixture
def tf32() -> Iterator[None]:
    """In the test PyTorch may round to TF32."""
    flags = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = True
    yield
    for flag, allowed in zip(flags, before, strict=True):
        flag.allow_tf32 = allowed


@pytest.mark.usefixtures("tf32")
def test_tf32_can_be_forbidden() -> None:
    forbid_tf32()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.usefixtures("tf32")
def test_a_gpu_computes_float32_as_such() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(256, 256, 3)
    graph = Graph("sum", module, (torch.rand(1, 256, 31, 31),), ("x",), ("y",))
    image = graph.examples[0].numpy()
    (given,) = load_engine(graph, EngineSettings("pytorch-cuda", "float32")).run(image)
    with torch.no_grad():
        wanted = module.double()(torch.from_numpy(image).double()).numpy()
    assert np.abs(given - wanted).max() < 1e-5  # in TF32 some 1e-4
