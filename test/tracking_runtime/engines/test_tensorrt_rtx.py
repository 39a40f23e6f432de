"""TensorRT engines, compiled without a GPU: all operators of all networks are supported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from spax_ros.sparse.buckets import make_bucket_graph
from spax_ros.sparse.tile_budget import list_bucket_sizes, round_to_bucket
from spax_ros.weights import load_spax
from tracking_runtime.engines import EngineError, Graph
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.engines.model_graphs import open_model_graphs
from tracking_runtime.engines.onnx import convert_to_onnx, replace_shapes, write_onnx
from tracking_runtime.engines.openvino_conversion import run_file
from tracking_runtime.engines.precision import cast_graph
from tracking_runtime.engines.tensorrt_rtx import GPU_FAMILIES, build_engine, make_onnx_network
from tracking_runtime.engines.verification import (
    compute_max_difference,
    compute_reference,
    make_realistic_inputs,
)

pytest.importorskip("onnx", reason="needs ONNX")
pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX")


class PermuteBytes(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.permute(0, 3, 1, 2).float()


def compile_sizes(graph: Graph, folder: Path) -> list[int]:
    """Compile a graph and return the size of each GPU family's engine in bytes."""
    path = folder / "network.onnx"
    write_onnx(graph, path)
    return [len(build_engine(path.read_bytes(), capabilities)) for capabilities in GPU_FAMILIES.values()]


@pytest.mark.slow
def test_hanet_in_float16_compiles_for_every_gpu(tmp_path: Path) -> None:
    for graph in open_model_graphs("hanet_edge_vis16", (4,)).graphs:
        assert min(compile_sizes(cast_graph(graph, torch.float16), tmp_path)) > 1e6


@pytest.mark.slow
def test_hanet_r50_in_float32_compiles_for_every_gpu(tmp_path: Path) -> None:
    template, _ = open_model_graphs("untrained:hanet_r50", camera="nir25").graphs

    assert min(compile_sizes(template, tmp_path)) > 1e8


def test_uncalibrated_int8_is_refused(cache: EngineCache) -> None:
    pytest.importorskip("openvino", reason="needs openvino")
    search = open_model_graphs("hanet_edge_vis16").graphs[1]

    with pytest.raises(EngineError, match="rstrack engine build MODEL --precision int8"):
        make_onnx_network(search, "int8")

    assert cache.find_entries() == []


@pytest.mark.slow
def test_every_bucket_of_spax_compiles_for_every_gpu() -> None:
    network = load_spax("spax_small").network
    template_graph = make_bucket_graph(network, round_to_bucket(1))
    template = convert_to_onnx(cast_graph(template_graph, torch.float16))
    bucket_sizes = list_bucket_sizes()

    def compile_bucket(num_tiles: int) -> list[int]:
        content = replace_shapes(template, make_bucket_graph(network, num_tiles))
        return [len(build_engine(content, capabilities)) for capabilities in GPU_FAMILIES.values()]

    sizes = [compile_bucket(num_tiles) for num_tiles in bucket_sizes]  # threads disturb each other here

    assert len(sizes) == len(bucket_sizes) > 20
    for num_tiles, engine_sizes in zip(bucket_sizes, sizes, strict=True):
        assert len(engine_sizes) == len(GPU_FAMILIES)
        assert min(engine_sizes) > 1e6, num_tiles


@pytest.mark.slow
def test_file_with_replaced_shapes_matches_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs OpenVINO")
    graph = make_bucket_graph(load_spax("spax_small").network, round_to_bucket(65))
    write_onnx(graph, tmp_path / "network.onnx")
    inputs = make_realistic_inputs(graph)

    outputs = run_file(tmp_path / "network.onnx", inputs)

    state_names = [name.removesuffix("_after") for name in graph.output_names[5:]]
    assert [array.shape for array in outputs][5:] == [
        tuple(graph.examples[graph.input_names.index(name)].shape)
        if name in graph.input_names
        else (len(graph.examples[0]), 1)
        for name in state_names
    ]
    assert compute_max_difference(compute_reference(graph, inputs), outputs) < 1e-3


def test_float32_engine_does_not_use_tf32() -> None:
    graph = Graph("sum", nn.Conv2d(16, 32, 3), (torch.rand(1, 16, 32, 32),), ("x",), ("y",))

    engine = build_engine(convert_to_onnx(graph), GPU_FAMILIES["sm80-sm120"])

    assert b" tf32=0\n" in engine
    assert b" tf32=1\n" not in engine


def test_matrix_product_in_float32_is_refused_on_turing(tmp_path: Path) -> None:
    graph = Graph("product", nn.Linear(16, 16), (torch.rand(8, 16),), ("x",), ("y",))

    with pytest.raises(EngineError, match=r"7\.5 runs this network in float16 only: .*FP32 GEMM is not supp"):
        compile_sizes(graph, tmp_path)


def test_unsupported_operator_is_named(tmp_path: Path) -> None:
    graph = Graph("bytes", PermuteBytes(), (torch.zeros(1, 9, 9, 3, dtype=torch.uint8),), ("x",), ("y",))

    with pytest.raises(EngineError, match="permute"):
        compile_sizes(graph, tmp_path)


def test_gpu_families_cover_compute_capability_7_5_to_12_0() -> None:
    capabilities = sorted(number for family in GPU_FAMILIES.values() for number in family)

    assert capabilities == [75, 80, 86, 89, 120]
