"""The graphs of a model, by its name, from the package that knows its architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from tracking_runtime.engines.base import Graph
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import Manifest, find_model, read_manifest

GRAPHS = "remote_sensing_tracking.graphs"
UNTRAINED = "untrained:"


@dataclass(frozen=True)
class Networks:
    """A model as engines take it.

    Attributes:
        manifest: what the model is.
        graphs: all of it, each with static shapes.
    """

    manifest: Manifest
    graphs: tuple[Graph, ...]


def open_networks(
    model: str, batches: Sequence[int] = (), camera: str = "", *, every: bool = False
) -> Networks:
    """A model's graphs.

    Args:
        model: name or path; or ``untrained:`` and a network's name, with random weights, to be measured.
        batches: sizes of its graphs: targets at once, or tiles of active pixels; none: the usual.
        camera: known by name, where the model fits any.
        every: without ``batches`` all sizes that its tracker uses, not the usual.

    Raises:
        ModelError: there is no such model, or nothing here knows its architecture.
        SourceError: there is no such camera.
    """
    manifest = manifest_of(model)
    points = {point.name: point for point in entry_points(group=GRAPHS)}
    if manifest.architecture not in points:
        known = ", ".join(sorted(points)) or "none"
        raise ModelError(f"model {model}: no graphs of architecture {manifest.architecture}; known: {known}")
    make = points[manifest.architecture].load()
    graphs = make(model, tuple(batches), camera=camera) if batches or every else make(model, camera=camera)
    return Networks(manifest, tuple(graphs))


def manifest_of(model: str) -> Manifest:
    """What a model is; of ``untrained:`` and a network's name as much as there is to say.

    Raises:
        ModelError: there is no such model.
    """
    if not model.startswith(UNTRAINED):
        return read_manifest(find_model(model))
    name = model.removeprefix(UNTRAINED)
    return Manifest(name, name.partition("_")[0], {}, "", training={"data": "none: random weights"})
