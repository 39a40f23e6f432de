"""HA-Net's two halves as graphs of static shapes, batched over targets, which every engine takes.

What the template half gives is among the inputs of the search half: nothing of a target is frozen into it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.cubes.presets import preset
from hsi_tracker_ros.hanet.config import PRESETS
from hsi_tracker_ros.hanet.network import HANet, Template
from hsi_tracker_ros.hanet.storage import load_network
from tracking_runtime.engines import Graph
from tracking_runtime.errors import ModelError

UNTRAINED = "untrained:"
KERNELS = ("cls_kernels", "loc_kernels", "hsi_kernels")
ONLINE_KERNELS = ("online_cls_kernels", "online_hsi_kernels")
MAPS = ("first", "online", "distances")


class TemplateGraph(nn.Module):
    """Crops of ``(batch, size, size, channels)`` to the kernels of their templates."""

    def __init__(self, network: HANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, cube: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.encode_template(*_channels_first(image, cube)))


class SearchGraph(nn.Module):
    """Crops and the kernels of two templates of each to maps of the responses."""

    def __init__(self, network: HANet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        image: Tensor,
        cube: Tensor,
        cls: Tensor,
        loc: Tensor,
        hsi: Tensor,
        online_cls: Tensor,
        online_hsi: Tensor,
    ) -> tuple[Tensor, ...]:
        crops = _channels_first(image, cube)
        return self.network.search(*crops, Template(cls, loc, hsi), online_cls, online_hsi)


def _channels_first(image: Tensor, cube: Tensor) -> tuple[Tensor, Tensor]:
    """Bytes are cast before they are moved: TensorRT does nothing else with them."""
    return image.to(cube.dtype).permute(0, 3, 1, 2), cube.permute(0, 3, 1, 2)


def template_graph(network: HANet, batch: int, name: str) -> Graph:
    """The template half for so many targets; the network's bands are fixed."""
    examples = _crops(network, batch, "template")
    return Graph(f"{name} template", TemplateGraph(network).eval(), examples, ("image", "cube"), KERNELS)


def search_graph(network: HANet, batch: int, name: str) -> Graph:
    """The search half for so many targets; the network's bands are fixed."""
    with torch.no_grad():
        cls, loc, hsi = TemplateGraph(network).eval()(*_crops(network, batch, "template"))
    examples = (*_crops(network, batch, "search"), cls, loc, hsi, cls, hsi)
    inputs = ("image", "cube", *KERNELS, *ONLINE_KERNELS)
    return Graph(f"{name} search x{batch}", SearchGraph(network).eval(), examples, inputs, MAPS)


def _crops(network: HANet, batch: int, side: str) -> tuple[Tensor, Tensor]:
    """BGR pixels, and a cube relative to its frame's mean."""
    spectral = network.config.spectral
    if spectral is None or spectral.wavelengths_nm is None:
        raise ValueError("bake the network for a camera first")
    image, cube = getattr(network.config, f"{side}_size"), getattr(spectral, f"{side}_size")
    return (
        torch.full((batch, image, image, 3), 128, dtype=torch.uint8),
        torch.ones(batch, cube, cube, len(spectral.wavelengths_nm)),
    )


def model_graphs(model: str, batches: tuple[int, ...], camera: str = "") -> list[Graph]:
    """Every graph of a model.

    Args:
        model: name or path; ``untrained:`` and a preset: that network with random weights, to be measured.
        batches: numbers of targets for which there is a search graph.
        camera: known camera, for which a model that fits any is fixed.

    Raises:
        ModelError: there is no such model, or it fits any camera and none is given.
        SourceError: there is no such camera.
    """
    network, name = open_network(model, camera)
    return [template_graph(network, 1, name), *(search_graph(network, batch, name) for batch in batches)]


def open_network(model: str, camera: str = "") -> tuple[HANet, str]:
    """A network with its bands fixed, and its name. Arguments and errors as of ``model_graphs``."""
    network = _untrained(model) if model.startswith(UNTRAINED) else load_network(model)
    spectral = network.config.spectral
    if spectral is not None and spectral.wavelengths_nm is None:
        if not camera:
            raise ModelError(f"model {model} fits any camera: say which, by --camera")
        bands = Decoder(preset(camera)).cube_camera
        assert bands is not None, "a camera that is known by name has bands"
        network = network.bake(bands.wavelengths_nm)
    return network, model.rpartition("/")[2].removeprefix(UNTRAINED).partition(".")[0]


def _untrained(model: str) -> HANet:
    config = PRESETS.get(model.removeprefix(UNTRAINED))
    if config is None or config.spectral is None:
        raise ModelError(f"no network named {model}; there are {UNTRAINED}hanet_r50, {UNTRAINED}hanet_edge")
    torch.manual_seed(0)
    return HANet(config).eval()
