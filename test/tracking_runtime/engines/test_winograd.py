"""Winograd convolutions compute the same with fewer operations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.verification import (
    compute_max_difference,
    compute_reference,
    make_realistic_inputs,
)
from tracking_runtime.engines.winograd import MIN_CHANNELS, WinogradConvolution, to_winograd


def make_graph(*layers: nn.Module) -> Graph:
    torch.manual_seed(0)
    return Graph("net", nn.Sequential(*layers), (torch.ones(1, MIN_CHANNELS, 11, 13),), ("x",), ("y",))


def count_operations(module: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return counter.get_total_flops()


@settings(max_examples=40, deadline=None)
@given(
    batch_size=st.integers(1, 3),
    height=st.integers(9, 33),
    width=st.integers(9, 33),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 4),
)
def test_winograd_convolution_matches_direct_convolution(
    batch_size: int, height: int, width: int, padding: int, dilation: int
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 5, 3, padding=padding, dilation=dilation, bias=False)
    winograd = WinogradConvolution(convolution)
    x = torch.randn(batch_size, 4, height, width)

    with torch.no_grad():
        torch.testing.assert_close(winograd(x), convolution(x), atol=2e-5, rtol=1e-4)


def test_winograd_takes_under_a_third_of_the_operations() -> None:
    convolution = nn.Conv2d(MIN_CHANNELS, 1024, 3, padding=2, dilation=2, bias=False)
    x = torch.zeros(1, MIN_CHANNELS, 31, 31)

    num_operations = count_operations(WinogradConvolution(convolution), x)

    assert num_operations < count_operations(convolution, x) / 3


def test_only_wide_dense_convolutions_are_replaced() -> None:
    layers = (
        nn.Conv2d(MIN_CHANNELS, 8, 3, bias=False),
        nn.Conv2d(8, MIN_CHANNELS, 3, bias=False),
        nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, stride=2, bias=False),
        nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, groups=MIN_CHANNELS, bias=False),
        nn.Conv2d(MIN_CHANNELS, 8, 1, bias=False),
        nn.Conv2d(8, 8, 3),
    )
    graph = make_graph(*layers)

    converted = to_winograd(graph)

    is_replaced = [type(layer) is WinogradConvolution for layer in converted.module.children()]
    assert is_replaced == [True, False, False, False, False, False]
    assert all(type(layer) is nn.Conv2d for layer in graph.module.children())


def test_openvino_with_winograd_matches_pytorch() -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO")
    convolution = nn.Conv2d(MIN_CHANNELS, 32, 3, padding=2, dilation=2, bias=False)
    graph = make_graph(convolution, nn.ReLU())
    inputs = make_realistic_inputs(graph)
    expected = compute_reference(graph, inputs)

    for precision, tolerance in {"float32": 1e-5, "bfloat16": 0.05}.items():
        engine = load_engine(graph, EngineSettings("openvino", precision, threads=1))

        assert compute_max_difference(expected, engine.run(*inputs)) < tolerance
