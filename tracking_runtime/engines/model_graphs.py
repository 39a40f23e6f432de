"""Graphs of a model, from the package that knows the model's architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracking_runtime.engines.base import Graph
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import Manifest, find_model, read_manifest
from tracking_runtime.plugins import GRAPHS, find_plugins, load_plugin

UNTRAINED_PREFIX = "untrained:"
"""Prefix of a network's name that asks for random weights, for time measurements."""


@dataclass(frozen=True)
class ModelGraphs:
    """A model as graphs for engines.

    Attributes:
        manifest: manifest of the model.
        graphs: all graphs of the model, each with static shapes.
    """

    manifest: Manifest
    graphs: tuple[Graph, ...]


def open_model_graphs(
    model: str, batch_sizes: Sequence[int] = (), camera: str = "", *, use_all_sizes: bool = False
) -> ModelGraphs:
    """Load the graphs of a model.

    Args:
        model: name or path of a model, or `untrained:` and a network's name for random weights.
        batch_sizes: sizes of the graphs: number of targets (HA-Net), or of tiles of active pixels (SPAX).
            Empty: the usual sizes.
        camera: name of a known camera, for a model that fits any camera.
        use_all_sizes: True if empty `batch_sizes` mean all sizes that the tracker uses.

    Raises:
        ModelError: the model does not exist, or no installed package knows its architecture.
        SourceError: the camera is unknown.
    """
    manifest = read_model_manifest(model)
    architecture = manifest.architecture
    plugins = find_plugins(GRAPHS)
    if architecture not in plugins:
        known = ", ".join(plugins) or "none"
        raise ModelError(f"model {model}: no graphs of architecture {architecture}; known: {known}")
    make_graphs = load_plugin(GRAPHS, architecture)
    if batch_sizes or use_all_sizes:
        graphs = make_graphs(model, tuple(batch_sizes), camera=camera)
    else:
        graphs = make_graphs(model, camera=camera)
    return ModelGraphs(manifest, tuple(graphs))


def read_model_manifest(model: str) -> Manifest:
    """Read the manifest of a model. For `untrained:NAME`, make a manifest without weights.

    Raises:
        ModelError: the model does not exist.
    """
    if not model.startswith(UNTRAINED_PREFIX):
        return read_manifest(find_model(model))
    name = model.removeprefix(UNTRAINED_PREFIX)
    return Manifest(name, name.partition("_")[0], {}, "", training={"data": "none: random weights"})
