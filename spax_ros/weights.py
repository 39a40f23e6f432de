"""SPAX models on disk: manifest and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from spax_ros.network.config import SpaxConfig
from spax_ros.network.network import SpaxNetwork
from spax_ros.preprocessing import PixelEncoder
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import load_model, save_model

ARCHITECTURE = "spax"


@dataclass(frozen=True)
class LoadedModel:
    """Network ready for inference, with its normalizations folded into the convolutions.

    Attributes:
        name: name of the model.
        network: network without gradients, in evaluation mode.
    """

    name: str
    network: SpaxNetwork

    @property
    def config(self) -> SpaxConfig:
        """Structure and widths of the network."""
        return self.network.config

    @property
    def pixel_encoder(self) -> PixelEncoder:
        """Encoder of the network's input."""
        return PixelEncoder(self.config.inputs)


def load_spax(name_or_path: str | Path) -> LoadedModel:
    """Load a model by name or path of its manifest.

    Raises:
        ModelError: the model is missing, damaged or of another architecture, or its weights do not fit its
            parameters.
    """
    model = load_model(name_or_path, ARCHITECTURE)
    try:
        network = SpaxNetwork(SpaxConfig.from_parameters(model.manifest.parameters))
        network.load_state_dict(model.weights)
    except (ModelError, RuntimeError) as error:
        raise ModelError(f"{model.path}: {error}") from error
    return LoadedModel(model.manifest.name, network.requires_grad_(False).fold())


def save_spax(
    folder: Path,
    name: str,
    config: SpaxConfig,
    weights: Mapping[str, Tensor],
    *,
    training: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> Path:
    """Write the manifest and the weights of a model; return the manifest's path.

    Args:
        folder: folder of the files.
        name: name of the model.
        config: structure and widths of the network.
        weights: weights by name.
        training: facts about the training, for the manifest.
        scores: scores of the model, for the manifest.
    """
    parameters = config.to_parameters()
    return save_model(folder, name, ARCHITECTURE, parameters, weights, training=training, scores=scores)
