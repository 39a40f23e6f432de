"""FEAR-XS: its network, and its import from Core ML files."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_tracker_ros.hanet.checkpoint_import import make_hanet_with_rgb_branch
from hsi_tracker_ros.hanet.config import HANET_EDGE, HANetConfig
from hsi_tracker_ros.hanet.fear import FearXs
from hsi_tracker_ros.hanet.fear_import import list_backbone_convolutions, list_convolutions, load_fear
from hsi_tracker_ros.hanet.network import FEAR_XS, SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import load_rgb_tracker
from tracking_runtime.cli import rstrack
from tracking_runtime.errors import ModelError
from tracking_runtime.models.coreml import read_coreml_layers
from tracking_runtime.models.manifest import read_manifest


def load_module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


coreml_file = load_module("coreml_file")
weights = load_module("weights")


def make_crops():
    rng = np.random.default_rng(3)
    return [
        torch.from_numpy(rng.integers(0, 256, (1, 3, side, side)).astype(np.float32)) for side in (128, 256)
    ]


@pytest.fixture(scope="module")
@torch.inference_mode()
def network():
    """FEAR-XS with weights made from the names of its parameters, which a float16 can hold."""
    network = weights.filled(FearXs(), salt=5)
    template, search = (network.features(crop)[0] for crop in make_crops())
    for head in (network.cls_head, network.box_head):  # exp must stay finite
        head.predict[1].weight.data /= head(search, template.flatten(2)).abs().max() / 3
    coreml_file.round_to_float16(network)
    return network


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """Core ML files of the search side and of the template side; their first convolution takes RGB."""
    folder = tmp_path_factory.mktemp("fear")
    rgb = FearXs()
    rgb.load_state_dict(network.state_dict())
    first = next(list_convolutions(rgb))[1]
    first.weight.data = first.weight.data.flip(1)
    (folder / "Tracker.mlmodel").write_bytes(coreml_file.make_coreml_file(list_convolutions(rgb)))
    content = coreml_file.make_coreml_file(list_backbone_convolutions(rgb))
    (folder / "TrackerInit.mlmodel").write_bytes(content)
    return folder


def run_import(*arguments):
    return CliRunner().invoke(rstrack, ["import", "fear", *map(str, arguments)])


def test_network_has_the_published_shapes_and_size(network):
    template, search = make_crops()
    with torch.inference_mode():
        (features,) = network.features(template)
        cls, loc = network(template, search)

    assert features.shape == (1, 256, 8, 8)
    assert cls.shape == (1, 2, 16, 16)
    assert loc.shape == (1, 4, 16, 16)
    assert (loc > 0).all()
    assert 1.33e6 < sum(parameter.numel() for parameter in network.parameters()) < 1.36e6


def test_head_correlates_each_template_feature():
    head = FearXs().cls_head
    with torch.no_grad():
        for module in (head.encode, head.mix):
            module[0].weight.zero_()
            module[0].weight[:, :, 1, 1] = 1.0
            module[1].weight.zero_()
            for parameter in (module[0].bias, module[1].bias):
                if parameter is not None:
                    parameter.zero_()
        head.encode[1].weight[:, :, 0, 0] = torch.eye(256)
        head.mix[1].weight[0, 256 + 11] = 1.0  # the response to the twelfth template feature
        head.tower = torch.nn.Identity()
        head.predict = torch.nn.Identity()
    generator = torch.Generator().manual_seed(1)
    search = torch.rand(1, 256, 16, 16, generator=generator)
    kernels = torch.rand(1, 256, 64, generator=generator)

    with torch.inference_mode():
        response = head(search, kernels)[0, 0]

    torch.testing.assert_close(response, torch.einsum("crw,c->rw", search[0], kernels[0, :, 11]))


def test_pixels_are_normalized_with_the_statistics_of_imagenet(network):
    mean = torch.tensor([103.53, 116.28, 123.675]).view(1, 3, 1, 1).expand(1, 3, 128, 128)
    first = network.backbone.layers[0]
    with torch.inference_mode():
        (features,) = network.features(mean)
        expected = network.backbone(torch.zeros(1, 3, 128, 128))[0]

    assert first.bias is not None
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("names", [("Tracker",), ("Tracker", "TrackerInit"), ("TrackerInit", "Tracker")])
def test_imported_model_equals_the_network(network, files, tmp_path, names):
    result = run_import(*(files / f"{name}.mlmodel" for name in names), "-o", "fear", "--models", tmp_path)

    assert result.exit_code == 0, result.output
    imported = load_network(tmp_path / "fear.yaml")
    assert imported.config.tracking["penalty_k"] == 0.062
    assert read_manifest(tmp_path / "fear.yaml").training["imported_from"] == "Tracker.mlmodel"
    with torch.inference_mode():
        for given_map, expected in zip(imported.rgb(*make_crops()), network(*make_crops()), strict=True):
            torch.testing.assert_close(given_map, expected)


def test_files_of_different_networks_are_refused(files, tmp_path):
    other = weights.filled(FearXs(), salt=6)
    path = tmp_path / "TrackerInit.mlmodel"
    path.write_bytes(coreml_file.make_coreml_file(list_backbone_convolutions(other)))

    with pytest.raises(ModelError, match="must have the same backbone"):
        load_fear(files / "Tracker.mlmodel", path)


def test_template_side_alone_is_refused_with_the_cure(files):
    with pytest.raises(ModelError, match="47 convolutions, expected 67"):
        load_fear(files / "TrackerInit.mlmodel")


def test_other_network_is_refused_by_layer(tmp_path):
    layers = [("conv1", torch.nn.Conv2d(3, 16, 5, 2))]
    path = tmp_path / "other.mlmodel"
    path.write_bytes(coreml_file.make_coreml_file(layers))

    with pytest.raises(ModelError) as told:
        load_fear(path)
    assert f"{path} is not FEAR-XS" in str(told.value)
    assert "conv1 has weights (16, 3, 5, 5)" in str(told.value)


def test_layer_of_unknown_kind_is_refused(files, tmp_path):
    content = (files / "Tracker.mlmodel").read_bytes()
    extra = coreml_file.encode_field(
        500, coreml_file.encode_field(1, coreml_file.encode_layer("lstm", 420, b""))
    )
    path = tmp_path / "extra.mlmodel"
    path.write_bytes(content + extra)

    with pytest.raises(ModelError, match="lstm is of an unknown kind"):
        load_fear(path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08\x04", bytes(100), b"PK\x03\x04" + bytes(40)])
def test_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "x.mlmodel"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"x\.mlmodel is not a Core ML model"):
        read_coreml_layers(path)


@pytest.fixture(scope="module")
def damaged_file(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "x.mlmodel"


@settings(max_examples=60)
@given(st.data())
def test_damaged_file_is_read_or_refused(damaged_file, data):
    content = bytearray(coreml_file.make_coreml_file([("conv", torch.nn.Conv2d(3, 4, 3))]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    damaged_file.write_bytes(content[:cut])

    with suppress(ModelError):
        read_coreml_layers(damaged_file)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    module = torch.nn.Conv2d(3, 4, 3)
    module.weight.data[0, 0, 0, 0] = float("nan")
    path = tmp_path / "x.mlmodel"
    path.write_bytes(coreml_file.make_coreml_file([("conv", module)]))

    with pytest.raises(ModelError, match="weights must be finite"):
        read_coreml_layers(path)


@pytest.mark.slow
def test_imported_model_runs_in_the_tracker(files, tmp_path):
    run_import(files / "Tracker.mlmodel", "-o", "fear", "--models", tmp_path)
    scene = HyperspectralScene(900_001, frames=3)
    frames = list(scene)
    tracker = load_rgb_tracker(tmp_path / "fear.yaml", "pytorch", camera=scene.spectral_info)

    tracker.set_target(frames[0].image, frames[0].truth.boxes[0])
    states = tracker.track(frames[1].image, 1) + tracker.track(frames[2].image, 2)

    assert all(np.isfinite(state.box).all() for state in states)
    assert tracker.response.shape == (16, 16)


def test_fear_as_rgb_branch_of_hanet_is_refused():
    rgb = SiameseNetwork(HANetConfig(backbone=FEAR_XS))

    with pytest.raises(ModelError, match="fear_xs"):
        make_hanet_with_rgb_branch(HANET_EDGE, rgb)
