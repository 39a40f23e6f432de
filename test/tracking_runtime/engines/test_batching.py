"""Inputs of engines of fixed shapes: row-major whatever the examples are, and never repeated to fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tracking_runtime.engines import EngineError, Graph
from tracking_runtime.engines.batching import input_buffers, overwrite


def test_buffers_are_row_major_and_apart() -> None:
    strided = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)
    graph = Graph("same", nn.Identity(), (strided, strided), ("x", "y"), ("z",))
    buffers = input_buffers(graph, "cpu")
    for buffer in buffers:
        assert buffer.is_contiguous()
        torch.testing.assert_close(buffer, strided)
    overwrite(buffers, (strided + 1, strided + 2))
    in_memory = [buffer.flatten().tolist() for buffer in buffers]
    assert in_memory == [(strided + more).flatten().tolist() for more in (1, 2)]


@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (3,), (4, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    buffer = torch.zeros(4, 3)
    with pytest.raises(EngineError, match=r"and the engine for \(4, 3\)"):
        overwrite((buffer,), (torch.ones(shape),))
    assert not buffer.any()
