"""HA-Net's weights and manifest on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import Model, find_model, load_model, save_model

ARCHITECTURE = "hanet"

_RGB_PREFIX = "rgb."  # of the weights of the RGB branch


def save_network(
    folder: Path,
    name: str,
    network: SiameseNetwork,
    *,
    precision: torch.dtype = torch.float16,
    training: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> Path:
    """Write the manifest and weights of a network, by default in float16. Return the manifest's path.

    The weights of the RGB branch are left out while they are those of the configuration's `rgb_model`.
    """
    config = network.config
    if config.rgb_model and compute_weights_sha256(network.rgb.state_dict()) != config.rgb_sha256:
        config = replace(config, rgb_model="", rgb_sha256="")
    weights = {
        key: value.to(precision) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
        if not (config.rgb_model and key.startswith(_RGB_PREFIX))
    }
    parameters = config.to_parameters()
    return save_model(folder, name, ARCHITECTURE, parameters, weights, training=training, scores=scores)


def load_network(name_or_path: str | Path) -> SiameseNetwork:
    """Load the network of a model: a `HANet`, or a `SiameseNetwork` without a spectral branch.

    Raises:
        ModelError: the model does not exist, is damaged, or its weights do not fit. The message names the
            file and each missing, unexpected or misshaped weight. Or the model that has the weights of its
            RGB branch is missing; the message says how to get it.
    """
    return _make_network(load_model(name_or_path, ARCHITECTURE))


def _make_network(model: Model) -> SiameseNetwork:
    config = HANetConfig.from_parameters(model.manifest.parameters)
    try:
        network = SiameseNetwork(config) if config.spectral is None else HANet(config)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{model.path} is not a HA-Net: {error}") from error
    weights = {**_load_rgb_weights(model, config), **model.weights}
    try:
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        )
    except RuntimeError as error:
        raise ModelError(f"the weights of {model.path} do not fit its parameters: {error}") from error
    return network.eval()


def borrow_rgb_weights(network: HANet, rgb_model: str) -> HANet:
    """Return a HA-Net that is saved without the weights of its RGB branch, which another model has.

    Args:
        network: the network, whose RGB branch has the weights of `rgb_model`.
        rgb_model: name of the other model.
    """
    sha256 = compute_weights_sha256(network.rgb.state_dict())
    borrowing = HANet(replace(network.config, rgb_model=rgb_model, rgb_sha256=sha256))
    borrowing.load_state_dict(network.state_dict())
    return borrowing.train(network.training)


def compute_weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 checksum of names, shapes and values of weights, as float32 in the order of names.

    Counters of batches do not count. The checksum is that of the weights, not of a file that contains them.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        if value.is_floating_point():
            digest.update(f"{name} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _load_rgb_weights(model: Model, config: HANetConfig) -> dict[str, Tensor]:
    """Return the weights of the RGB branch that another model has; empty if the model itself has them.

    The other model is searched beside the model first.

    Raises:
        ModelError: the other model is missing, or has other weights.
    """
    if not config.rgb_model:
        return {}
    name, needed = config.rgb_model, f"model {model.manifest.name} needs the weights of {config.rgb_model}"
    command = f"rstrack models get {name} --models {model.path.parent}"
    if Path(name).name != name:
        raise ModelError(f"{model.path}: rgb_model must be a name without folder: got {name!r}")
    beside = model.path.parent / f"{name}.yaml"
    try:
        path = beside if beside.is_file() else find_model(name)
    except ModelError as error:
        raise ModelError(f"{needed}, which its authors publish; run: {command}") from error
    other = load_model(path, ARCHITECTURE)
    if other.manifest.parameters.get("rgb_model"):
        raise ModelError(f"{needed}: {path} does not have the weights of its RGB branch itself")
    network = _make_network(other)
    weights = network.rgb.state_dict()
    sha256 = compute_weights_sha256(weights)
    if network.config.backbone != config.backbone or sha256 != config.rgb_sha256:
        raise ModelError(
            f"{needed} with the checksum {config.rgb_sha256[:12]}…: {path} has {sha256[:12]}…; remove that "
            f"model, and run: {command}"
        )
    return {_RGB_PREFIX + key: value for key, value in weights.items()}


def load_color_network(name_or_path: str | Path) -> SiameseNetwork:
    """Load the network of a model that tracks color images.

    That of a HA-Net is the model that its manifest names as `color_model`, else its own RGB branch.

    Raises:
        ModelError: the model or its `color_model` does not exist or is damaged.
    """
    return find_color_network(load_network(name_or_path))


def find_color_network(network: SiameseNetwork) -> SiameseNetwork:
    """Return the network that tracks color images: the `color_model` of a HA-Net, or its RGB branch.

    Raises:
        ModelError: the `color_model` does not exist, is damaged, or has a spectral branch.
    """
    if not isinstance(network, HANet):
        return network
    name = network.config.color_model
    if not name:
        return network.extract_rgb_network()
    color_network = load_network(name)
    if isinstance(color_network, HANet):
        raise ModelError(f"color_model must be a model without a spectral branch: got {name}")
    return color_network
