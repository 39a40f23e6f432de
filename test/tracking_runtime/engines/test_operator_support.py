"""What torch-tensorrt takes of the networks that ship: all of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tracking_runtime.engines import Graph
from tracking_runtime.engines.model_graphs import open_networks
from tracking_runtime.engines.operator_support import CONVERTED, MOST_RANKED, not_converted
from tracking_runtime.engines.torch_export import export_program


@pytest.mark.parametrize(
    ("model", "batches", "camera"),
    [
        ("hanet_edge_vis16", (2,), ""),
        ("untrained:hanet_r50", (1,), "vis16"),
        ("spax_small", (64, 6144), ""),
    ],
)
def test_every_operator_of_a_model_is_converted(model: str, batches: tuple[int, ...], camera: str) -> None:
    for graph in open_networks(model, batches, camera).graphs:
        assert not_converted(export_program(graph)) == [], graph.name


class _Call(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.topk(x, MOST_RANKED + 1)[0], "topk.default of 3841 values, of at most 3840"),
        (lambda x: torch.sort(x)[0], "sort.default of 5000 values, of at most 3840"),
        (lambda x: torch.special.bessel_j0(x), "special_bessel_j0.default has no converter"),
        (lambda x: torch.nonzero(x), "nonzero.default has a shape that depends on data"),
        (lambda x: x[x > 0], "index.Tensor by a mask"),
    ],
)
def test_what_stays_in_pytorch_is_named(function: object, reason: str) -> None:
    graph = Graph("one", _Call(function), (torch.zeros(1, 5000),), ("x",), ("y",))
    assert any(reason in given for given in not_converted(export_program(graph)))


def test_limits_are_allowed() -> None:
    graph = Graph(
        "one", _Call(lambda x: torch.topk(x, MOST_RANKED)[0]), (torch.zeros(1, 5000),), ("x",), ("y",)
    )
    assert not_converted(export_program(graph)) == []


def test_the_list_names_operators_of_torch() -> None:
    unknown = [
        name
        for name in CONVERTED
        if not hasattr(getattr(torch.ops.aten, name.partition(".")[0], None), name.partition(".")[2])
    ]
    assert unknown == []
