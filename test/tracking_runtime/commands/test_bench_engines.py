"""`rstrack bench engines` measures each available engine, and names the reason where one does not run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tracking_runtime.cli import rstrack
from tracking_runtime.engines import BACKENDS, Graph, model_graphs
from tracking_runtime.engines.model_graphs import ModelGraphs
from tracking_runtime.models.manifest import Manifest


@pytest.mark.slow
def test_every_available_engine_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("sum", nn.Conv2d(3, 4, 3), (torch.rand(1, 3, 12, 12),), ("x",), ("y",))
    small_model = ModelGraphs(Manifest("small", "hanet", {}, ""), (graph, replace(graph, name="same")))
    monkeypatch.setattr(model_graphs, "open_model_graphs", lambda *_: small_model)
    expected = {
        (name, f"{backend.name}:{precision}")
        for name in ("sum", "same")
        for backend in BACKENDS
        if backend.find_unavailable_reason() is None
        for precision in backend.precisions
    }
    options = ["--runs", "5", "--threads", "1", "--output", str(tmp_path)]

    result = CliRunner().invoke(rstrack, ["bench", "engines", "small", *options], env={"COLUMNS": "200"})

    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "engines.json").read_text())
    assert content["machine"]["cores"] > 0
    measurements = {(item["graph"], item["engine"]): item for item in content["measurements"]}
    assert set(measurements) == expected
    for (_, engine), item in measurements.items():
        if engine.endswith(":int8"):
            assert "rstrack engine build MODEL --precision int8" in item["problem"]
        else:
            assert 0 < item["p50_ms"] <= item["p95_ms"]
            assert item["difference"] < (1e-3 if engine.endswith(":float32") else 0.1)
    assert (tmp_path / "engines.png").stat().st_size > 1000


def test_unknown_model_is_refused() -> None:
    result = CliRunner().invoke(rstrack, ["bench", "engines", "none_such"])

    assert result.exit_code == 1
    assert "none_such" in result.output
