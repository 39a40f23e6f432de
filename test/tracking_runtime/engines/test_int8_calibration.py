"""Networks in int8: calibrated for what engines run and files hold, and never lost by what goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tracking_runtime.commands.engine import engine
from tracking_runtime.engines import EngineError, EngineSettings, Graph, load_engine
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.engines.model_graphs import open_networks
from tracking_runtime.engines.openvino import quantise, quantised_facts, read_quantised
from tracking_runtime.evaluation.int8_calibration import calibrate_on_noise

for package in ("openvino", "nncf"):
    pytest.importorskip(package, reason=f"needs {package}")

INT8 = EngineSettings("openvino", "int8", threads=1)

RECALIBRATE = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_calibration import graph, images
from tracking_runtime.engines import EngineError
from tracking_runtime.engines.openvino import quantise, describe_quantised

quantise(graph(), images())
describe_quantised(graph(), {"of": "old"})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a full disk, as much as one process can have
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    quantise(graph(), images())
except EngineError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
try:
    describe_quantised(graph(), {"of": "new"})
except EngineError as error:
    print(error)
"""


def graph(items: int = 1) -> Graph:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 64, 3)).eval()
    single = Graph("some x1", module, (torch.rand(1, 3, 11, 11),), ("x",), ("y",))
    if items == 1:
        return single
    return replace(single, name=f"some x{items}", examples=(torch.rand(items, 3, 11, 11),), single=single)


def images() -> list[tuple[np.ndarray]]:
    return [(image,) for image in np.random.default_rng(0).random((4, 1, 3, 11, 11), np.float32)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path / "cache"))
    return EngineCache()


def test_a_full_disk_is_told_and_keeps_the_calibration_before(cache: EngineCache) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RECALIBRATE, str(Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "some x1 in int8 cannot be made in" in done.stdout
    assert f"kept in {cache.folder}: " in done.stdout
    assert "how well it tracks cannot be kept in" in done.stdout
    assert "File too large" in done.stdout
    assert quantised_facts(graph()) == {"of": "old"}
    assert "int8" in load_engine(graph(), INT8).description
    assert not any(entry.damage for entry in cache.entries())


def test_where_nothing_can_be_kept_nothing_is_calibrated(cache: EngineCache) -> None:
    cache.folder.write_text("")
    with pytest.raises(EngineError, match=f"{cache.folder} cannot be written.*RSTRACK_ENGINE_CACHE"):
        quantise(graph(), [])
    never_opened = ["--calibration", "no/such/video"]
    build = ["build", "hanet_edge_vis16", "--engine", "openvino", "--precision", "int8", *never_opened]
    refused = CliRunner().invoke(engine, build)
    assert refused.exit_code == 1
    assert "hanet_edge_vis16 cannot be calibrated" in refused.output
    assert f"{cache.folder} cannot be written" in refused.output
    assert "set RSTRACK_ENGINE_CACHE" in refused.output


def test_what_engines_run_is_calibrated_on_noise(cache: EngineCache) -> None:
    calibrate_on_noise([graph(4)])
    assert quantised_facts(graph()) == {"calibration": "noise"}
    made = {entry.folder: entry.created for entry in cache.entries()}
    (outputs,) = load_engine(graph(4), INT8).run(graph(4).examples[0].numpy())
    assert outputs.shape == (4, 64, 7, 7)
    calibrate_on_noise([graph(), graph(4)])
    assert made.items() <= {entry.folder: entry.created for entry in cache.entries()}.items()


@pytest.mark.usefixtures("cache")
def test_a_model_for_several_targets_is_calibrated_for_engines_and_files() -> None:
    build = ["build", "hanet_edge_vis16", "--engine", "openvino", "--precision", "int8", "--batch", "4"]
    scene = ["--calibration", "scene:hyperspectral?seed=1", "--frames", "6"]
    built = CliRunner().invoke(engine, [*build, *scene], env={"COLUMNS": "200"})
    assert built.exit_code == 0, built.output
    assert "hanet_edge_vis16 search x4" in built.output
    _, search = open_networks("hanet_edge_vis16", (4,)).graphs
    assert search.single is not None
    for calibrated in (search, search.single):
        assert quantised_facts(calibrated)["frames"] == 6
        assert all(read_quantised(calibrated, ".xml", ".bin"))
