"""Graphs of buckets: static shapes, export, and equality with the sparse network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.decoding import MAX_PEAKS, decode_peaks, find_peaks
from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.network import NetworkState, SpaxNetwork
from spax_ros.sparse.buckets import (
    BucketStep,
    GraphPorts,
    make_bucket_graph,
    model_graphs,
)
from spax_ros.sparse.grid import TILE_PX, SparseGrid
from spax_ros.sparse.tile_budget import list_bucket_sizes
from tracking_runtime.engines import EngineSettings, load_engine
from tracking_runtime.errors import ModelError

SIDE = 128
TILES = 96
CONFIGS: dict[str, SpaxConfig] = {
    "base": replace(VARIANTS["base_satmtb"], widths=(8, 8, 16, 16, 16), head_width=8),
    "light": replace(VARIANTS["light_satvideodt"], widths=(8, 12, 16, 16), head_width=8),
}
STILL = np.zeros((1, 2), np.int64)


@pytest.fixture(params=sorted(CONFIGS), scope="module")
def network(request: pytest.FixtureRequest) -> SpaxNetwork:
    torch.manual_seed(2)
    network = SpaxNetwork(CONFIGS[request.param])
    for name in ("hm", "wh", "reg"):
        torch.nn.init.normal_(network.head(name).out.weight)
    return network.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def program(network: SpaxNetwork) -> torch.export.ExportedProgram:
    graph = make_bucket_graph(network, TILES)
    return torch.export.export(graph.module, graph.examples)


def make_masks() -> list[NDArray[np.bool_]]:
    """Return two masks of whole tiles, and one whose tiles contain inactive pixels."""
    rng = np.random.default_rng(0)
    masks = [np.kron(rng.random((1, 16, 16)) < 0.2, np.ones((1, TILE_PX, TILE_PX))) > 0 for _ in range(3)]
    masks[2] &= rng.random(masks[2].shape) < 0.7
    return masks


def make_frame(network: SpaxNetwork, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, network.config.input_channels, SIDE, SIDE, generator=generator)


@pytest.mark.slow
def test_exported_bucket_equals_the_sparse_network(
    network: SpaxNetwork, program: torch.export.ExportedProgram
) -> None:
    num_levels, ports = network.config.num_levels, GraphPorts.for_network(network)
    exact_state: NetworkState | None = None
    bucket_state: NetworkState | None = None
    for seed, mask in enumerate(make_masks()):
        image = make_frame(network, seed)
        exact_grid = SparseGrid(mask, num_levels)
        bucket_grid = SparseGrid(mask, num_levels, TILE_PX, lambda _: TILES)
        if exact_state is None or bucket_state is None:
            exact_state = network.step(exact_grid.pack(image), exact_grid, None).state
            bucket_state = network.step(bucket_grid.pack(image), bucket_grid, None).state
            continue

        expected = network.step(exact_grid.pack(image), exact_grid, exact_state.warp_to(exact_grid, STILL))
        inputs = ports.pack_inputs(
            bucket_grid.pack(image), bucket_grid, bucket_state.warp_to(bucket_grid, STILL)
        )
        peaks, bucket_state = ports.unpack_outputs(program.module()(*inputs), bucket_grid)
        exact_state = expected.state

        for name in network.carried_features:
            level = {"input1": 1, "p1": 1, "p2": 2}.get(name, 0)
            exact_feature = exact_state.to_features()[name]
            torch.testing.assert_close(
                bucket_grid.unpack(bucket_state.to_features()[name], level),
                exact_grid.unpack(exact_feature, level),
                atol=1e-5 * max(1.0, float(exact_feature.abs().max())),
                rtol=0,
            )
        detections = decode_peaks(peaks, bucket_grid, 0.02)
        exact_peaks = find_peaks(
            network, expected.features, exact_grid, exact_grid.levels[0].active, MAX_PEAKS
        )
        exact_detections = decode_peaks(exact_peaks, exact_grid, 0.02)
        assert len(detections) == len(exact_detections) > 100
        np.testing.assert_allclose(detections.scores, exact_detections.scores, atol=1e-5)


def test_graph_does_not_depend_on_data(program: torch.export.ExportedProgram) -> None:
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in targets if "nonzero" in name or ".item" in name or "sym_" in name}

    values = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert all(isinstance(side, int) for value in values for side in value.shape)


def test_graph_names_its_inputs_and_outputs(network: SpaxNetwork) -> None:
    graph = make_bucket_graph(network, 64, "some")

    assert isinstance(graph.module, BucketStep)
    assert graph.name == "some 64 tiles"
    assert len(graph.input_names) == len(graph.examples) == len(set(graph.input_names))
    with torch.no_grad():
        assert len(graph.module(*graph.examples)) == len(graph.output_names)
    assert graph.examples[0].shape == (64 * TILE_PX**2, network.config.input_channels)


@pytest.mark.slow
def test_openvino_outputs_of_shipped_model_equal_pytorch() -> None:
    pytest.importorskip("openvino")
    (graph,) = model_graphs("spax_small", (64,))
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(graph.examples[0].shape, generator=generator), *graph.examples[1:]]
    with torch.no_grad():
        expected = dict(zip(graph.output_names, graph.module(*inputs), strict=True))
    engine = load_engine(graph, EngineSettings(engine="openvino", threads=1))

    outputs = dict(zip(graph.output_names, engine.run(*(each.numpy() for each in inputs)), strict=True))

    is_active = inputs[1].numpy() > 0
    np.testing.assert_allclose(outputs["mask_after"][is_active], expected["mask_after"][is_active], atol=1e-4)
    np.testing.assert_allclose(outputs["scores"], expected["scores"], atol=1e-4)


@pytest.mark.slow
def test_graphs_of_all_buckets_have_one_program() -> None:
    graphs = model_graphs("spax_small", ())

    assert [graph.name for graph in graphs[:2]] == ["spax_small 64 tiles", "spax_small 80 tiles"]
    assert [len(graph.examples[0]) for graph in graphs] == [
        tiles * TILE_PX**2 for tiles in list_bucket_sizes()
    ]
    first, second = (torch.export.export(graph.module, graph.examples) for graph in graphs[:2])
    first_nodes, second_nodes = (
        [(str(node.target), str(node.args)) for node in program.run_decompositions().graph.nodes]
        for program in (first, second)
    )
    assert first_nodes == second_nodes


def test_window_model_has_no_graph() -> None:
    with pytest.raises(ModelError, match="window"):
        make_bucket_graph(SpaxNetwork(replace(CONFIGS["light"], memory="window")), 64)
