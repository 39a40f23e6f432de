"""Exported models: files that compute what PyTorch does, and their manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import Result
from torch import nn

from tracking_runtime.engines import EngineError, Graph
from tracking_runtime.engines import export as export_module
from tracking_runtime.engines.export import export_graphs
from tracking_runtime.engines.model_graphs import ModelGraphs, open_model_graphs
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import Manifest

pytest.importorskip("onnx", reason="needs ONNX")
openvino = pytest.importorskip("openvino", reason="needs OpenVINO")


def read_port_names(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of the inputs and outputs of a network's file."""
    network = openvino.Core().read_model(path)
    return [port.any_name for port in network.inputs], [port.any_name for port in network.outputs]


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["onnx", "openvino"])
def test_exported_hanet_matches_pytorch(
    tmp_path: Path, run_rstrack: Callable[..., Result], format_name: str
) -> None:
    options = ["--camera", "nir25", "--format", format_name, "-o", tmp_path, "--batch", 2]

    result = run_rstrack("export", "hanet_edge_any", *options)

    assert result.exit_code == 0, result.output
    manifest = yaml.safe_load((tmp_path / f"hanet_edge_any.{format_name}.yaml").read_text())
    assert (manifest["format"], manifest["precision"]) == (format_name, "float32")
    template, search = manifest["graphs"]
    assert template["name"] == "hanet_edge_any template"
    assert search["name"] == "hanet_edge_any search x2"
    for graph in (template, search):
        assert graph["difference"] < 1e-3
        for name, digest in graph["files"].items():
            assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    image, cube, *kernels = search["inputs"]
    assert (image["dtype"], image["shape"]) == ("uint8", [2, 255, 255, 3])
    assert cube["shape"][-1] == 25
    kernel_names = [kernel["name"] for kernel in kernels]
    assert {output["name"] for output in template["outputs"]} < set(kernel_names)
    assert read_port_names(tmp_path / next(iter(search["files"]))) == (
        ["image", "cube", *kernel_names],
        ["first", "online", "distances"],
    )


@pytest.mark.slow
def test_exported_spax_matches_pytorch(tmp_path: Path) -> None:
    (graph,) = export_graphs(open_model_graphs("spax_small", (64,)), "onnx", tmp_path)

    assert graph.difference is not None
    assert graph.difference < 1e-3
    assert {"scores", "mask_after"} < {output.name for output in graph.outputs}


@pytest.mark.slow
def test_exported_half_precision_is_close_to_pytorch(tmp_path: Path) -> None:
    model_graphs = open_model_graphs("hanet_edge_vis16")
    template_only = replace(model_graphs, graphs=model_graphs.graphs[:1])

    (template,) = export_graphs(template_only, "onnx", tmp_path, "float16")

    assert template.difference is not None
    assert 1e-5 < template.difference < 0.05


def test_file_with_other_outputs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("sum", nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 9, 9),), ("x",), ("y",))
    model_graphs = ModelGraphs(Manifest("small", "hanet", {}, ""), (graph,))
    wrong_outputs = [np.full((1, 4, 7, 7), 9, np.float32)]
    monkeypatch.setattr(export_module, "compute_reference", lambda *_: wrong_outputs)

    with pytest.raises(EngineError, match=r"outputs of .*\.onnx differ from PyTorch's"):
        list(export_graphs(model_graphs, "onnx", tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_export_of_an_unavailable_format_names_the_reason(
    tmp_path: Path, run_rstrack: Callable[..., Result]
) -> None:
    result = run_rstrack("export", "hanet_edge_vis16", "--format", "tensorrt", "-o", tmp_path)

    assert result.exit_code == 1
    assert "tensorrt cannot be written here: PyTorch finds no CUDA device" in result.output


def test_unknown_model_is_refused_with_the_cure() -> None:
    with pytest.raises(ModelError, match="untrained:hanet_r50"):
        open_model_graphs("untrained:hanet_r500")
    with pytest.raises(ModelError, match="--camera"):
        open_model_graphs("hanet_edge_any")
    with pytest.raises(ModelError, match="no graphs of architecture tern"):
        open_model_graphs("untrained:tern_large")
