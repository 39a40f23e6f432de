"""One frame on active pixels as a graph of static shapes, one for each bucket of tiles.

What an engine runs is a frame's network with its peaks; what depends on the number of active pixels is among
its inputs: the frame by rows, the tables of its mask, and the last frame's state at this frame's rows. To run
a stream, with ``x`` ``(rows, C)`` as of ``PackedGrid.pack`` or ``PackedGrid.spread``:

>>> graph = bucket_graph(network, tiles=768)    # module, example inputs, names of inputs and outputs
>>> ports = Ports.of(network)                   # the same for every bucket
>>> grid = PackedGrid(mask[None], levels, TILE, lambda _: 768)  # ValueError with more active tiles
>>> state = last.at(grid, shift)                # fetched outside of the graph: buckets may differ
>>> outputs = engine.run(*ports.inputs(x, grid, state))
>>> peaks, last = ports.read(outputs, grid)
>>> found = peaks_to_detections(peaks, grid, least_score)

Outside of the graph stay the mask and its tables (``PackedGrid``), the state's way to the next frame
(``State.at``: fetches), and after it ``peaks_to_detections``: dropping peaks below the least score, rows to
places, boxes. A stream's first frame has no state, and what has more tiles than the largest bucket has no
graph: both run on ``SpaxNetwork.step`` and ``spax_ros.decoding.best_peaks``, with a ``PackedGrid`` of its
own size (``spax_ros.inference`` does all this). The graph has one top-k, of a constant number of peaks (450;
TensorRT takes 3840 at most), integer fetches, convolutions, products of matrices and arithmetic; nothing in
it depends on data, and the program is the same for every bucket: what is made of it once, an OpenVINO or ONNX
file, is given the shapes of the others (``Graph.pattern``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np
import torch
from torch import Tensor, nn

from spax_ros.decoding import MOST_PEAKS, Peaks, best_peaks
from spax_ros.network.config import SpaxConfig
from spax_ros.network.grid import Grid, Shift
from spax_ros.network.network import SpaxNetwork, State
from spax_ros.sparse.gather_tables import Table
from spax_ros.sparse.grid import TILE, PackedGrid
from spax_ros.sparse.operations import Key, TableGrid
from spax_ros.sparse.tile_budget import bucket, bucket_sizes
from spax_ros.weights import load_spax
from tracking_runtime.engines.base import Graph
from tracking_runtime.errors import ModelError

PEAKS = ("scores", "classes", "rows", "sizes", "offsets")
"""What a graph says of the best peaks, each with ``MOST_PEAKS`` rows; see ``spax_ros.decoding.Peaks``."""


NO_INT8 = (
    "SPAX gains nothing by int8, its layers have too few channels: on AVX-512 with VNNI it takes 0.96 to "
    "1.07 of float32's time, where bfloat16 takes 0.68 to 0.89, and it loses 0.02 of MOTA; take bfloat16"
)
"""Measured on 128 and 640 tiles of both models, calibrated by NNCF with convolutions and products alone in
int8 and the whole range of what they see; with NNCF's own choice of ranges nothing is found any more."""


class BucketGrid(TableGrid):
    """The grid of a graph: its tables are tensors given from outside.

    Args:
        tiles: of the bucket.
        levels: of the network.
        tables: by key.
        active: ``(rows,)`` 1 for the active pixels of level 0, 0 for the others.
        share: ``(rows of level 1,)`` share in the mean over the image.
    """

    def __init__(
        self, tiles: int, levels: int, tables: Mapping[Key, Table], active: Tensor, share: Tensor
    ) -> None:
        self.sides = tuple(max(TILE >> level, 1) for level in range(levels))
        self._tiles_given, self._tables = tiles, tables
        self.active, self._share = active, share

    def rows(self, level: int) -> int:
        return self._tiles_given * self.sides[level] ** 2

    def table(self, key: Key) -> Table:
        return self._tables[key]

    def mean(self, x: Tensor, level: int) -> Tensor:
        assert level == 1
        return (x * self._share[:, None]).sum(dim=0, keepdim=True)

    def carry(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        raise NotImplementedError("features are carried outside of the graph")

    def where_seen(
        self,
        seen: Tensor,
        make: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        return make(a, b) * seen[:, None, None].to(a.dtype)


@dataclass(frozen=True)
class Ports:
    """What the graphs of a network take and give, whatever their bucket.

    Attributes:
        features: parts of the state that the next frame uses.
        keys: of the tables that a frame's network asks for.
    """

    features: tuple[str, ...]
    keys: tuple[Key, ...]

    @classmethod
    def of(cls, network: SpaxNetwork) -> Ports:
        """Those of a network, found out by a run on a single tile."""
        grid = _example_grid(network.config, 1)
        with torch.inference_mode():
            x = torch.zeros(grid.rows(0), network.config.input_channels)
            step = network.step(x, grid, network.step(x, grid, None).state)
            best_peaks(network, step.features, grid, grid.levels[0].active, 1)
        return cls(network.remembered, grid.made)

    @property
    def input_names(self) -> tuple[str, ...]:
        """In the order of ``inputs``."""
        return ("x", "active", "share", *self.features, *(key.name for key in self.keys))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Peaks, the mask's probabilities, and the other features of the new state."""
        return (*PEAKS, "mask_after", *(f"{name}_after" for name in self._kept))

    def inputs(self, x: Tensor, grid: PackedGrid, state: State) -> tuple[Tensor, ...]:
        """What a graph is given for a frame.

        Args:
            x: ``(rows, C)`` the frame on ``grid``.
            grid: one image's, with room for the graph's tiles.
            state: the last frame's, at the pixels of ``grid``.
        """
        features, level = state.features(), grid.levels[1]
        _, height, width = level.shape
        return (
            x,
            grid.levels[0].active,
            level.active / (height * width),
            *(features[name] for name in self.features),
            *(grid.table(key).numbers for key in self.keys),
        )

    def outputs(self, peaks: Peaks, state: State) -> tuple[Tensor, ...]:
        """What a graph gives."""
        features = state.features()
        return (*(getattr(peaks, name) for name in PEAKS), state.mask, *(features[k] for k in self._kept))

    def read(self, outputs: Sequence[Tensor], grid: PackedGrid) -> tuple[Peaks, State]:
        """Peaks and state from a graph's outputs for a frame on ``grid``."""
        features = dict(zip(("mask", *self._kept), outputs[len(PEAKS) :], strict=True))
        return Peaks(*outputs[: len(PEAKS)]), State.of(grid, features)

    @property
    def _kept(self) -> tuple[str, ...]:
        return tuple(name for name in self.features if name != "mask")


class BucketStep(nn.Module):
    """A frame's network for a number of tiles: ``Ports.inputs`` to ``Ports.outputs``.

    Args:
        network: of any variant; it must have been trained with its state carried.
        tiles: of the bucket.
    """

    def __init__(self, network: SpaxNetwork, tiles: int) -> None:
        super().__init__()
        self.network, self.tiles, self.ports = network, tiles, Ports.of(network)

    def forward(self, x: Tensor, active: Tensor, share: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Peaks, the mask's probabilities ``(rows, 1)``, and the features of the new state."""
        levels, features, keys = self.network.config.levels, self.ports.features, self.ports.keys
        state, tables = others[: len(features)], others[len(features) :]
        given = {key: Table(numbers) for key, numbers in zip(keys, tables, strict=True)}
        grid = BucketGrid(self.tiles, levels, given, active, share)
        last = State.of(grid, dict(zip(features, state, strict=True)))
        step = self.network.step(x, grid, last)
        peaks = best_peaks(self.network, step.features, grid, active, MOST_PEAKS)
        return self.ports.outputs(peaks, step.state)


def bucket_graph(network: SpaxNetwork, tiles: int, name: str = "spax") -> Graph:
    """The graph for a bucket: its module, examples of its inputs, and their names.

    Args:
        network: of any variant, normalisations folded or not.
        tiles: of the bucket, of 8 x 8 pixels; one of ``spax_ros.sparse.tile_budget.bucket``'s sizes.
        name: of the model.

    Raises:
        ModelError: the network runs over a window of frames: its state is not carried.
    """
    if network.config.memory != "carried":
        raise ModelError(f"{name} runs over a window of frames; graphs are for memory: carried")
    pattern = None if tiles == bucket(1) else _graph(network, bucket(1), f"{name} tiles")
    return replace(_graph(network, tiles, f"{name} {tiles} tiles"), pattern=pattern)


def _graph(network: SpaxNetwork, tiles: int, name: str) -> Graph:
    module, grid = BucketStep(network.eval(), tiles), _example_grid(network.config, tiles)
    x = torch.zeros(grid.rows(0), network.config.input_channels)
    ports = module.ports
    examples = tuple(tensor.clone() for tensor in ports.inputs(x, grid, _example_state(network, grid, tiles)))
    return Graph(name, module, examples, ports.input_names, ports.output_names, no_int8=NO_INT8)


@torch.no_grad()
def _example_state(network: SpaxNetwork, grid: PackedGrid, tiles: int) -> State:
    """What is left by a single tile without anything, for each of so many tiles."""
    one = _example_grid(network.config, 1)
    features = network.step(
        torch.zeros(one.rows(0), network.config.input_channels), one, None
    ).state.features()
    return State.of(grid, {name: feature.repeat(tiles, 1) for name, feature in features.items()})


def model_graphs(
    model: str,
    batches: Sequence[int] = (128, 768, 3072),
    camera: str = "",
) -> list[Graph]:
    """The graphs of a model, by name or path, one for each number of tiles in ``batches``; none: all buckets.

    Raises:
        ModelError: there is no such model, or it runs over a window.
    """
    loaded = load_spax(model)
    return [bucket_graph(loaded.network, tiles, loaded.name) for tiles in batches or bucket_sizes()]


def _example_grid(config: SpaxConfig, tiles: int) -> PackedGrid:
    """An image's in which all tiles move that there is room for."""
    multiple = max(config.multiple // TILE, 1)
    side = -(-ceil(sqrt(tiles)) // multiple) * multiple
    cells = np.arange(side**2).reshape(1, side, side) < tiles
    return PackedGrid(cells.repeat(TILE, 1).repeat(TILE, 2), config.levels, TILE, lambda _: tiles)
