"""SPAX networks on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from spax_ros.network.config import SpaxConfig
from spax_ros.network.network import SpaxNetwork
from spax_ros.preprocessing import Inputs
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import load_model, save_model

ARCHITECTURE = "spax"


@dataclass(frozen=True)
class SpaxModel:
    """A network ready for inference, its normalisations folded into its convolutions."""

    name: str
    network: SpaxNetwork

    @property
    def config(self) -> SpaxConfig:
        """What the network is built from."""
        return self.network.config

    @property
    def inputs(self) -> Inputs:
        """What the network is told of a pixel."""
        return Inputs(self.config.inputs)


def load_spax(name_or_path: str | Path) -> SpaxModel:
    """Read a model.

    Raises:
        ModelError: it is missing, damaged, of another architecture, or its weights do not fit its parameters.
    """
    model = load_model(name_or_path, ARCHITECTURE)
    try:
        network = SpaxNetwork(SpaxConfig.from_parameters(model.manifest.parameters))
        network.load_state_dict(model.weights)
    except (ModelError, RuntimeError) as error:
        raise ModelError(f"{model.path}: {error}") from error
    return SpaxModel(model.manifest.name, network.requires_grad_(False).fold())


def save_spax(
    folder: Path,
    name: str,
    config: SpaxConfig,
    weights: Mapping[str, Tensor],
    *,
    training: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model's two files; returns the manifest's path."""
    parameters = config.as_parameters()
    return save_model(folder, name, ARCHITECTURE, parameters, weights, training=training, scores=scores)
