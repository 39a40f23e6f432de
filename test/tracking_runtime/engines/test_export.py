"""Models as files: they hold what PyTorch computes, and say what they are."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from torch import nn

from tracking_runtime.commands.export import export
from tracking_runtime.engines import EngineError, Graph
from tracking_runtime.engines import export as exporting
from tracking_runtime.engines.export import FORMATS
from tracking_runtime.engines.model_graphs import Networks, open_networks
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import Manifest

pytest.importorskip("onnx", reason="needs ONNX")
openvino = pytest.importorskip("openvino", reason="needs OpenVINO")


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(export, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_files_hold_what_pytorch_computes(tmp_path: Path, to: str) -> None:
    run("hanet_edge_any", "--camera", "nir25", "--format", to, "-o", tmp_path, "--batch", 2)
    manifest = yaml.safe_load((tmp_path / f"hanet_edge_any.{to}.yaml").read_text())
    assert (manifest["format"], manifest["precision"]) == (to, "float32")
    names = [graph["name"] for graph in manifest["graphs"]]
    assert names == [f"hanet_edge_any {half}" for half in ("template", "search x2")]
    for graph in manifest["graphs"]:
        assert graph["difference"] < 1e-3
        for name, digest in graph["files"].items():
            assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    image, cube, *kernels = manifest["graphs"][1]["inputs"]
    assert (image["dtype"], image["shape"]) == ("uint8", [2, 255, 255, 3])
    assert cube["shape"][-1] == 25
    made = {kernel["name"] for kernel in manifest["graphs"][0]["outputs"]}
    assert made < {kernel["name"] for kernel in kernels}
    assert names_in(tmp_path / next(iter(manifest["graphs"][1]["files"]))) == (
        ["image", "cube", *(kernel["name"] for kernel in kernels)],
        ["first", "online", "distances"],
    )


def names_in(path: Path) -> tuple[list[str], list[str]]:
    """Inputs and outputs of a network's file."""
    network = openvino.Core().read_model(path)
    return [port.any_name for port in network.inputs], [port.any_name for port in network.outputs]


def test_satellite_tiles_hold_what_pytorch_computes(tmp_path: Path) -> None:
    (graph,) = exporting.export(open_networks("spax_small", (64,)), "onnx", tmp_path)
    assert graph.difference is not None
    assert graph.difference < 1e-3
    assert {"scores", "mask_after"} < {output.name for output in graph.outputs}


def test_half_precision_is_close(tmp_path: Path) -> None:
    networks = open_networks("hanet_edge_vis16")
    (template,) = exporting.export(replace(networks, graphs=networks.graphs[:1]), "onnx", tmp_path, "float16")
    assert template.difference is not None
    assert 1e-5 < template.difference < 0.05


def test_a_file_with_other_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("sum", nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 9, 9),), ("x",), ("y",))
    networks = Networks(Manifest("small", "hanet", {}, ""), (graph,))
    monkeypatch.setattr(exporting, "reference", lambda *_: [np.full((1, 4, 7, 7), 9, np.float32)])
    with pytest.raises(EngineError, match="other numbers than PyTorch"):
        list(exporting.export(networks, "onnx", tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_what_cannot_be_written_here_says_why(tmp_path: Path) -> None:
    result = CliRunner().invoke(export, ["hanet_edge_vis16", "--format", "tensorrt", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "tensorrt cannot be written here: PyTorch finds no CUDA device" in result.output


def test_models_that_cannot_be_opened_say_why() -> None:
    with pytest.raises(ModelError, match="untrained:hanet_r50"):
        open_networks("untrained:hanet_r500")
    with pytest.raises(ModelError, match="--camera"):
        open_networks("hanet_edge_any")
    with pytest.raises(ModelError, match="no graphs of architecture tern"):
        open_networks("untrained:tern_large")
    assert set(FORMATS) == {"onnx", "openvino", "tensorrt", "tensorrt-rtx"}
