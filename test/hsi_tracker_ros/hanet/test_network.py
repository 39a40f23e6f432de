from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_tracker_ros.hanet.backbones import DilatedResNet50, SiamBANResNet50, StridedResNet50, make_plain_stem
from hsi_tracker_ros.hanet.config import HANET_EDGE, PRESETS, HANetConfig
from hsi_tracker_ros.hanet.head import correlate
from hsi_tracker_ros.hanet.neck import Neck
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.hanet.spectral_stem import compute_spectral_basis
from hsi_tracker_ros.hanet.weights import load_network, save_network
from tracking_runtime.errors import ModelError

BANDS = (480.0, 500.0, 530.0, 610.0, 590.0)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return HANet(HANET_EDGE).eval()


def crops(batch, bands, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sides = (3, 127, 255), (bands, 63, 127)
    (three, template, search), (count, small, large) = sides
    return (
        torch.rand(batch, three, template, template, generator=generator) * 255,
        torch.rand(batch, count, small, small, generator=generator) * 2,
        torch.rand(batch, three, search, search, generator=generator) * 255,
        torch.rand(batch, count, large, large, generator=generator) * 2,
    )


def test_fusion_is_weighted_sum_of_responses(network):
    with torch.no_grad():
        network.alpha.fill_(0.7)
        network.beta.fill_(1.9)
        maps = network(*crops(1, len(BANDS)), torch.tensor([BANDS]))
        network.alpha.fill_(1.0)
        network.beta.fill_(1.0)
    assert maps.fused.shape == (1, 2, 25, 25)
    assert torch.allclose(maps.fused, 0.7 * maps.rgb + 1.9 * maps.hsi, atol=1e-6)


def test_box_regression_ignores_the_cube(network):
    image, cube, search, search_cube = crops(1, len(BANDS))
    with torch.no_grad():
        one = network(image, cube, search, search_cube, torch.tensor([BANDS]))
        other = network(image, cube * 0.3, search, search_cube.flip(1), torch.tensor([BANDS]))
    assert torch.equal(one.loc, other.loc)
    assert not torch.allclose(one.hsi, other.hsi)


def test_split_search_equals_whole_network(network):
    baked = network.bake(BANDS)
    image, cube, search, search_cube = crops(2, len(BANDS))
    with torch.no_grad():
        whole = baked(image, cube, search, search_cube)
        template = baked.encode_template(image, cube)
        first, online, loc = baked.search([search, search_cube], template, [template[0], template[2]])
    assert torch.allclose(first, whole.fused[:, 1] - whole.fused[:, 0], atol=1e-4)
    assert torch.allclose(first, online)
    assert torch.allclose(loc, whole.loc, rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(400, 1000), min_size=1, max_size=40))
def test_baked_convolution_equals_conditioned_convolution(network, wavelengths):
    stem = network.spectral.backbone.conv1
    cube = torch.rand(1, len(wavelengths), 31, 31)
    with torch.no_grad():
        conditioned = stem(cube, torch.tensor([wavelengths]))
        plain = torch.nn.functional.conv2d(cube, stem.bake_weight(wavelengths), stride=2)
    assert torch.allclose(conditioned, plain, atol=1e-4)


def test_network_is_invariant_to_order_of_bands(network):
    image, cube, search, search_cube = crops(1, len(BANDS))
    order = [3, 0, 4, 2, 1]
    with torch.no_grad():
        one = network(image, cube, search, search_cube, torch.tensor([BANDS]))
        other = network(image, cube[:, order], search, search_cube[:, order], torch.tensor([BANDS])[:, order])
    assert torch.allclose(one.hsi, other.hsi, atol=1e-5)


def test_padding_bands_have_no_effect():
    padded = torch.tensor([*BANDS, 0.0, 0.0])
    assert torch.equal(
        compute_spectral_basis(padded)[:, : len(BANDS)], compute_spectral_basis(torch.tensor(BANDS))
    )
    assert not compute_spectral_basis(padded)[:, len(BANDS) :].any()


def test_correlation_uses_kernels_of_each_sample():
    features, kernels = torch.rand(3, 4, 9, 9), torch.rand(3, 4, 5, 5)
    windows = features.unfold(2, 5, 1).unfold(3, 5, 1)
    wanted = torch.einsum("bchwij,bcij->bchw", windows, kernels)
    assert torch.allclose(correlate(features, kernels), wanted, atol=1e-5)


def test_network_bakes_only_once(network):
    with pytest.raises(ValueError, match="fixed already"):
        network.bake(BANDS).bake(BANDS)


@pytest.mark.parametrize("name", PRESETS)
def test_configuration_survives_a_manifest(name):
    assert HANetConfig.from_parameters(PRESETS[name].to_parameters()) == PRESETS[name]


def test_unknown_parameters_are_refused():
    with pytest.raises(ModelError, match="backbones"):
        HANetConfig.from_parameters({"backbones": "resnet50"})


def test_saved_network_equals_original_in_float16(network, tmp_path):
    path = save_network(tmp_path, "saved", network)
    loaded = load_network(path)
    for key, value in network.state_dict().items():
        assert torch.allclose(loaded.state_dict()[key].float(), value.float(), rtol=1e-3, atol=1e-6)


def test_weights_of_another_network_are_refused(network, tmp_path):
    path = save_network(tmp_path, "saved", network)
    other = HANet(replace(HANET_EDGE, channels=64))
    save_network(tmp_path, "other", other)
    (tmp_path / "saved.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes())
    text = path.read_text().splitlines()
    sha = next(line for line in (tmp_path / "other.yaml").read_text().splitlines() if "sha256" in line)
    path.write_text("\n".join(sha if "sha256" in line else line for line in text))
    with pytest.raises(ModelError, match=r"saved\.yaml(.|\n)*rgb\.neck"):
        load_network(path)


def test_features_are_on_the_response_grid():
    """A shift of the search crop by one stride moves all responses by one, borders aside."""
    torch.manual_seed(1)
    network = HANet(HANET_EDGE).eval().bake(BANDS)
    image, cube, _, search_cube = crops(1, len(BANDS))
    wide = torch.nn.functional.interpolate(torch.rand(1, 3, 40, 40) * 255, (263, 263), mode="bilinear")
    with torch.no_grad():
        left = network(image, cube, wide[..., 4:259, :255], search_cube).rgb
        right = network(image, cube, wide[..., 4:259, 8:], search_cube).rgb
    middle = slice(9, 16)
    error = (left[..., middle, 10:17] - right[..., middle, 9:16]).abs().max()
    assert error < 0.05 * np.ptp(left.numpy())


@pytest.mark.parametrize(("pixels", "features"), [(127, 15), (255, 31)])
def test_1x1_shortcut_equals_center_of_3x3_shortcut(pixels, features):
    torch.manual_seed(0)
    narrow = DilatedResNet50(make_plain_stem(4), (2, 3)).eval()
    wide = SiamBANResNet50(make_plain_stem(4), (2, 3)).eval()
    weights = narrow.state_dict()
    for name in ("layer2.0.downsample.0.weight", "layer3.0.downsample.0.weight"):
        weights[name] = torch.nn.functional.pad(weights[name], (1, 1, 1, 1))
    wide.load_state_dict(weights)
    image = torch.rand(1, 4, pixels, pixels)
    with torch.no_grad():
        for one, other in zip(narrow(image), wide(image), strict=True):
            assert one.shape[2:] == (features, features)
            torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(("pixels", "features"), [(127, 15), (255, 31)])
def test_only_stage_4_is_strided(pixels, features):
    torch.manual_seed(0)
    strided, dilated = (
        kind(make_plain_stem(4), (2, 3, 4)).eval() for kind in (StridedResNet50, DilatedResNet50)
    )
    dilated.load_state_dict(strided.state_dict())
    image = torch.rand(1, 4, pixels, pixels)
    with torch.no_grad():
        *fine, coarse = strided(image)
        for one, other in zip(fine, dilated(image), strict=False):
            torch.testing.assert_close(one, other)
    assert coarse.shape[2:] == ((features - 1) // 2,) * 2


def test_neck_outputs_are_on_one_grid():
    neck = Neck((3, 4), (1, 1), 1).eval()
    for name, weight in neck.state_dict().items():
        if name.endswith("0.weight"):
            weight.fill_(1.0)
    place = torch.arange(31.0).expand(1, 1, 31, 31)
    fine, coarse = neck([place, place[..., 1::2, 1::2]])
    torch.testing.assert_close(coarse[..., 1:-1], fine[..., 1:-1])
    z, coarse_z = neck([place[..., :15, :15], place[..., 1:15:2, 1:15:2]])
    assert z.shape == (1, 1, 7, 7)
    torch.testing.assert_close(coarse_z, z)


def test_single_coarse_level_is_refused():
    with pytest.raises(ValueError, match="finer"):
        StridedResNet50(make_plain_stem(4), (4,))
