"""The cache after kills, on full disks, with other drivers, and in folders that cannot be written."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
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

KEY = "0" * 64
SETTINGS = EngineSettings("openvino", threads=1)
IMAGE = np.ones((1, 3, 9, 9), np.float32)
TIMEOUT_S = 120

BUILD_PROGRAM = """
import sys
from pathlib import Path
from tracking_runtime.engines.build_progress import report_progress_to
from tracking_runtime.engines.cache import EngineCache

def build(folder):
    (folder / "network").write_bytes(bytes(4_000_000))
    {after_write}

with report_progress_to(lambda progress: print(progress.stage, file=sys.stderr, flush=True)):
    with EngineCache(Path(sys.argv[1])).get_or_build("0" * 64, "engine", build) as folder:
        print(folder, flush=True)
"""
"""Builds an engine. `after_write` runs when the builder has written its file."""

KILL_PROGRAM = """
import json, os, sys
from pathlib import Path
from tracking_runtime.engines.cache import EngineCache

KEY = "0" * 64
EVENTS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")

def make_builder(content):
    return lambda folder: (folder / "network").write_text(content)

def refuse(folder):
    raise LookupError("the engine cannot be built again")

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

event = 0
is_killed = True
while is_killed:
    cache = EngineCache(Path(sys.argv[1]) / str(event))
    cache.replace(KEY, "engine", make_builder("old"))
    cache.write_facts(KEY, "engine", {{"of": "old"}})
    child = os.fork()
    if not child:
        die_at(event)
        step(cache)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    is_killed = os.WIFSIGNALED(status)
    with cache.get_or_build(KEY, "engine", refuse) as folder:
        print(json.dumps([(folder / "network").read_text(), cache.read_facts(KEY)]))
    event += 1
sys.exit(status != 0)
"""
"""Kills `step` before its first access to a file, its second, and so on; prints what the cache contains."""


@dataclass(frozen=True)
class Content:
    """Content of an entry: the text of its network, and its facts."""

    network: str
    facts: dict[str, Any]


OLD = Content("old", {"of": "old"})


def make_graph() -> Graph:
    torch.manual_seed(0)
    return Graph("sum", nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 9, 9),), ("x",), ("y",))


def start_builder(folder: Path, after_write: str = "pass") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD_PROGRAM.format(after_write=after_write), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_at_each_file_access(folder: Path, step: str) -> list[Content]:
    """Return the entry after kill -9 before each file access of a step, and at last after the whole step."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
    command = [sys.executable, "-c", KILL_PROGRAM.format(step=step), str(folder)]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert result.returncode == 0, result.stderr
    return [Content(*json.loads(line)) for line in result.stdout.splitlines()]


def truncate(folder: Path, file: str) -> None:
    (path,) = folder.glob(f"*/{file}")
    path.write_bytes(path.read_bytes()[:-8])


def test_kill_during_a_build_leaves_the_next_to_build(tmp_path: Path) -> None:
    with start_builder(tmp_path, "print('building', flush=True); import time; time.sleep(600)") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "building\n"
        with start_builder(tmp_path) as second:  # waits for the first, reports that, and finds it dead
            assert second.stderr is not None
            assert "engine: waiting for another process, which builds it\n" in second.stderr
            first.send_signal(signal.SIGKILL)
            output, errors = second.communicate(timeout=TIMEOUT_S)

    assert output.strip() == str(tmp_path / KEY), errors
    assert [entry.damage for entry in EngineCache(tmp_path).find_entries()] == [""]


def test_kill_during_the_store_leaves_the_next_to_build(tmp_path: Path) -> None:
    kill_at_copy = "import shutil, os; shutil.copytree = lambda *_: os.kill(os.getpid(), 9)"
    with start_builder(tmp_path, kill_at_copy) as first:
        assert first.wait(timeout=TIMEOUT_S) == -signal.SIGKILL

    with start_builder(tmp_path) as second:
        output, errors = second.communicate(timeout=TIMEOUT_S)

    assert output.strip() == str(tmp_path / KEY), errors
    assert [entry.damage for entry in EngineCache(tmp_path).find_entries()] == [""]


def test_kill_while_facts_are_written_loses_nothing(tmp_path: Path) -> None:
    contents = kill_at_each_file_access(tmp_path, 'cache.write_facts(KEY, "engine", {"of": "new"})')

    assert len(contents) > 3
    assert all(content in (OLD, Content("old", {"of": "new"})) for content in contents)
    assert contents[-1] == Content("old", {"of": "new"})


def test_kill_while_kernels_are_written_loses_nothing(tmp_path: Path) -> None:
    contents = kill_at_each_file_access(tmp_path, 'cache.write_kernels(KEY, "engine", b"compiled")')

    assert len(contents) > 3
    assert all(content == OLD for content in contents)


def test_kill_while_replacing_leaves_old_or_new(tmp_path: Path) -> None:
    contents = kill_at_each_file_access(tmp_path, 'cache.replace(KEY, "engine", make_builder("new"))')

    assert len(contents) > 8
    assert all(content in (OLD, Content("old", {}), Content("new", {})) for content in contents)
    assert contents[0] == OLD
    assert contents[-1] == Content("new", {})


def test_full_disk_prevents_only_the_store(tmp_path: Path) -> None:
    limit = "import resource, signal, tempfile; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))"

    with start_builder(tmp_path, limit) as process:
        output, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 0, errors
    assert "cannot be stored in" in errors
    assert "File too large" in errors
    assert not output.startswith(str(tmp_path))
    assert EngineCache(tmp_path).find_entries() == []
    assert not list(tmp_path.glob(".*"))


def test_other_version_of_openvino_builds_again(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    first = load_engine(make_graph(), SETTINGS).run(IMAGE)

    monkeypatch.setattr(openvino, "__version__", "2099.1.0-1-releases")
    second = load_engine(make_graph(), SETTINGS).run(IMAGE)

    assert len(cache.find_entries()) == 4  # converted and compiled, twice
    assert (first[0] == second[0]).all()


def test_other_cpu_compiles_again(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    first = load_engine(make_graph(), SETTINGS).run(IMAGE)

    get_property = openvino.Core.get_property
    monkeypatch.setattr(openvino.Core, "get_property", lambda *names: f"not {get_property(*names)}")
    second = load_engine(make_graph(), SETTINGS).run(IMAGE)

    assert len(cache.find_entries()) == 3  # converted once, compiled for each
    assert (first[0] == second[0]).all()


def make_read_only(folder: Path) -> None:
    folder.chmod(0o555)


def replace_by_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")


@pytest.mark.parametrize("make_unwritable", [make_read_only, replace_by_file])
def test_unwritable_folder_prevents_only_the_store(
    cache: EngineCache, caplog: pytest.LogCaptureFixture, make_unwritable: Callable[[Path], None]
) -> None:
    if make_unwritable is make_read_only and os.geteuid() == 0:
        pytest.skip("a superuser can write read-only folders")
    cache.folder.mkdir()
    make_unwritable(cache.folder)

    with caplog.at_level(logging.WARNING):
        engine = load_engine(make_graph(), SETTINGS)

    assert engine.run(IMAGE)[0].shape == (1, 4, 7, 7)
    assert f"cannot be stored in {cache.folder}" in caplog.text


@pytest.mark.parametrize("file", ["network.bin", "network.blob"])
def test_truncated_engine_is_built_again(
    cache: EngineCache, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    first = load_engine(make_graph(), SETTINGS).run(IMAGE)
    truncate(cache.folder, file)

    with caplog.at_level(logging.WARNING):
        second = load_engine(make_graph(), SETTINGS).run(IMAGE)

    assert f"is damaged (checksum differs: {file})" in caplog.text
    assert (first[0] == second[0]).all()


@pytest.mark.slow
def test_engine_of_spax_survives_kill_and_damage(
    cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    command = [sys.executable, "-m", "tracking_runtime.cli", "engine", "build", "spax_small", "--batch", "80"]
    with subprocess.Popen([*command, "--engine", "openvino"], stdout=subprocess.DEVNULL) as killed:
        wait_for(lambda: list(cache.folder.glob("*.lock")), TIMEOUT_S, "the first lock of a build")
        killed.kill()
    (bucket,) = model_graphs("spax_small", (80,))
    inputs = [example.numpy() for example in bucket.examples]

    expected = load_engine(bucket, SETTINGS).run(*inputs)

    for file in ("network.blob", "network.bin"):
        truncate(cache.folder, file)
        with caplog.at_level(logging.WARNING):
            outputs = load_engine(bucket, SETTINGS).run(*inputs)
        assert f"is damaged (checksum differs: {file})" in caplog.text
        for before, after in zip(expected, outputs, strict=True):
            np.testing.assert_array_equal(after, before)
    assert not any(entry.damage for entry in cache.find_entries())
