"""HA-Net's weights and manifest on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import load_model, save_model

ARCHITECTURE = "hanet"


def save_network(
    folder: Path,
    name: str,
    network: SiameseNetwork,
    *,
    precision: torch.dtype = torch.float16,
    training: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> Path:
    """Write the manifest and weights of a network, by default in float16. Return the manifest's path."""
    weights = {
        key: value.to(precision) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    parameters = network.config.to_parameters()
    return save_model(folder, name, ARCHITECTURE, parameters, weights, training=training, scores=scores)


def load_network(name_or_path: str | Path) -> SiameseNetwork:
    """Load the network of a model: a `HANet`, or a `SiameseNetwork` without a spectral branch.

    Raises:
        ModelError: the model does not exist, is damaged, or its weights do not fit. The message names the
            file and each missing, unexpected or misshaped weight.
    """
    model = load_model(name_or_path, ARCHITECTURE)
    config = HANetConfig.from_parameters(model.manifest.parameters)
    try:
        network = SiameseNetwork(config) if config.spectral is None else HANet(config)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{model.path} is not a HA-Net: {error}") from error
    try:
        network.load_state_dict(
            {
                key: value.float() if value.is_floating_point() else value
                for key, value in model.weights.items()
            }
        )
    except RuntimeError as error:
        raise ModelError(f"the weights of {model.path} do not fit its parameters: {error}") from error
    return network.eval()


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
