"""HA-Net ready to run for one camera: two compiled graphs, arrays in and out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsi_tracker_ros.hanet.config import HANetConfig, SpectralConfig
from hsi_tracker_ros.hanet.network import HANet, Template
from tracking_runtime.engines import Engine, EngineSettings, Graph, load_engine

Floats = NDArray[np.float32]


class Kernels(NamedTuple):
    """Templates as the search graph takes them, ``(targets, levels, channels, 5, 5)`` each."""

    cls: Floats
    loc: Floats
    hsi: Floats


class Maps(NamedTuple):
    """What a search gives: by how many logits target exceeds background, and distances to the box.

    Attributes:
        first: ``(targets, 25, 25)`` by the first template.
        online: ``(targets, 25, 25)`` by the online template.
        loc: left, top, right, bottom ``(targets, 4, 25, 25)`` in search pixels, by the first template.
    """

    first: Floats
    online: Floats
    loc: Floats


class _TemplateGraph(nn.Module):
    def __init__(self, network: HANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, cube: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            self.network.encode_template(image.float().permute(0, 3, 1, 2), cube.permute(0, 3, 1, 2))
        )


class _SearchGraph(nn.Module):
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
        image, cube = image.float().permute(0, 3, 1, 2), cube.permute(0, 3, 1, 2)
        return self.network.search(image, cube, Template(cls, loc, hsi), online_cls, online_hsi)


class HANetModel:
    """The network's two halves on an engine.

    Shapes are static: a search graph is compiled for one target, and by ``prepare`` for 2, 4, 8, ...; a
    search uses those that there are, filled up or one after the other, and never waits for a compiler.

    Args:
        network: its bands fixed (``HANet.bake``).
        settings: of the engine.
        name: for logs.

    Raises:
        ValueError: the network's bands are not fixed.
        EngineError: no engine works.
    """

    def __init__(self, network: HANet, settings: EngineSettings | None = None, name: str = "hanet") -> None:
        spectral = network.config.spectral
        if spectral is None or spectral.wavelengths_nm is None:
            raise ValueError("bake the network for a camera first")
        self.config: HANetConfig = network.config
        self.spectral: SpectralConfig = spectral
        self.wavelengths_nm: tuple[float, ...] = spectral.wavelengths_nm
        self._network, self._settings, self._name = network.eval(), settings or EngineSettings(), name
        self._template = self._load("template", _TemplateGraph(network), self._crops(1, "template"), ())
        self._searches: dict[int, Engine] = {}
        self.prepare(1)

    @property
    def description(self) -> str:
        """The engine that runs it."""
        return self._searches[1].description

    def prepare(self, targets: int) -> None:
        """Compile a search graph for this many targets at once."""
        batch = 1 << (targets - 1).bit_length()
        if batch in self._searches:
            return
        with torch.no_grad():
            template = _TemplateGraph(self._network)(*self._crops(batch, "template"))
        examples = (*self._crops(batch, "search"), *template, template[0], template[2])
        names = ("cls", "loc", "hsi", "online_cls", "online_hsi")
        self._searches[batch] = self._load(f"search x{batch}", _SearchGraph(self._network), examples, names)

    def encode(self, image: NDArray[np.uint8], cube: Floats) -> Kernels:
        """Kernels of one template, without the leading axis of targets.

        Args:
            image: BGR ``(127, 127, 3)``.
            cube: ``(size, size, bands)`` relative to the frame's mean in each band.
        """
        return Kernels(*(array[0] for array in self._template.run(image[None], cube[None])))

    def search(self, images: NDArray[np.uint8], cubes: Floats, first: Kernels, online: Kernels) -> Maps:
        """Responses of search crops, each to its own two templates.

        Args:
            images: BGR ``(targets, 255, 255, 3)``.
            cubes: ``(targets, size, size, bands)`` relative to the frame's mean in each band.
            first: kernels of the first templates, stacked.
            online: kernels of the online templates, stacked.
        """
        inputs: list[NDArray[Any]] = [images, cubes, *first, online.cls, online.hsi]
        parts, done = [], 0
        while done < len(images):
            batch = self._batch(len(images) - done)
            taken = min(batch, len(images) - done)
            rows = np.minimum(np.arange(done, done + batch), len(images) - 1)
            outputs = self._searches[batch].run(*(array[rows] for array in inputs))
            parts.append([output[:taken] for output in outputs])
            done += taken
        return Maps(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _batch(self, targets: int) -> int:
        """Size of the next graph to run: one more than half used, or else the largest that is full."""
        fitting = [size for size in self._searches if targets <= size < 2 * targets]
        return min(fitting) if fitting else max(size for size in self._searches if size <= targets)

    def _crops(self, batch: int, side: str) -> tuple[Tensor, Tensor]:
        image, cube = getattr(self.config, f"{side}_size"), getattr(self.spectral, f"{side}_size")
        bands = len(self.wavelengths_nm)
        return (
            torch.full((batch, image, image, 3), 128, dtype=torch.uint8),
            torch.ones(batch, cube, cube, bands),
        )

    def _load(
        self, half: str, module: nn.Module, examples: tuple[Any, ...], names: tuple[str, ...]
    ) -> Engine:
        outputs = Maps._fields if names else Kernels._fields
        graph = Graph(f"{self._name} {half}", module.eval(), examples, ("image", "cube", *names), outputs)
        return load_engine(graph, self._settings)


def stack(kernels: list[Kernels]) -> Kernels:
    """Kernels of several targets as one batch."""
    return Kernels(*(np.stack(arrays) for arrays in zip(*kernels, strict=True)))
