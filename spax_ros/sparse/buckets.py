"""Graphs of one frame on active pixels, with static shapes, one for each bucket of tiles.

An engine runs the network of one frame with its peaks. Everything that depends on the number of active pixels
is among the inputs: the rows of the frame, the tables of its mask, and the last frame's state at this frame's
rows. To run a stream, with ``x`` ``(rows, C)`` from `SparseGrid.pack` or `SparseGrid.scatter_active`:

>>> graph = make_bucket_graph(network, num_tiles=768)  # module, example inputs, names of inputs and outputs
>>> ports = GraphPorts.for_network(network)            # the same for every bucket
>>> grid = SparseGrid(mask[None], num_levels, TILE_PX, lambda _: 768)  # ValueError with more active tiles
>>> state = last.warp_to(grid, shift)                  # outside of the graph: buckets may differ
>>> outputs = engine.run(*ports.pack_inputs(x, grid, state))
>>> peaks, last = ports.unpack_outputs(outputs, grid)
>>> detections = decode_peaks(peaks, grid, min_score)

Three steps are outside of the graph: the mask with its tables (`SparseGrid`), the warp of the state
(`NetworkState.warp_to`), and the conversion of peaks to boxes (`decode_peaks`). A stream's first frame has no
state, and a frame with more tiles than the largest bucket has no graph. Both run on `SpaxNetwork.step` and
`spax_ros.decoding.find_peaks`, with a `SparseGrid` of their own size. `spax_ros.inference` does all this.

The graph has one top-k with a constant number of peaks (450; TensorRT permits 3840), integer gathers,
convolutions, matrix products and arithmetic. Nothing depends on data, and all buckets have the same program.
An OpenVINO or ONNX file of one bucket is therefore given the shapes of the others (`Graph.shape_template`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spax_ros.decoding import MAX_PEAKS, Peaks, find_peaks
from spax_ros.network.config import SpaxConfig
from spax_ros.network.grid import Grid, Shift, view_as_rows
from spax_ros.network.network import NetworkState, SpaxNetwork
from spax_ros.sparse.fusion import fuse_network
from spax_ros.sparse.gather_tables import GatherTable, gather_rows
from spax_ros.sparse.grid import TILE_PX, SparseGrid
from spax_ros.sparse.operations import TableGrid, TableKey
from spax_ros.sparse.tile_budget import list_bucket_sizes, round_to_bucket
from spax_ros.weights import load_spax
from tracking_runtime.engines.base import Graph
from tracking_runtime.errors import ModelError

PEAK_FIELDS = ("scores", "classes", "rows", "sizes", "offsets")
"""Names of the outputs of the best peaks, each with `MAX_PEAKS` rows; see `spax_ros.decoding.Peaks`."""

NO_INT8_REASON = (
    "int8 does not accelerate SPAX because its layers have too few channels (0.96 to 1.07 of float32's time "
    "on AVX-512 with VNNI), and it lowers MOTA by 0.02; use bfloat16 (0.68 to 0.89 of float32's time)"
)
"""Measured on 128 and 640 tiles of both models. NNCF quantized convolutions and matrix products only, with
the full range of their inputs. With NNCF's own choice of ranges, no object is detected."""

_STRIP_TILES = 8  # tiles that are convolved as one image, a divisor of all bucket sizes
_MAX_STRIP_SIDE = 4  # pixels; larger tiles are large enough for a convolution of their own


class BucketGrid(TableGrid):
    """Grid of a graph, whose tables are inputs of the graph.

    Args:
        num_tiles: tiles of the bucket.
        num_levels: levels of the network.
        tables: tables by key.
        active: activity of the rows of level 0, ``(rows,)``: 1 for active pixels, 0 for all others.
        mean_weight: weight of each row of level 1 in the mean over the image, ``(rows,)``.
    """

    def __init__(
        self,
        num_tiles: int,
        num_levels: int,
        tables: Mapping[TableKey, GatherTable],
        active: Tensor,
        mean_weight: Tensor,
    ) -> None:
        self.sides = tuple(max(TILE_PX >> level, 1) for level in range(num_levels))
        self.active = active
        self._num_tiles = num_tiles
        self._tables = tables
        self._mean_weight = mean_weight
        self._strip_tables: dict[tuple[int, int], GatherTable] = {}

    def num_rows(self, level: int) -> int:
        return self._num_tiles * self.sides[level] ** 2

    def get_table(self, key: TableKey) -> GatherTable:
        return self._tables[key]

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        kernel, side = weight.shape[-1], self.sides[level]
        is_dense = weight.shape[1] == x.shape[1]
        has_strips = 1 < side <= _MAX_STRIP_SIDE and self._num_tiles % _STRIP_TILES == 0
        if kernel == 1 or stride > 1 or not is_dense or not has_strips:
            return super().conv(x, weight, bias, level, stride)
        # A convolution of wide images takes half the time of one of many small images. Consecutive tiles are
        # therefore one image, each with the pixels around it.
        margin, patch = kernel // 2, side + kernel - 1
        rows = gather_rows(x, self._get_strip_table(level, kernel))
        images = F.conv2d(rows.permute(0, 3, 1, 2), weight, bias, padding=(0, margin)).permute(0, 2, 3, 1)
        tiles = view_as_rows(images, side, _STRIP_TILES, patch, len(weight))
        pixels = tiles[:, :, :, margin : margin + side].permute(0, 2, 1, 3, 4)
        return view_as_rows(pixels, len(weight))

    def _get_strip_table(self, level: int, kernel: int) -> GatherTable:
        """Return the patch table of a kernel, with the patches of `_STRIP_TILES` tiles side by side."""
        key = level, kernel
        if key not in self._strip_tables:
            patch = self.sides[level] + kernel - 1
            indices = self.get_table(TableKey("patch", level, kernel)).indices
            strips = view_as_rows(indices, _STRIP_TILES, patch, patch).permute(0, 2, 1, 3)
            self._strip_tables[key] = GatherTable(view_as_rows(strips, patch, _STRIP_TILES * patch))
        return self._strip_tables[key]

    def mean(self, x: Tensor, level: int) -> Tensor:
        assert level == 1
        return (x * self._mean_weight[:, None]).sum(dim=0, keepdim=True)

    def warp(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        raise NotImplementedError("features are warped outside of the graph")

    def apply_where(
        self,
        is_selected: Tensor,
        function: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        return function(a, b) * is_selected[:, None, None].to(a.dtype)


@dataclass(frozen=True)
class GraphPorts:
    """Inputs and outputs of a network's graphs, the same for every bucket.

    Attributes:
        features: names of the state's features that the next frame uses.
        table_keys: keys of the tables that the network uses.
    """

    features: tuple[str, ...]
    table_keys: tuple[TableKey, ...]

    @classmethod
    def for_network(cls, network: SpaxNetwork) -> GraphPorts:
        """Find the ports of a network by a run on a single tile."""
        grid = _make_example_grid(network.config, 1)
        with torch.inference_mode():
            x = torch.zeros(grid.num_rows(0), network.config.input_channels)
            step = network.step(x, grid, network.step(x, grid, None).state)
            find_peaks(network, step.features, grid, grid.levels[0].active, 1)
        return cls(network.carried_features, grid.table_keys)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of `pack_inputs`."""
        return ("x", "active", "share", *self.features, *(key.name for key in self.table_keys))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs: peaks, mask, and the other features of the new state."""
        return (*PEAK_FIELDS, "mask_after", *(f"{name}_after" for name in self._state_outputs))

    def pack_inputs(self, x: Tensor, grid: SparseGrid, state: NetworkState) -> tuple[Tensor, ...]:
        """Return the inputs of a graph for one frame.

        Args:
            x: frame as network input, ``(rows, C)`` on `grid`.
            grid: pixels of one image, with the capacity of the graph.
            state: state of the last frame at the pixels of `grid`.
        """
        features, level = state.to_features(), grid.levels[1]
        _, height, width = level.shape
        return (
            x,
            grid.levels[0].active,
            level.active / (height * width),
            *(features[name] for name in self.features),
            *(grid.get_table(key).indices for key in self.table_keys),
        )

    def pack_outputs(self, peaks: Peaks, state: NetworkState) -> tuple[Tensor, ...]:
        """Return the outputs of a graph, in the order of `output_names`."""
        features = state.to_features()
        peak_outputs = (getattr(peaks, name) for name in PEAK_FIELDS)
        return (*peak_outputs, state.mask, *(features[name] for name in self._state_outputs))

    def unpack_outputs(self, outputs: Sequence[Tensor], grid: SparseGrid) -> tuple[Peaks, NetworkState]:
        """Return peaks and state from a graph's outputs for a frame on `grid`."""
        features = dict(zip(("mask", *self._state_outputs), outputs[len(PEAK_FIELDS) :], strict=True))
        return Peaks(*outputs[: len(PEAK_FIELDS)]), NetworkState.from_features(grid, features)

    @property
    def _state_outputs(self) -> tuple[str, ...]:
        return tuple(name for name in self.features if name != "mask")


class BucketStep(nn.Module):
    """Network of one frame for a number of tiles: `GraphPorts.pack_inputs` to `GraphPorts.pack_outputs`.

    Args:
        network: network of any variant that was trained with a carried state.
        num_tiles: tiles of the bucket.
    """

    def __init__(self, network: SpaxNetwork, num_tiles: int) -> None:
        super().__init__()
        self.network = fuse_network(network)
        self.num_tiles = num_tiles
        self.ports = GraphPorts.for_network(network)

    def forward(self, x: Tensor, active: Tensor, share: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Return the graph's outputs; the arguments are those of `GraphPorts.pack_inputs`."""
        num_levels = self.network.config.num_levels
        features, keys = self.ports.features, self.ports.table_keys
        state_inputs, table_inputs = others[: len(features)], others[len(features) :]
        tables = {key: GatherTable(indices) for key, indices in zip(keys, table_inputs, strict=True)}
        grid = BucketGrid(self.num_tiles, num_levels, tables, active, share)
        previous = NetworkState.from_features(grid, dict(zip(features, state_inputs, strict=True)))
        step = self.network.step(x, grid, previous)
        peaks = find_peaks(self.network, step.features, grid, active, MAX_PEAKS)
        return self.ports.pack_outputs(peaks, step.state)


def make_bucket_graph(network: SpaxNetwork, num_tiles: int, name: str = "spax") -> Graph:
    """Make the graph of a bucket.

    Args:
        network: network of any variant, with normalizations folded or not.
        num_tiles: tiles of the bucket, a size of `spax_ros.sparse.tile_budget.round_to_bucket`.
        name: name of the model.

    Raises:
        ModelError: the network runs over a window of frames, without a carried state.
    """
    if network.config.memory != "carried":
        raise ModelError(
            f"model {name} runs over a window of frames, but engines need memory: carried; "
            "use engine: pytorch"
        )
    smallest = round_to_bucket(1)
    has_template = num_tiles != smallest and num_tiles % _STRIP_TILES == 0
    template = _make_graph(network, smallest, f"{name} tiles") if has_template else None
    return replace(_make_graph(network, num_tiles, f"{name} {num_tiles} tiles"), shape_template=template)


def _make_graph(network: SpaxNetwork, num_tiles: int, name: str) -> Graph:
    module = BucketStep(network, num_tiles)
    ports = module.ports
    grid = _make_example_grid(network.config, num_tiles)
    x = torch.zeros(grid.num_rows(0), network.config.input_channels)
    inputs = ports.pack_inputs(x, grid, _make_example_state(network, grid, num_tiles))
    return Graph(
        name,
        module,
        tuple(tensor.clone() for tensor in inputs),
        ports.input_names,
        ports.output_names,
        int8_unavailable_reason=NO_INT8_REASON,
    )


@torch.no_grad()
def _make_example_state(network: SpaxNetwork, grid: SparseGrid, num_tiles: int) -> NetworkState:
    """Return the state after a single tile of zeros, repeated for all tiles."""
    single = _make_example_grid(network.config, 1)
    x = torch.zeros(single.num_rows(0), network.config.input_channels)
    features = network.step(x, single, None).state.to_features()
    repeated = {name: feature.repeat(num_tiles, 1) for name, feature in features.items()}
    return NetworkState.from_features(grid, repeated)


def model_graphs(
    model: str,
    batches: Sequence[int] = (128, 768, 3072),
    camera: str = "",  # noqa: ARG001
) -> list[Graph]:
    """Make the graphs of a model.

    Args:
        model: name or path of the model.
        batches: number of tiles of each graph; empty: all buckets.
        camera: ignored.

    Raises:
        ModelError: the model cannot be loaded, or runs over a window of frames.
    """
    loaded = load_spax(model)
    sizes = batches or list_bucket_sizes()
    return [make_bucket_graph(loaded.network, num_tiles, loaded.name) for num_tiles in sizes]


def _make_example_grid(config: SpaxConfig, num_tiles: int) -> SparseGrid:
    """Return the grid of an image in which exactly `num_tiles` tiles are active."""
    multiple = max(config.size_multiple // TILE_PX, 1)
    side = -(-ceil(sqrt(num_tiles)) // multiple) * multiple
    cells = np.arange(side**2).reshape(1, side, side) < num_tiles
    mask = cells.repeat(TILE_PX, 1).repeat(TILE_PX, 2)
    return SparseGrid(mask, config.num_levels, TILE_PX, lambda _: num_tiles)
