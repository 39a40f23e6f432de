"""Engines of fixed shapes: input buffers, padded batches, and batches run item by item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tracking_runtime.engines import BACKENDS, EngineError, EngineSettings, Graph, load_engine
from tracking_runtime.engines.batching import (
    PerItemEngine,
    copy_to_buffers,
    make_input_buffers,
    pad_batch,
)

AVAILABLE = [backend.name for backend in BACKENDS if backend.find_unavailable_reason() is None]


class Scale(nn.Module):
    def forward(self, image: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        return image * factor[:, None, None, None], factor + 1


@dataclass
class EchoEngine:
    """An engine that returns its inputs and records their shapes."""

    description: str = "echo"
    shapes: list[list[tuple[int, ...]]] = field(default_factory=list)

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self.shapes.append([array.shape for array in arrays])
        return arrays


@pytest.fixture
def make_batched_graph() -> Callable[[int], Graph]:
    def make(batch_size: int) -> Graph:
        examples = (torch.rand(1, 3, 9, 9), torch.ones(1))
        per_item_graph = Graph("scaled", Scale(), examples, ("x", "f"), ("y", "g"))
        batch = tuple(torch.cat([example] * batch_size) for example in examples)
        return replace(per_item_graph, examples=batch, per_item_graph=per_item_graph)

    return make


def test_input_buffers_of_strided_examples_are_row_major() -> None:
    strided = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)
    graph = Graph("same", nn.Identity(), (strided, strided), ("x", "y"), ("z",))

    buffers = make_input_buffers(graph, "cpu")

    for buffer in buffers:
        assert buffer.is_contiguous()
        torch.testing.assert_close(buffer, strided)
    copy_to_buffers(buffers, (strided + 1, strided + 2))
    in_memory = [buffer.flatten().tolist() for buffer in buffers]
    assert in_memory == [(strided + offset).flatten().tolist() for offset in (1, 2)]


@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (3,), (4, 1)])
def test_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    buffer = torch.zeros(4, 3)

    with pytest.raises(EngineError, match=r"the engine needs \(4, 3\)"):
        copy_to_buffers((buffer,), (torch.ones(shape),))

    assert not buffer.any()


def test_per_item_engine_runs_once_per_item() -> None:
    engine = EchoEngine()
    image = np.random.default_rng(0).random((3, 3, 9, 9), np.float32)
    factor = np.arange(3)

    outputs = PerItemEngine(engine).run(image, factor)

    assert engine.shapes == [[(1, 3, 9, 9), (1,)]] * 3
    for actual, expected in zip(outputs, (image, factor), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_padded_engine_gets_full_batches(make_batched_graph: Callable[[int], Graph]) -> None:
    engine = EchoEngine()
    image = np.random.default_rng(0).random((3, 3, 9, 9), np.float32)
    factor = np.arange(3)

    outputs = pad_batch(make_batched_graph(4), engine).run(image, factor)

    assert engine.shapes == [[(4, 3, 9, 9), (4,)]]
    for actual, expected in zip(outputs, (image, factor), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_batched_engine_takes_smaller_batches(
    make_batched_graph: Callable[[int], Graph], name: str, num_threads: int
) -> None:
    engine = load_engine(make_batched_graph(4), EngineSettings(engine=name, threads=num_threads))
    image = np.random.default_rng(0).random((4, 3, 9, 9), dtype=np.float32)
    factor = np.arange(4, dtype=np.float32)

    for num_items in (1, 3, 4):
        scaled, incremented = engine.run(image[:num_items], factor[:num_items])

        expected = image[:num_items] * factor[:num_items, None, None, None]
        np.testing.assert_allclose(scaled, expected, rtol=1e-6)
        np.testing.assert_array_equal(incremented, factor[:num_items] + 1)
