"""The benchmark of engines measures each that works here, and says why the others did not run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tracking_runtime.commands import bench_engines
from tracking_runtime.engines import BACKENDS, Graph
from tracking_runtime.engines.model_graphs import Networks
from tracking_runtime.models.manifest import Manifest


def test_every_engine_here_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("sum", nn.Conv2d(3, 4, 3), (torch.rand(1, 3, 12, 12),), ("x",), ("y",))
    networks = Networks(Manifest("small", "hanet", {}, ""), (graph, replace(graph, name="same")))
    monkeypatch.setattr(bench_engines, "open_networks", lambda *_: networks)
    arguments = ["small", "--runs", "5", "--threads", "1", "--output", str(tmp_path)]
    result = CliRunner().invoke(bench_engines.engines, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "engines.json").read_text())
    assert content["machine"]["cores"] > 0
    found = {(each["graph"], each["engine"]): each for each in content["measurements"]}
    expected = {
        (name, f"{backend.name}:{precision}")
        for name in ("sum", "same")
        for backend in BACKENDS
        if backend.unavailable() is None
        for precision in backend.precisions
    }
    assert set(found) == expected
    for (_, engine), each in found.items():
        if engine.endswith(":int8"):
            assert "rstrack engine build MODEL --precision int8" in each["problem"]
        else:
            assert 0 < each["p50_ms"] <= each["p95_ms"]
            assert each["difference"] < (1e-3 if engine.endswith("float32") and "bf" not in engine else 0.1)
    assert (tmp_path / "engines.png").stat().st_size > 1000


def test_a_model_that_is_not_there_is_told() -> None:
    result = CliRunner().invoke(bench_engines.engines, ["none_such"])
    assert result.exit_code == 1
    assert "no model named none_such" in result.output
