"""HA-Net, or its RGB branch, compiled for one camera: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.hanet.config import HANetConfig
from hsi_tracker_ros.hanet.graphs import make_search_graph, make_template_graph, select_online_kernels
from hsi_tracker_ros.hanet.network import SiameseNetwork
from tracking_runtime.engines import Engine, EngineSettings, load_engine, load_engines

Floats = NDArray[np.float32]
Kernels = tuple[Floats, ...]
"""The template of a target as inputs of the search graph, in the order of `SiameseNetwork.kernel_names`."""


class ResponseMaps(NamedTuple):
    """The outputs of a search: logits of target minus background, and box distances.

    Attributes:
        first: logits for the first template, `(targets, size, size)`.
        online: logits for the online template, `(targets, size, size)`.
        loc: left, top, right, bottom distances in search pixels for the first template,
            `(targets, 4, size, size)`.
    """

    first: Floats
    online: Floats
    loc: Floats


class SiameseModel:
    """The two halves of a network on an engine.

    Shapes are static. A search graph is compiled for one target, and by `compile_for_batch` for 2, 4, 8, ...
    targets. A search runs the compiled graphs one after the other, also partly filled. A search never waits
    for the compiler, which may run in another thread.

    Args:
        network: the network. Its bands must be fixed (`HANet.bake`).
        settings: settings of the engine.
        name: name of the model, for logs.

    Attributes:
        config: configuration of the network.
        wavelengths_nm: wavelengths of the cubes in nm; None for a network without a spectral branch.
        grid: positions of the responses in a search crop.
        geometry: sizes of the color crops.

    Raises:
        ValueError: the bands of the network are not fixed.
        EngineError: no engine works.
    """

    def __init__(
        self, network: SiameseNetwork, settings: EngineSettings | None = None, name: str = "hanet"
    ) -> None:
        spectral = network.config.spectral
        if spectral is not None and spectral.wavelengths_nm is None:
            raise ValueError("the bands of the network must be fixed: call HANet.bake first")
        self.config: HANetConfig = network.config
        self.wavelengths_nm = None if spectral is None else spectral.wavelengths_nm
        self.grid = network.rgb.grid
        self.geometry = network.rgb.geometry
        self._network = network.eval()
        self._settings = settings or EngineSettings()
        self._name = name
        graphs = make_template_graph(self._network, 1, name), make_search_graph(self._network, 1, name)
        self._template, search = load_engines(graphs, self._settings)
        self._searches: dict[int, Engine] = {1: search}

    def crop_sizes(self, side: str) -> tuple[int, ...]:
        """Return the side in pixels of each input's crop, for `side` `template` or `search`."""
        return self._network.crop_sizes(side)

    @property
    def description(self) -> str:
        """Description of the engine."""
        return self._searches[1].description

    @property
    def max_batch(self) -> int:
        """Largest number of targets of one run of a search graph."""
        return max(self._searches)

    def compile_for_batch(self, targets: int) -> None:
        """Compile a search graph for this many targets. Raise EngineError if no engine works."""
        batch = 1 << (targets - 1).bit_length()
        if batch in self._searches:
            return
        graph = make_search_graph(self._network, batch, self._name)
        self._searches = {**self._searches, batch: load_engine(graph, self._settings)}

    def release_batches(self, targets: int) -> None:
        """Free the search graphs for more than this number of targets, until they are needed again."""
        batch = 1 << (targets - 1).bit_length()
        self._searches = {size: engine for size, engine in self._searches.items() if size <= batch}

    def encode_template(self, *crops: NDArray[Any]) -> Kernels:
        """Return the kernels of one template, without the batch axis.

        Args:
            crops: BGR crop `(127, 127, 3)` uint8, and for a network with a spectral branch a cube crop
                `(size, size, bands)` relative to the frame's mean in each band.
        """
        return tuple(array[0] for array in self._template.run(*(crop[None] for crop in crops)))

    def search(self, crops: Sequence[NDArray[Any]], first: Kernels, online: Kernels) -> ResponseMaps:
        """Return the responses of search crops to the two templates of each.

        Args:
            crops: crops as for `encode_template`, stacked over targets: BGR `(targets, 255, 255, 3)`, ...
            first: kernels of the first templates, stacked.
            online: kernels of the online templates, stacked.
        """
        inputs = [*crops, *first, *select_online_kernels(online)]
        engines = self._searches
        num_targets = len(crops[0])
        outputs = []
        start = 0
        while start < num_targets:
            batch = _choose_batch(engines, num_targets - start)
            rows = slice(start, start + batch)
            outputs.append(engines[batch].run(*(array[rows] for array in inputs)))
            start += batch
        return ResponseMaps(*(np.concatenate(parts) for parts in zip(*outputs, strict=True)))


def _choose_batch(sizes: Collection[int], targets: int) -> int:
    """Return the batch of the next graph to run: one more than half full, else the largest full one."""
    fitting = [size for size in sizes if targets <= size < 2 * targets]
    return min(fitting) if fitting else max(size for size in sizes if size <= targets)


def stack_kernels(kernels: list[Kernels]) -> Kernels:
    """Stack the kernels of several targets to one batch."""
    return tuple(np.stack(arrays) for arrays in zip(*kernels, strict=True))
