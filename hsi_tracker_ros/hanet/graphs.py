"""HA-Net's two halves as graphs of static shapes, batched over targets, which every engine takes.

What the template half gives is among the inputs of the search half: nothing of a target is frozen into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hsi_tracker_ros.cubes.camera_presets import preset
from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.hanet.config import PRESETS
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_network
from tracking_runtime.engines import Graph
from tracking_runtime.engines.model_graphs import UNTRAINED
from tracking_runtime.errors import ModelError

RGB = "rgb"
MAPS = ("first", "online", "distances")

_LOC = 1


class TemplateGraph(nn.Module):
    """Crops of ``(batch, size, size, channels)`` to the kernels of their templates."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *crops: Tensor) -> tuple[Tensor, ...]:
        return self.network.encode_template(*_planes(self.network, crops))


class SearchGraph(nn.Module):
    """Crops and the kernels of two templates of each to maps of the responses."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        crops, kernels = len(self.network.crop_names), len(self.network.kernel_names)
        template = inputs[crops : crops + kernels]
        planes = _planes(self.network, inputs[:crops])
        return self.network.search(planes, template, inputs[crops + kernels :])


def _planes(network: nn.Module, crops: Sequence[Tensor]) -> list[Tensor]:
    """Channels first. Bytes are cast before they are moved: TensorRT does nothing else with them."""
    dtype = next(network.parameters()).dtype
    return [crop.to(dtype).permute(0, 3, 1, 2) for crop in crops]


def online_part(kernels: Sequence[Any]) -> tuple[Any, ...]:
    """What the search takes of an online template: all but the box, which is always the first template's."""
    return tuple(each for index, each in enumerate(kernels) if index != _LOC)


def template_graph(network: SiameseNetwork, batch: int, name: str) -> Graph:
    """The template half for so many targets; the network's bands are fixed."""
    examples = _crops(network, batch, "template")
    module = TemplateGraph(network).eval()
    return Graph(f"{name} template", module, examples, network.crop_names, _kernel_names(network))


def search_graph(network: SiameseNetwork, batch: int, name: str) -> Graph:
    """The search half for so many targets; the network's bands are fixed."""
    with torch.no_grad():
        given = TemplateGraph(network).eval()(*_crops(network, 1, "template"))
    template = tuple(kernel.contiguous() for kernel in given)
    kernels = _kernel_names(network)
    examples = (*_crops(network, 1, "search"), *template, *online_part(template))
    inputs = (*network.crop_names, *kernels, *(f"online_{kernel}" for kernel in online_part(kernels)))
    single = Graph(f"{name} search x1", SearchGraph(network).eval(), examples, inputs, MAPS)
    if batch == 1:
        return single
    examples = tuple(torch.cat([example] * batch) for example in examples)
    return replace(single, name=f"{name} search x{batch}", examples=examples, single=single)


def _kernel_names(network: SiameseNetwork) -> tuple[str, ...]:
    return tuple(f"{name}_kernels" for name in network.kernel_names)


def _crops(network: SiameseNetwork, batch: int, side: str) -> tuple[Tensor, ...]:
    """BGR pixels, and where there is a spectral branch a cube relative to its frame's mean."""
    image, *cube = network.crop_sizes(side)
    spectral = network.config.spectral
    bands = () if spectral is None else spectral.wavelengths_nm or ()
    return (
        torch.full((batch, image, image, 3), 128, dtype=torch.uint8),
        *(torch.ones(batch, size, size, len(bands)) for size in cube),
    )


def model_graphs(model: str, batches: Sequence[int] = (1,), camera: str = "") -> list[Graph]:
    """Every graph of a model.

    Args:
        model: name or path; ``untrained:`` and a preset: that network with random weights, to be measured.
        batches: numbers of targets for which there is a search graph; none: for one.
        camera: known camera, for which a model that fits any is fixed; ``rgb``: the RGB branch alone.

    Raises:
        ModelError: there is no such model, or it fits any camera and none is given.
        SourceError: there is no such camera.
    """
    network = open_network(model)
    name = Path(model.removeprefix(UNTRAINED)).stem
    if isinstance(network, HANet):
        network, name = _for_camera(network, name, camera)
    searches = (search_graph(network, batch, name) for batch in batches or (1,))
    return [template_graph(network, 1, name), *searches]


def _for_camera(network: HANet, name: str, camera: str) -> tuple[SiameseNetwork, str]:
    if camera == RGB:
        return network.rgb_alone(), f"{name} {RGB}"
    spectral = network.config.spectral
    if spectral is None or spectral.wavelengths_nm is not None:
        return network, name
    if not camera:
        raise ModelError(f"model {name} fits any camera: say which, by --camera")
    bands = Decoder(preset(camera)).cube_camera
    assert bands is not None, "a camera that is known by name has bands"
    return network.bake(bands.wavelengths_nm), name


def open_network(model: str) -> SiameseNetwork:
    """The network of a model.

    Args:
        model: as of ``model_graphs``.

    Raises:
        ModelError: there is no such model.
    """
    if not model.startswith(UNTRAINED):
        return load_network(model)
    config = PRESETS.get(model.removeprefix(UNTRAINED))
    if config is None or config.spectral is None:
        raise ModelError(f"no network named {model}; there are {UNTRAINED}hanet_r50, {UNTRAINED}hanet_edge")
    torch.manual_seed(0)
    return HANet(config).eval()
