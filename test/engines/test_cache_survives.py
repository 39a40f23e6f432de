"""The cache survives what happens: kills, full disks, other drivers, folders that cannot be written."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.cache import EngineCache

pytest.importorskip("openvino", reason="needs OpenVINO")

SETTINGS = EngineSettings("openvino", threads=1)
IMAGE = np.ones((1, 3, 9, 9), np.float32)

BUILDER = """
import sys
from pathlib import Path
from tracking_runtime.engines.cache import EngineCache

def make(folder):
    (folder / "network").write_bytes(bytes(4_000_000))
    {between}

with EngineCache(Path(sys.argv[1])).obtain("0" * 64, "it", make) as folder:
    print(folder, flush=True)
"""


def graph() -> Graph:
    torch.manual_seed(0)
    return Graph("sum", nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 9, 9),), ("x",), ("y",))


def builder(folder: Path, between: str = "pass") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER.format(between=between), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_kill_9_during_a_build_leaves_it_to_the_next(tmp_path: Path) -> None:
    with builder(tmp_path, "print('building', flush=True); import time; time.sleep(600)") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "building\n"
        with builder(tmp_path) as second:  # waits for the first, and finds it dead
            first.send_signal(signal.SIGKILL)
            said, complaints = second.communicate(timeout=120)
    assert said.strip() == str(tmp_path / ("0" * 64)), complaints
    assert [entry.damage for entry in EngineCache(tmp_path).entries()] == [""]


def test_kill_9_while_it_is_moved_into_place_leaves_it_to_the_next(tmp_path: Path) -> None:
    script = "import shutil, os; shutil.copytree = lambda *_: os.kill(os.getpid(), 9)"
    with builder(tmp_path, script) as first:
        assert first.wait(timeout=120) == -signal.SIGKILL
    with builder(tmp_path) as second:
        said, complaints = second.communicate(timeout=120)
    assert said.strip() == str(tmp_path / ("0" * 64)), complaints
    assert [entry.damage for entry in EngineCache(tmp_path).entries()] == [""]


def test_a_full_disk_costs_the_keeping_alone(tmp_path: Path) -> None:
    limit = "import resource, signal, tempfile; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"
    with builder(tmp_path, limit) as process:
        said, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    assert "cannot be kept in" in complaints
    assert "File too large" in complaints
    assert not said.startswith(str(tmp_path))
    assert EngineCache(tmp_path).entries() == []
    assert not list(tmp_path.glob(".*"))


def test_another_version_of_the_driver_is_another_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    first = load_engine(graph(), SETTINGS).run(IMAGE)
    monkeypatch.setattr(openvino, "__version__", "2099.1.0-1-releases")
    again = load_engine(graph(), SETTINGS).run(IMAGE)
    assert len(EngineCache(tmp_path).entries()) == 2
    assert (first[0] == again[0]).all()


def _read_only(folder: Path) -> None:
    folder.chmod(0o555)


def _a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")


@pytest.mark.parametrize("spoil", [_read_only, _a_file])
def test_a_folder_that_cannot_be_written_costs_the_keeping_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    if spoil is _read_only and os.geteuid() == 0:
        pytest.skip("nothing is read-only for a superuser")
    folder = tmp_path / "cache"
    folder.mkdir()
    spoil(folder)
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(folder))
    with caplog.at_level(logging.WARNING):
        engine = load_engine(graph(), SETTINGS)
    assert engine.run(IMAGE)[0].shape == (1, 4, 7, 7)
    assert f"cannot be kept in {folder}" in caplog.text


def test_a_truncated_engine_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    first = load_engine(graph(), SETTINGS).run(IMAGE)
    (kept,) = tmp_path.glob("*/network.bin")
    kept.write_bytes(kept.read_bytes()[:-8])
    with caplog.at_level(logging.WARNING):
        again = load_engine(graph(), SETTINGS).run(IMAGE)
    assert "is damaged (network.bin is not as it was written)" in caplog.text
    assert (first[0] == again[0]).all()
