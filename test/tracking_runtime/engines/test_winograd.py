import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.verification import largest_difference, realistic_inputs, reference
from tracking_runtime.engines.winograd import FEWEST_CHANNELS, WinogradConvolution, with_fewer_products


def graph(*layers):
    torch.manual_seed(0)
    return Graph("net", nn.Sequential(*layers), (torch.ones(1, FEWEST_CHANNELS, 11, 13),), ("x",), ("y",))


def operations(module, x):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return counter.get_total_flops()


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    height=st.integers(9, 33),
    width=st.integers(9, 33),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 4),
)
def test_it_is_the_same_convolution(batch, height, width, padding, dilation):
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 5, 3, padding=padding, dilation=dilation, bias=False)
    x = torch.randn(batch, 4, height, width)
    with torch.no_grad():
        torch.testing.assert_close(WinogradConvolution(convolution)(x), convolution(x), atol=2e-5, rtol=1e-4)


def test_it_takes_less_than_a_third_of_the_operations():
    convolution = nn.Conv2d(FEWEST_CHANNELS, 1024, 3, padding=2, dilation=2, bias=False)
    x = torch.zeros(1, FEWEST_CHANNELS, 31, 31)
    assert operations(WinogradConvolution(convolution), x) < operations(convolution, x) / 3


def test_only_what_pays_is_replaced_and_in_a_copy():
    many = FEWEST_CHANNELS
    layers = (
        nn.Conv2d(many, 8, 3, bias=False),
        nn.Conv2d(8, many, 3, bias=False),
        nn.Conv2d(many, many, 3, stride=2, bias=False),
        nn.Conv2d(many, many, 3, groups=many, bias=False),
        nn.Conv2d(many, 8, 1, bias=False),
        nn.Conv2d(8, 8, 3),
    )
    before = graph(*layers)
    after = with_fewer_products(before)
    kinds = [type(layer) is WinogradConvolution for layer in after.module.children()]
    assert kinds == [True, False, False, False, False, False]
    assert all(type(layer) is nn.Conv2d for layer in before.module.children())


def test_openvino_gives_pytorchs_numbers_by_it():
    pytest.importorskip("openvino", reason="needs OpenVINO")
    before = graph(nn.Conv2d(FEWEST_CHANNELS, 32, 3, padding=2, dilation=2, bias=False), nn.ReLU())
    inputs = realistic_inputs(before)
    for precision, tolerance in {"float32": 1e-5, "bfloat16": 0.05}.items():
        engine = load_engine(before, EngineSettings("openvino", precision, threads=1))
        assert largest_difference(reference(before, inputs), engine.run(*inputs)) < tolerance
