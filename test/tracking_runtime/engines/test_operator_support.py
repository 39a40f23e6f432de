"""Operators that torch-tensorrt converts: all of those in the included networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tracking_runtime.engines import Graph
from tracking_runtime.engines.model_graphs import open_model_graphs
from tracking_runtime.engines.operator_support import (
    CONVERTED_OPERATORS,
    MAX_RANKED_VALUES,
    find_unsupported_operators,
)
from tracking_runtime.engines.torch_export import export_program


class FunctionModule(nn.Module):
    """A module that calls a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)


def find_unsupported(function: Callable[[Tensor], Tensor]) -> list[str]:
    graph = Graph("one", FunctionModule(function), (torch.zeros(1, 5000),), ("x",), ("y",))
    return find_unsupported_operators(export_program(graph))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "batch_sizes", "camera"),
    [
        ("hanet_edge_vis16", (2,), ""),
        ("untrained:hanet_r50", (1,), "vis16"),
        ("spax_small", (64, 6144), ""),
    ],
)
def test_every_operator_of_a_model_is_supported(
    model: str, batch_sizes: tuple[int, ...], camera: str
) -> None:
    for graph in open_model_graphs(model, batch_sizes, camera).graphs:
        assert find_unsupported_operators(export_program(graph)) == [], graph.name


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.topk(x, MAX_RANKED_VALUES + 1)[0], "topk.default of 3841 values, of at most 3840"),
        (lambda x: torch.sort(x)[0], "sort.default of 5000 values, of at most 3840"),
        (lambda x: torch.special.bessel_j0(x), "special_bessel_j0.default has no converter"),
        (lambda x: torch.nonzero(x), "nonzero.default has a shape that depends on data"),
        (lambda x: x[x > 0], "index.Tensor by a mask"),
    ],
)
def test_unsupported_operator_is_named(function: Callable[[Tensor], Tensor], reason: str) -> None:
    reasons = find_unsupported(function)

    assert any(reason in found for found in reasons)


def test_top_k_at_the_limit_is_supported() -> None:
    assert find_unsupported(lambda x: torch.topk(x, MAX_RANKED_VALUES)[0]) == []


def test_converted_operators_exist_in_torch() -> None:
    unknown = [
        name
        for name in CONVERTED_OPERATORS
        if not hasattr(getattr(torch.ops.aten, name.partition(".")[0], None), name.partition(".")[2])
    ]

    assert unknown == []
