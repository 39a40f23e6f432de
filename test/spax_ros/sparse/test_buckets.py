"""A bucket's graph has static shapes, exports, and says what the packed network says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.decoding import MOST_PEAKS, best_peaks, peaks_to_detections
from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.network import SpaxNetwork, State
from spax_ros.sparse.buckets import (
    BucketStep,
    Ports,
    bucket_graph,
    model_graphs,
)
from spax_ros.sparse.grid import TILE, PackedGrid
from spax_ros.sparse.tile_budget import bucket_sizes
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
    graph = bucket_graph(network, TILES)
    return torch.export.export(graph.module, graph.examples)


def masks() -> list[NDArray[np.bool_]]:
    """Whole tiles, then tiles of which some pixels are inactive."""
    rng = np.random.default_rng(0)
    cells = [np.kron(rng.random((1, 16, 16)) < 0.2, np.ones((1, TILE, TILE))) > 0 for _ in range(3)]
    cells[2] &= rng.random(cells[2].shape) < 0.7
    return cells


def frame(network: SpaxNetwork, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, network.config.input_channels, SIDE, SIDE, generator=generator)


def test_an_exported_bucket_says_what_the_packed_network_says(
    network: SpaxNetwork, program: torch.export.ExportedProgram
) -> None:
    levels, ports = network.config.levels, Ports.of(network)
    exact: State | None = None
    padded: State | None = None
    for seed, mask in enumerate(masks()):
        image = frame(network, seed)
        grid, roomy = PackedGrid(mask, levels), PackedGrid(mask, levels, TILE, lambda _: TILES)
        if exact is None or padded is None:
            exact = network.step(grid.pack(image), grid, None).state
            padded = network.step(roomy.pack(image), roomy, None).state
            continue
        expected = network.step(grid.pack(image), grid, exact.at(grid, STILL))
        outputs = program.module()(*ports.inputs(roomy.pack(image), roomy, padded.at(roomy, STILL)))
        peaks, padded = ports.read(outputs, roomy)
        exact = expected.state
        for name in network.remembered:
            level = {"input1": 1, "p1": 1, "p2": 2}.get(name, 0)
            torch.testing.assert_close(
                roomy.unpack(padded.features()[name], level),
                grid.unpack(exact.features()[name], level),
                atol=1e-5 * max(1.0, float(exact.features()[name].abs().max())),
                rtol=0,
            )
        ours = peaks_to_detections(peaks, roomy, 0.02)
        exactly = best_peaks(network, expected.features, grid, grid.levels[0].active, MOST_PEAKS)
        theirs = peaks_to_detections(exactly, grid, 0.02)
        assert len(ours) == len(theirs) > 100
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)


def test_nothing_in_the_graph_depends_on_data(program: torch.export.ExportedProgram) -> None:
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in targets if "nonzero" in name or ".item" in name or "sym_" in name}
    values = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), Tensor)]
    assert all(isinstance(side, int) for value in values for side in value.shape)


def test_names_are_of_inputs_and_outputs(network: SpaxNetwork) -> None:
    graph = bucket_graph(network, 64, "some")
    assert isinstance(graph.module, BucketStep)
    assert graph.name == "some 64 tiles"
    assert len(graph.inputs) == len(graph.examples) == len(set(graph.inputs))
    with torch.no_grad():
        assert len(graph.module(*graph.examples)) == len(graph.outputs)
    assert graph.examples[0].shape == (64 * TILE**2, network.config.input_channels)


def test_openvino_runs_the_shipped_model() -> None:
    pytest.importorskip("openvino")
    (graph,) = model_graphs("spax_small", (64,))
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(graph.examples[0].shape, generator=generator), *graph.examples[1:]]
    with torch.no_grad():
        expected = dict(zip(graph.outputs, graph.module(*inputs), strict=True))
    engine = load_engine(graph, EngineSettings(engine="openvino", threads=1))
    found = dict(zip(graph.outputs, engine.run(*(each.numpy() for each in inputs)), strict=True))
    active = inputs[1].numpy() > 0
    np.testing.assert_allclose(found["mask_after"][active], expected["mask_after"][active], atol=1e-4)
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)


def test_a_model_has_a_graph_for_each_bucket_of_one_program() -> None:
    graphs = model_graphs("spax_small", ())
    assert [graph.name for graph in graphs[:2]] == ["spax_small 64 tiles", "spax_small 80 tiles"]
    assert [len(graph.examples[0]) for graph in graphs] == [tiles * TILE**2 for tiles in bucket_sizes()]
    first, second = (torch.export.export(graph.module, graph.examples) for graph in graphs[:2])
    ones, twos = (
        [(str(node.target), str(node.args)) for node in program.run_decompositions().graph.nodes]
        for program in (first, second)
    )
    assert ones == twos


def test_a_model_that_runs_over_a_window_has_no_graph() -> None:
    with pytest.raises(ModelError, match="window"):
        bucket_graph(SpaxNetwork(replace(CONFIGS["light"], memory="window")), 64)
