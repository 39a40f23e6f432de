"""HA-Net, or its RGB branch alone, ready to run for one camera: two compiled graphs, arrays in and out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.graphs import online_part, search_graph, template_graph
from hsi_tracker_ros.hanet.network import SiameseNetwork
from tracking_runtime.engines import Engine, EngineSettings, load_engine, load_engines

Floats = NDArray[np.float32]
Kernels = tuple[Floats, ...]
"""A template as the search graph takes it: the kernels of ``SiameseNetwork.kernel_names``."""


class Maps(NamedTuple):
    """What a search gives: by how many logits target exceeds background, and distances to the box.

    Attributes:
        first: ``(targets, size, size)`` by the first template.
        online: ``(targets, size, size)`` by the online template.
        loc: left, top, right, bottom ``(targets, 4, size, size)`` in search pixels, by the first template.
    """

    first: Floats
    online: Floats
    loc: Floats


class SiameseModel:
    """The network's two halves on an engine.

    Shapes are static: a search graph is compiled for one target, and by ``prepare`` for 2, 4, 8, ...; a
    search uses those that there are, not always filled, one after the other, and never waits for a compiler,
    which another thread may run meanwhile.

    Args:
        network: its bands fixed (``HANet.bake``), if it has any.
        settings: of the engine.
        name: for logs.

    Attributes:
        config: what the network is built from.
        wavelengths_nm: of the cubes that it takes; None: it takes none, but pictures.
        grid: where the responses of a search crop lie.

    Raises:
        ValueError: the network's bands are not fixed.
        EngineError: no engine works.
    """

    def __init__(
        self, network: SiameseNetwork, settings: EngineSettings | None = None, name: str = "hanet"
    ) -> None:
        spectral = network.config.spectral
        if spectral is not None and spectral.wavelengths_nm is None:
            raise ValueError("bake the network for a camera first")
        self.config: HANetConfig = network.config
        self.wavelengths_nm = None if spectral is None else spectral.wavelengths_nm
        self.grid = network.rgb.grid
        self._network, self._settings, self._name = network.eval(), settings or EngineSettings(), name
        graphs = template_graph(self._network, 1, name), search_graph(self._network, 1, name)
        self._template, search = load_engines(graphs, self._settings)
        self._searches: dict[int, Engine] = {1: search}

    def crop_sizes(self, side: str) -> tuple[int, ...]:
        """Pixels along the side of each input's crop, of the ``template`` or the ``search`` side."""
        return self._network.crop_sizes(side)

    @property
    def description(self) -> str:
        """The engine that runs it."""
        return self._searches[1].description

    @property
    def largest_batch(self) -> int:
        """Targets that one run of a search graph takes at most."""
        return max(self._searches)

    def prepare(self, targets: int) -> None:
        """Compile a search graph for this many targets at once. Raises EngineError if no engine works."""
        batch = 1 << (targets - 1).bit_length()
        if batch in self._searches:
            return
        graph = search_graph(self._network, batch, self._name)
        self._searches = {**self._searches, batch: load_engine(graph, self._settings)}

    def encode(self, *crops: NDArray[Any]) -> Kernels:
        """Kernels of one template, without the leading axis of targets.

        Args:
            crops: BGR ``(127, 127, 3)`` uint8, and where the network has a spectral branch
                ``(size, size, bands)`` relative to the frame's mean in each band.
        """
        return tuple(array[0] for array in self._template.run(*(crop[None] for crop in crops)))

    def search(self, crops: Sequence[NDArray[Any]], first: Kernels, online: Kernels) -> Maps:
        """Responses of search crops, each to its own two templates.

        Args:
            crops: as of ``encode``, stacked over targets: BGR ``(targets, 255, 255, 3)``, ...
            first: kernels of the first templates, stacked.
            online: kernels of the online templates, stacked.
        """
        inputs = [*crops, *first, *online_part(online)]
        searches, parts, done, count = self._searches, [], 0, len(crops[0])
        while done < count:
            batch = _batch(searches, count - done)
            rows = slice(done, done + batch)
            parts.append(searches[batch].run(*(array[rows] for array in inputs)))
            done += batch
        return Maps(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _batch(sizes: Collection[int], targets: int) -> int:
    """Size of the next graph to run: one more than half used, or else the largest that is full."""
    fitting = [size for size in sizes if targets <= size < 2 * targets]
    return min(fitting) if fitting else max(size for size in sizes if size <= targets)


def stack(kernels: list[Kernels]) -> Kernels:
    """Kernels of several targets as one batch."""
    return tuple(np.stack(arrays) for arrays in zip(*kernels, strict=True))
