"""Real TensorRT engines, compiled without a GPU: every operator of every network is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tracking_runtime.engines import EngineError, Graph
from tracking_runtime.engines.networks import open_networks
from tracking_runtime.engines.onnx import write_onnx
from tracking_runtime.engines.precision import in_precision
from tracking_runtime.engines.tensorrt_rtx import FAMILIES, build_engine

pytest.importorskip("onnx", reason="needs ONNX")
pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX")


def compiled(graph: Graph, folder: Path) -> list[int]:
    """Sizes of a graph's engines in bytes, one for each family of GPUs."""
    path = folder / "network.onnx"
    write_onnx(graph, path)
    return [len(build_engine(path.read_bytes(), capabilities)) for capabilities in FAMILIES.values()]


@pytest.mark.parametrize(("model", "batch"), [("hanet_edge_vis16", 4), ("spax_small", 64)])
def test_every_network_that_ships_compiles_for_every_gpu(model: str, batch: int, tmp_path: Path) -> None:
    for graph in open_networks(model, (batch,)).graphs:
        assert min(compiled(in_precision(graph, torch.float16), tmp_path)) > 1e6


def test_the_published_network_compiles_for_every_gpu_in_float32(tmp_path: Path) -> None:
    template, _ = open_networks("untrained:hanet_r50", camera="nir25").graphs
    assert min(compiled(template, tmp_path)) > 1e8


def test_what_a_gpu_cannot_do_is_named(tmp_path: Path) -> None:
    graph = Graph("product", nn.Linear(16, 16), (torch.rand(8, 16),), ("x",), ("y",))
    with pytest.raises(EngineError, match=r"\(75,\): .*FP32 GEMM is not supported"):
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
