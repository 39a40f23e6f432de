"""Tests of the fitting of a light network to a trained one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsi_tracker_ros.hanet.config import HANET_EDGE, SIAMBAN_EDGE, HANetConfig
from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.training.light_fitting import factorize_convolution, fit_light_network, select_channels
from hsi_tracker_ros.training.rgb_pairs import RgbPair


def draw_smooth_images(generator: torch.Generator, count: int, size: int) -> Tensor:
    coarse = torch.rand(count, 3, 12, 12, generator=generator) * 255
    return nn.functional.interpolate(coarse, (size, size), mode="bilinear")


def draw_pairs(count: int) -> list[RgbPair]:
    """Return pairs whose template is the middle of the search crop."""
    generator = torch.Generator().manual_seed(0)
    searches = draw_smooth_images(generator, count, 255)
    box = torch.tensor([95.5, 95.5, 159.5, 159.5])
    return [RgbPair(search[:, 64:191, 64:191], search, box, torch.tensor(True)) for search in searches]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 11), min_size=1, max_size=6))
def test_selection_finds_the_channels_that_the_targets_depend_on(seed: int, used: set[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    channels = torch.randn(500, 12, generator=generator, dtype=torch.float64)
    channels -= channels.mean(0)
    weights = torch.zeros(12, 20, dtype=torch.float64)
    for index in used:
        weights[index] = 1 + torch.rand(20, generator=generator, dtype=torch.float64)
    targets = channels @ weights

    selected = select_channels(channels.T @ channels / 500, channels.T @ targets / 500, len(used))

    assert selected.tolist() == sorted(used)


def test_selection_prefers_two_channels_to_two_copies_of_one() -> None:
    generator = torch.Generator().manual_seed(0)
    strong, weak = torch.randn(2, 400, generator=generator, dtype=torch.float64)
    channels = torch.stack([strong, strong, weak], dim=1)
    targets = (3 * strong + weak)[:, None]

    selected = select_channels(channels.T @ channels / 400, channels.T @ targets / 400, 2)

    assert 2 in selected.tolist()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_factorization_recovers_a_separable_convolution(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pointwise, depthwise = (torch.randn(5, size, generator=generator, dtype=torch.float64) for size in (4, 9))
    inputs = torch.randn(2000, 36, generator=generator, dtype=torch.float64)
    weight = (pointwise[:, :, None] * depthwise[:, None]).flatten(1)
    targets = inputs @ weight.T

    found = factorize_convolution(inputs.T @ inputs / 2000, inputs.T @ targets / 2000, 4)

    product = (found[0][:, :, None] * found[1][:, None]).flatten(1)
    torch.testing.assert_close(product, weight, rtol=0, atol=2e-3 * float(weight.abs().max()))
    torch.testing.assert_close(found[1].norm(dim=1), torch.ones(5, dtype=torch.float64))


@pytest.mark.slow
def test_light_network_responds_as_the_network_that_it_is_fitted_to() -> None:
    network = load_network("hanet_edge_any").extract_rgb_network()  # type: ignore[operator]
    pairs = draw_pairs(10)

    light = fit_light_network(network, pairs)

    template, search = (
        torch.stack([getattr(pair, name) for pair in pairs]) for name in ("template", "search")
    )
    with torch.no_grad():
        (wanted, wanted_distances), (found, distances) = (
            each.rgb(template, search) for each in (network, light)
        )
    wanted, found = (logits[:, 1] - logits[:, 0] for logits in (wanted, found))
    unexplained = (found - wanted).square().mean() / wanted.var()
    assert unexplained < 0.15
    is_target = wanted > 0
    assert is_target.any()
    errors = (distances / wanted_distances).log().abs().mean(1)[is_target]
    assert errors.median() < 0.15


@pytest.mark.parametrize(
    "config",
    [SIAMBAN_EDGE, replace(HANET_EDGE, spectral=None, levels=(3,)), HANetConfig(backbone="nanotrack_v3")],
)
def test_network_of_another_architecture_is_refused(config: HANetConfig) -> None:
    with pytest.raises(ValueError, match="efficientnet_lite0 with levels 3 and 4"):
        fit_light_network(SiameseNetwork(config), draw_pairs(1))
