"""Import of FEAR-XS from its published Core ML models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.fear import FearXs
from hsi_tracker_ros.hanet.network import FEAR_XS, SiameseNetwork
from tracking_runtime.errors import ModelError
from tracking_runtime.models.coreml import CoremlConvolution, CoremlLayer, read_coreml_layers

FEAR_TUNING = {"window_influence": 0.38, "penalty_k": 0.062, "size_rate": 0.765}
"""Window influence, penalty k and size rate of FEAR's authors."""


def load_fear(tracker: Path, initializer: Path | None = None) -> SiameseNetwork:
    """Load FEAR-XS from its Core ML models.

    Args:
        tracker: model of the search side (`Tracker.mlmodel`), which contains all weights.
        initializer: model of the template side (`TrackerInit.mlmodel`), which must have the same backbone;
            None: no check. The two may be exchanged.

    Raises:
        ModelError: a file cannot be read, is not FEAR-XS, or the two do not belong together.
    """
    layers = read_coreml_layers(tracker)
    other_layers = [] if initializer is None else read_coreml_layers(initializer)
    if initializer is not None and len(other_layers) > len(layers):
        tracker, initializer = initializer, tracker
        layers, other_layers = other_layers, layers
    network = SiameseNetwork(HANetConfig(backbone=FEAR_XS, tracking=FEAR_TUNING))
    assert isinstance(network.rgb, FearXs), "the backbone is FEAR's"
    modules = list(list_convolutions(network.rgb))
    convolutions = _list_coreml_convolutions(layers)
    _check_layers(tracker, layers, modules)
    if initializer is not None:
        others = _list_coreml_convolutions(other_layers)
        _check_layers(initializer, other_layers, list(list_backbone_convolutions(network.rgb)))
        if not all(_is_equal(one, other) for one, other in zip(others, convolutions, strict=False)):
            raise ModelError(f"{initializer} and {tracker} must have the same backbone: its weights differ")
    with torch.no_grad():
        for (_, module), convolution in zip(modules, convolutions, strict=True):
            module.weight.copy_(torch.from_numpy(convolution.weight))
            if module.bias is not None and convolution.bias is not None:
                module.bias.copy_(torch.from_numpy(convolution.bias))
        _, first = modules[0]
        first.weight.copy_(first.weight.flip(1))  # from RGB to BGR
    return network.eval()


def list_backbone_convolutions(network: FearXs) -> Iterator[tuple[str, nn.Conv2d]]:
    """Yield name and module of each convolution of the backbone, in the order of the Core ML model."""
    return _list_convolutions("backbone", network.backbone)


def list_convolutions(network: FearXs) -> Iterator[tuple[str, nn.Conv2d]]:
    """Yield name and module of each convolution in the order of the Core ML model."""
    yield from list_backbone_convolutions(network)
    heads = {"cls_head": network.cls_head, "box_head": network.box_head}
    for part in ("encode", "mix"):
        for name, head in heads.items():
            yield from _list_convolutions(f"{name}.{part}", head.get_submodule(part))
    for name in ("box_head", "cls_head"):
        for part in ("tower", "predict"):
            yield from _list_convolutions(f"{name}.{part}", heads[name].get_submodule(part))


def _list_convolutions(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    for name, submodule in module.named_modules(prefix=prefix):
        if isinstance(submodule, nn.Conv2d):
            yield name, submodule


def _list_coreml_convolutions(layers: Sequence[CoremlLayer]) -> list[CoremlConvolution]:
    return [layer.convolution for layer in layers if layer.convolution is not None]


def _check_layers(
    path: Path, layers: Sequence[CoremlLayer], modules: Sequence[tuple[str, nn.Conv2d]]
) -> None:
    """Check that the convolutions of a file are those of the network.

    Raises:
        ModelError: they are not. The message lists the layers.
    """
    found = [(layer.name, layer.convolution) for layer in layers if layer.convolution is not None]
    problems = [f"{layer.name} is of an unknown kind" for layer in layers if layer.kind == "unknown"]
    if len(found) != len(modules):
        problems.append(f"it has {len(found)} convolutions, expected {len(modules)}")
    for (layer_name, convolution), (name, module) in zip(found, modules, strict=False):
        given, expected = _describe_coreml(convolution), _describe_module(module)
        if given != expected:
            problems.append(f"{layer_name} has {given}, expected {expected} of {name}")
    if problems:
        raise ModelError("\n  ".join([f"{path} is not FEAR-XS:", *problems]))


def _describe_coreml(convolution: CoremlConvolution) -> str:
    return _describe(
        convolution.weight.shape,
        convolution.stride,
        convolution.groups,
        has_bias=convolution.bias is not None,
    )


def _describe_module(module: nn.Conv2d) -> str:
    return _describe(
        tuple(module.weight.shape), module.stride, module.groups, has_bias=module.bias is not None
    )


def _describe(shape: tuple[int, ...], stride: tuple[int, ...], groups: int, *, has_bias: bool) -> str:
    bias = "a bias" if has_bias else "no bias"
    return f"weights {tuple(shape)}, stride {tuple(stride)}, {groups} groups and {bias}"


def _is_equal(one: CoremlConvolution, other: CoremlConvolution) -> bool:
    if (one.bias is None) != (other.bias is None):
        return False
    is_bias_equal = one.bias is None or other.bias is None or np.array_equal(one.bias, other.bias)
    return is_bias_equal and np.array_equal(one.weight, other.weight)
