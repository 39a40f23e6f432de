"""Tests of the light network for color images: its backbone, its separable heads, and its manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hsi_tracker_ros.hanet.backbones import InvertedResidual, LightEfficientNetLite0, make_plain_stem
from hsi_tracker_ros.hanet.checkpoint_import import make_hanet_with_rgb_branch
from hsi_tracker_ros.hanet.config import HANET_EDGE, SIAMBAN_EDGE, SIAMBAN_R50, HANetConfig
from hsi_tracker_ros.hanet.graphs import make_search_graph
from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_network, save_network
from tracking_runtime.errors import ModelError


@pytest.fixture(scope="module")
def network() -> SiameseNetwork:
    torch.manual_seed(0)
    return SiameseNetwork(SIAMBAN_EDGE).eval()


def count_operations(network: SiameseNetwork) -> int:
    """Return the number of multiply-adds of a search."""
    graph = make_search_graph(network.eval(), 1, "counted")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        graph.module(*graph.examples)
    return counter.get_total_flops() // 2


def draw_smooth_image(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, 40, 40, generator=generator) * 255
    return nn.functional.interpolate(coarse, (size, size), mode="bilinear")


def test_light_network_takes_a_quarter_of_the_operations(network: SiameseNetwork) -> None:
    plain = SiameseNetwork(replace(HANET_EDGE, spectral=None))

    assert count_operations(network) < count_operations(plain) / 4


def test_light_responses_are_on_the_grid_of_siamban(network: SiameseNetwork) -> None:
    """A shift of the search crop by two strides moves all responses by two, borders aside."""
    wide = draw_smooth_image(271)
    template = draw_smooth_image(127)
    with torch.no_grad():
        left, distances = network.rgb(template, wide[..., 8:263, :255])
        right, _ = network.rgb(template, wide[..., 8:263, 16:])

    assert left.shape == (1, 2, 25, 25)
    assert distances.shape == (1, 4, 25, 25)
    middle = slice(9, 16)
    error = (left[..., middle, 11:17] - right[..., middle, 9:15]).abs().max()
    assert error < 0.05 * (left.max() - left.min())


def test_strided_stage_samples_the_features_of_a_dilated_stage() -> None:
    torch.manual_seed(0)
    dilated = nn.Sequential(
        InvertedResidual(8, 12, 16, 3, 1, 1),
        InvertedResidual(12, 12, 24, 3, 1, 2),
        InvertedResidual(12, 12, 24, 3, 1, 2),
    ).eval()
    strided = nn.Sequential(
        InvertedResidual(8, 12, 16, 3, 2, 1),
        InvertedResidual(12, 12, 24, 3, 1, 1),
        InvertedResidual(12, 12, 24, 3, 1, 1),
    ).eval()
    strided.load_state_dict(dilated.state_dict())
    features = torch.rand(1, 8, 31, 31)

    with torch.no_grad():
        torch.testing.assert_close(strided(features), dilated(features)[..., 1::2, 1::2])


def test_separable_search_leaves_the_template_side_as_it_is(network: SiameseNetwork) -> None:
    kernels = {name: value.shape for name, value in network.rgb.head.state_dict().items() if value.ndim == 4}

    for level in ("box3", "box4"):
        for branch in ("cls", "loc"):
            assert kernels[f"{level}.{branch}.conv_kernel.0.weight"] == (64, 64, 3, 3)
            assert kernels[f"{level}.{branch}.conv_search.0.weight"] == (64, 64, 1, 1)
            assert kernels[f"{level}.{branch}.conv_search.1.weight"] == (64, 1, 3, 3)


@pytest.mark.parametrize("levels", [(4,), (3, 5), (4, 5)])
def test_light_backbone_refuses_levels_off_its_grid(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="finer than 4"):
        LightEfficientNetLite0(make_plain_stem(3), levels)


def test_light_configuration_survives_a_manifest() -> None:
    assert HANetConfig.from_parameters(SIAMBAN_EDGE.to_parameters()) == SIAMBAN_EDGE


def test_manifest_of_another_network_does_not_name_separable_search() -> None:
    assert "separable_search" not in SIAMBAN_R50.to_parameters()


def test_light_network_survives_a_model_file(network: SiameseNetwork, tmp_path: Path) -> None:
    path = save_network(tmp_path, "light", network, precision=torch.float32)

    loaded = load_network(path)

    assert loaded.config == SIAMBAN_EDGE
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_model_with_levels_off_the_grid_is_refused(network: SiameseNetwork, tmp_path: Path) -> None:
    path = save_network(tmp_path, "light", network)
    path.write_text(path.read_text().replace("  - 4\n", "  - 5\n"))

    with pytest.raises(ModelError, match="finer than 4"):
        load_network(path)


def test_light_network_becomes_the_rgb_branch_of_a_hanet(network: SiameseNetwork) -> None:
    hanet = make_hanet_with_rgb_branch(HANET_EDGE, network)

    assert hanet.config.separable_search
    for key, value in network.rgb.state_dict().items():
        assert torch.equal(hanet.rgb.state_dict()[key], value)
