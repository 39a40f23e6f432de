"""The template half and the search half of HA-Net as graphs of static shapes, batched over targets.

The kernels of the template half are inputs of the search half. An engine is compiled once for all targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.hanet.config import PRESETS
from hsi_tracker_ros.hanet.network import HANet, SiameseNetwork
from hsi_tracker_ros.hanet.weights import find_color_network, load_network
from tracking_runtime.engines import Graph
from tracking_runtime.engines.model_graphs import UNTRAINED_PREFIX
from tracking_runtime.errors import ModelError

RGB = "rgb"
MAPS = ("first", "online", "distances")

_LOC = 1  # index of the box kernels


class TemplateGraph(nn.Module):
    """The template half: crops `(batch, size, size, channels)` to the kernels of templates."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *crops: Tensor) -> tuple[Tensor, ...]:
        return self.network.encode_template(*_to_channels_first(self.network, crops))


class SearchGraph(nn.Module):
    """The search half: crops and the kernels of two templates each to response maps."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        crops, kernels = len(self.network.crop_names), len(self.network.kernel_names)
        template = inputs[crops : crops + kernels]
        planes = _to_channels_first(self.network, inputs[:crops])
        return self.network.search(planes, template, inputs[crops + kernels :])


def _to_channels_first(network: nn.Module, crops: Sequence[Tensor]) -> list[Tensor]:
    """Return crops (batch, C, H, W) of crops (batch, H, W, C) in the type of the network.

    The cast comes first, because TensorRT supports no other operation on bytes.
    """
    dtype = next(network.parameters()).dtype
    return [crop.to(dtype).permute(0, 3, 1, 2) for crop in crops]


def select_online_kernels(kernels: Sequence[Any]) -> tuple[Any, ...]:
    """Return the kernels of an online template: all but the box kernels, which stay the first template's."""
    return tuple(kernel for index, kernel in enumerate(kernels) if index != _LOC)


def make_template_graph(network: SiameseNetwork, batch: int, name: str) -> Graph:
    """Return the template graph of a network with fixed bands, for `batch` targets."""
    examples = _make_example_crops(network, batch, "template")
    module = TemplateGraph(network).eval()
    return Graph(f"{name} template", module, examples, network.crop_names, _list_kernel_names(network))


def make_search_graph(network: SiameseNetwork, batch: int, name: str) -> Graph:
    """Return the search graph of a network with fixed bands, for `batch` targets.

    Inputs are the search crops, the kernels of the first template, and those of the online template, see
    `select_online_kernels`. Outputs are `MAPS`: target logits for either template, and distances to the sides
    of the box.
    """
    with torch.no_grad():
        example_kernels = TemplateGraph(network).eval()(*_make_example_crops(network, 1, "template"))
    template = tuple(kernel.contiguous() for kernel in example_kernels)
    kernels = _list_kernel_names(network)
    examples = (*_make_example_crops(network, 1, "search"), *template, *select_online_kernels(template))
    inputs = (
        *network.crop_names,
        *kernels,
        *(f"online_{kernel}" for kernel in select_online_kernels(kernels)),
    )
    graph = Graph(f"{name} search x1", SearchGraph(network).eval(), examples, inputs, MAPS)
    if batch == 1:
        return graph
    examples = tuple(torch.cat([example] * batch) for example in examples)
    return replace(graph, name=f"{name} search x{batch}", examples=examples, per_item_graph=graph)


def _list_kernel_names(network: SiameseNetwork) -> tuple[str, ...]:
    return tuple(f"{name}_kernels" for name in network.kernel_names)


def _make_example_crops(network: SiameseNetwork, batch: int, side: str) -> tuple[Tensor, ...]:
    """Return BGR crops, and with a spectral branch cube crops relative to the mean of the frame."""
    image, *cube = network.crop_sizes(side)
    spectral = network.config.spectral
    bands = () if spectral is None else spectral.wavelengths_nm or ()
    return (
        torch.full((batch, image, image, 3), 128, dtype=torch.uint8),
        *(torch.ones(batch, size, size, len(bands)) for size in cube),
    )


def make_model_graphs(model: str, batches: Sequence[int] = (1,), camera: str = "") -> list[Graph]:
    """Return all graphs of a model.

    Args:
        model: name or path of the model. `untrained:` and a preset: the preset with random weights, for
            benchmarks.
        batches: numbers of targets with a search graph each; empty: one target.
        camera: name of the camera for which a model for any camera is fixed. `rgb`: the network for color
            images.

    Raises:
        ModelError: the model does not exist, or it fits any camera and `camera` is empty.
        SourceError: the camera is unknown.
    """
    network = open_network(model)
    name = Path(model.removeprefix(UNTRAINED_PREFIX)).stem
    if isinstance(network, HANet):
        network, name = _select_for_camera(network, name, camera)
    searches = (make_search_graph(network, batch, name) for batch in batches or (1,))
    return [make_template_graph(network, 1, name), *searches]


def _select_for_camera(network: HANet, name: str, camera: str) -> tuple[SiameseNetwork, str]:
    if camera == RGB:
        return find_color_network(network), f"{name} {RGB}"
    spectral = network.config.spectral
    if spectral is None or spectral.wavelengths_nm is not None:
        return network, name
    if not camera:
        raise ModelError(f"model {name} fits any camera: name one by --camera")
    bands = Decoder(find_camera_preset(camera)).cube_camera
    assert bands is not None, "a camera preset has bands"
    return network.bake(bands.wavelengths_nm), name


def open_network(model: str) -> SiameseNetwork:
    """Return the network of a model.

    Args:
        model: name or path of the model, or `untrained:` and a preset.

    Raises:
        ModelError: the model does not exist.
    """
    if not model.startswith(UNTRAINED_PREFIX):
        return load_network(model)
    config = PRESETS.get(model.removeprefix(UNTRAINED_PREFIX))
    if config is None or config.spectral is None:
        raise ModelError(
            f"network {model} is unknown; available: {UNTRAINED_PREFIX}hanet_r50, "
            f"{UNTRAINED_PREFIX}hanet_edge"
        )
    torch.manual_seed(0)
    return HANet(config).eval()
