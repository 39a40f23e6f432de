"""Real TensorRT engines, compiled without a GPU: every operator of every network is accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from spax_ros.sparse.buckets import bucket_graph
from spax_ros.sparse.tile_budget import bucket, bucket_sizes
from spax_ros.weights import load_spax
from tracking_runtime.engines import EngineError, Graph
from tracking_runtime.engines.export import export
from tracking_runtime.engines.model_graphs import open_networks
from tracking_runtime.engines.onnx import as_onnx, with_shapes, write_onnx
from tracking_runtime.engines.openvino import quantise, run_file
from tracking_runtime.engines.precision import in_precision
from tracking_runtime.engines.tensorrt_rtx import FAMILIES, build_engine, source
from tracking_runtime.engines.verification import largest_difference, realistic_inputs, reference

pytest.importorskip("onnx", reason="needs ONNX")
pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX")


def compiled(graph: Graph, folder: Path) -> list[int]:
    """Sizes of a graph's engines in bytes, one for each family of GPUs."""
    path = folder / "network.onnx"
    write_onnx(graph, path)
    return [len(build_engine(path.read_bytes(), capabilities)) for capabilities in FAMILIES.values()]


def test_the_network_that_ships_compiles_for_every_gpu(tmp_path: Path) -> None:
    for graph in open_networks("hanet_edge_vis16", (4,)).graphs:
        assert min(compiled(in_precision(graph, torch.float16), tmp_path)) > 1e6


def test_in_int8_it_compiles_for_every_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("openvino", "nncf", "onnxruntime"):
        pytest.importorskip(package, reason=f"needs {package}")
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path / "cache"))
    networks = open_networks("hanet_edge_vis16")
    networks = replace(networks, graphs=networks.graphs[1:])
    (search,) = networks.graphs
    with pytest.raises(EngineError, match="rstrack engine build MODEL --precision int8"):
        source(search, "int8")
    quantise(search, [realistic_inputs(search, seed) for seed in range(4)])
    (file,) = export(networks, "onnx", tmp_path, "int8")
    assert file.difference is not None
    assert 1e-3 < file.difference < 0.5
    (engines,) = export(networks, "tensorrt-rtx", tmp_path, "int8")
    assert len(engines.files) == len(FAMILIES)


def test_every_bucket_of_spax_compiles_for_every_gpu() -> None:
    network = load_spax("spax_small").network
    pattern = as_onnx(in_precision(bucket_graph(network, bucket(1)), torch.float16))
    for tiles in bucket_sizes():
        content = with_shapes(pattern, bucket_graph(network, tiles))
        for capabilities in FAMILIES.values():
            assert len(build_engine(content, capabilities)) > 1e6, (tiles, capabilities)


def test_a_file_given_other_shapes_is_that_of_the_graph(tmp_path: Path) -> None:
    """Checked where it can run: by OpenVINO, in float32."""
    pytest.importorskip("openvino", reason="needs OpenVINO")
    graph = bucket_graph(load_spax("spax_small").network, bucket(65))
    write_onnx(graph, tmp_path / "network.onnx")
    inputs = realistic_inputs(graph)
    given = run_file(tmp_path / "network.onnx", inputs)
    assert [array.shape for array in given][5:] == [
        tuple(graph.examples[graph.inputs.index(name)].shape)
        if name in graph.inputs
        else (len(graph.examples[0]), 1)
        for name in (output.removesuffix("_after") for output in graph.outputs[5:])
    ]
    assert largest_difference(reference(graph, inputs), given) < 1e-3


def test_the_published_network_compiles_for_every_gpu_in_float32(tmp_path: Path) -> None:
    template, _ = open_networks("untrained:hanet_r50", camera="nir25").graphs
    assert min(compiled(template, tmp_path)) > 1e8


def test_float32_is_not_rounded_to_tf32() -> None:
    graph = Graph("sum", nn.Conv2d(16, 32, 3), (torch.rand(1, 16, 32, 32),), ("x",), ("y",))
    engine = build_engine(as_onnx(graph), FAMILIES["sm80-sm120"])
    assert b" tf32=0\n" in engine
    assert b" tf32=1\n" not in engine


def test_what_turing_does_in_float16_only_is_told(tmp_path: Path) -> None:
    graph = Graph("product", nn.Linear(16, 16), (torch.rand(8, 16),), ("x",), ("y",))
    with pytest.raises(EngineError, match=r"7\.5 takes it in float16 only, .*FP32 GEMM is not supp"):
        compiled(graph, tmp_path)


class _Bytes(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.permute(0, 3, 1, 2).float()


def test_an_operator_that_is_not_accepted_is_named(tmp_path: Path) -> None:
    graph = Graph("bytes", _Bytes(), (torch.zeros(1, 9, 9, 3, dtype=torch.uint8),), ("x",), ("y",))
    with pytest.raises(EngineError, match="permute"):
        compiled(graph, tmp_path)


def test_all_gpus_from_7_5_to_12_0_are_covered() -> None:
    assert sorted(number for family in FAMILIES.values() for number in family) == [75, 80, 86, 89, 120]
