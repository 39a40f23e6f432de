"""HA-Net ready to run for one camera: two compiled graphs, arrays in and out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.config import HANetConfig, SpectralConfig
from hsi_tracker_ros.hanet.graphs import search_graph, template_graph
from hsi_tracker_ros.hanet.network import HANet
from tracking_runtime.engines import Engine, EngineSettings, load_engine

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
        self._template = load_engine(template_graph(self._network, 1, name), self._settings)
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
        graph = search_graph(self._network, batch, self._name)
        self._searches[batch] = load_engine(graph, self._settings)

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


def stack(kernels: list[Kernels]) -> Kernels:
    """Kernels of several targets as one batch."""
    return Kernels(*(np.stack(arrays) for arrays in zip(*kernels, strict=True)))
