"""The cache survives what happens: kills, full disks, other drivers, folders that cannot be written."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spax_ros.sparse.buckets import model_graphs
from tracking_runtime.engines import EngineSettings, Graph, load_engine
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.ros.waiting import wait_for

pytest.importorskip("openvino", reason="needs OpenVINO")

SETTINGS = EngineSettings("openvino", threads=1)
IMAGE = np.ones((1, 3, 9, 9), np.float32)

BUILDER = """
import sys
from pathlib import Path
from tracking_runtime.engines.build_progress import followed
from tracking_runtime.engines.cache import EngineCache

def make(folder):
    (folder / "network").write_bytes(bytes(4_000_000))
    {between}

with followed(lambda build: print(build.stage, file=sys.stderr, flush=True)):
    with EngineCache(Path(sys.argv[1])).obtain("0" * 64, "it", make) as folder:
        print(folder, flush=True)
"""

CUT_OFF = """
import json, os, sys
from pathlib import Path
from tracking_runtime.engines.cache import EngineCache

KEY = "0" * 64
EVENTS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")

def network(of):
    return lambda folder: (folder / "network").write_text(of)

def lost(folder):
    raise LookupError("it cannot be made again")

def step(cache):
    {step}

def die_at(event):
    def count(name, _):
        nonlocal event
        if name in EVENTS:
            event -= 1
            if event < 0:
                os.kill(os.getpid(), 9)
    sys.addaudithook(count)

event, killed = 0, True
while killed:
    cache = EngineCache(Path(sys.argv[1]) / str(event))
    cache.replace(KEY, "it", network("old"))
    cache.describe(KEY, "it", {{"of": "old"}})
    child = os.fork()
    if not child:
        die_at(event)
        step(cache)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    with cache.obtain(KEY, "it", lost) as kept:
        print(json.dumps([(kept / "network").read_text(), cache.facts(KEY)]))
    event += 1
sys.exit(status != 0)
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
        with builder(tmp_path) as second:  # waits for the first, says so, and finds it dead
            assert second.stderr is not None
            assert "it: another process makes it\n" in second.stderr
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


def cut_off_anywhere(folder: Path, step: str) -> list[list[Any]]:
    """The network and its facts after kill -9 before each access to files in a step, at last after it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
    command = [sys.executable, "-c", CUT_OFF.format(step=step), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_kill_9_while_facts_are_kept_loses_nothing(tmp_path: Path) -> None:
    found = cut_off_anywhere(tmp_path, 'cache.describe(KEY, "it", {"of": "new"})')
    assert len(found) > 3
    assert all(each in (["old", {"of": "old"}], ["old", {"of": "new"}]) for each in found)
    assert found[-1] == ["old", {"of": "new"}]


def test_kill_9_while_kernels_are_kept_loses_nothing(tmp_path: Path) -> None:
    found = cut_off_anywhere(tmp_path, 'cache.keep_kernels(KEY, "it", b"compiled")')
    assert len(found) > 3
    assert all(each == ["old", {"of": "old"}] for each in found)


def test_kill_9_while_an_engine_is_replaced_leaves_the_one_or_the_other(tmp_path: Path) -> None:
    found = cut_off_anywhere(tmp_path, 'cache.replace(KEY, "it", network("new"))')
    assert len(found) > 8
    assert all(each in (["old", {"of": "old"}], ["old", {}], ["new", {}]) for each in found)
    assert found[0] == ["old", {"of": "old"}]
    assert found[-1] == ["new", {}]


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
    assert len(EngineCache(tmp_path).entries()) == 4  # converted and compiled, twice
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


@pytest.mark.parametrize("file", ["network.bin", "network.blob"])
def test_a_truncated_engine_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    first = load_engine(graph(), SETTINGS).run(IMAGE)
    truncate(tmp_path, file)
    with caplog.at_level(logging.WARNING):
        again = load_engine(graph(), SETTINGS).run(IMAGE)
    assert f"is damaged ({file} is not as it was written)" in caplog.text
    assert (first[0] == again[0]).all()


def truncate(folder: Path, file: str) -> None:
    (kept,) = folder.glob(f"*/{file}")
    kept.write_bytes(kept.read_bytes()[:-8])


def test_an_engine_of_spax_outlives_its_builder_and_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    command = [sys.executable, "-m", "tracking_runtime.cli", "engine", "build", "spax_small", "--batch", "80"]
    with subprocess.Popen([*command, "--engine", "openvino"], stdout=subprocess.DEVNULL) as killed:
        wait_for(lambda: list(tmp_path.glob("*.lock")), 120, "the first lock of a build")
        killed.kill()
    (bucket,) = model_graphs("spax_small", (80,))
    inputs = [example.numpy() for example in bucket.examples]
    first = load_engine(bucket, SETTINGS).run(*inputs)
    for file in ("network.blob", "network.bin"):
        truncate(tmp_path, file)
        with caplog.at_level(logging.WARNING):
            again = load_engine(bucket, SETTINGS).run(*inputs)
        assert f"is damaged ({file} is not as it was written)" in caplog.text
        for before, after in zip(first, again, strict=True):
            np.testing.assert_array_equal(after, before)
    assert not any(entry.damage for entry in EngineCache(tmp_path).entries())


def test_what_is_compiled_for_another_cpu_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    first = load_engine(graph(), SETTINGS).run(IMAGE)
    here = openvino.Core.get_property
    monkeypatch.setattr(openvino.Core, "get_property", lambda *asked: f"not {here(*asked)}")
    again = load_engine(graph(), SETTINGS).run(IMAGE)
    assert len(EngineCache(tmp_path).entries()) == 3  # converted once, compiled for each
    assert (first[0] == again[0]).all()
