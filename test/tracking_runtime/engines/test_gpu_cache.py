"""Engines of NVIDIA GPUs: the driver's version, and cached engines that fail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

from tracking_runtime.engines import EngineError, Graph, gpu_cache
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.engines.gpu_cache import (
    describe_gpu_build,
    load_gpu_engine,
    load_or_build_engine,
    read_driver_version,
)

KEY = "0" * 64

pytestmark = pytest.mark.usefixtures("cache")


class TextEngine:
    """An engine that is described by its file. The content "unreadable" does not load."""

    def __init__(self, folder: Path) -> None:
        self.description = (folder / "network").read_text()
        if self.description == "unreadable":
            raise ValueError("unreadable file")

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return arrays


class ModuleEngine:
    """An engine that runs a graph's module and multiplies its output."""

    def __init__(self, graph: Graph, factor: float, description: str) -> None:
        self.description = description
        self._graph = graph
        self._factor = factor

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with torch.no_grad():
            return (self._graph.module(*map(torch.from_numpy, arrays)).numpy() * self._factor,)


def check(engine: TextEngine) -> None:
    if engine.description == "wrong":
        raise EngineError("wrong outputs")


def make_builder(*contents: str) -> Callable[[Path], None]:
    """Return a builder that writes one content after the other, one per call."""
    remaining = list(contents)
    return lambda folder: (folder / "network").write_text(remaining.pop(0)) and None


def load(build: Callable[[Path], None]) -> str:
    return load_or_build_engine(KEY, "engine", build, TextEngine, check).description


def store(cache: EngineCache, content: str) -> None:
    with cache.get_or_build(KEY, "engine", make_builder(content)):
        pass


def test_working_engine_is_built_once() -> None:
    build = make_builder("first", "second")

    assert [load(build), load(build)] == ["first", "first"]


@pytest.mark.parametrize("broken", ["unreadable", "wrong"])
def test_failing_cached_engine_is_rebuilt_and_stored(
    cache: EngineCache, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    store(cache, broken)

    with caplog.at_level(logging.WARNING):
        assert load(make_builder("good")) == "good"

    assert f"engine: the cached engine failed and is built again: {broken}" in caplog.text
    assert load(make_builder()) == "good"


def test_failing_rebuilt_engine_is_refused(cache: EngineCache) -> None:
    store(cache, "unreadable")

    with pytest.raises(
        EngineError, match="engine: the cached engine failed, and so did a rebuilt one: wrong outputs"
    ):
        load(make_builder("wrong", "good"))


def test_failing_new_engine_is_not_rebuilt() -> None:
    with pytest.raises(EngineError, match=r"^wrong outputs$"):
        load(make_builder("wrong", "good"))


def test_failing_engine_in_unwritable_cache_is_rebuilt(
    cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    store(cache, "wrong")
    (cache.folder / f"{KEY}.lock").unlink()
    (cache.folder / f"{KEY}.lock").mkdir()

    assert load(make_builder("good")) == "good"

    assert f"engine cannot be stored in {cache.folder}: " in caplog.text
    with pytest.raises(EngineError, match="and so did a rebuilt one: wrong outputs"):
        load(make_builder("wrong"))


def test_gpu_engine_is_described_cached_and_verified(
    cache: EngineCache, conv_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_cache, "read_gpu_facts", lambda: ("Some GPU", "9.0", "580.65.06"))
    build = describe_gpu_build(conv_graph, "float32", "Compiler 1.2", "torch 3", "Compiler 1.2")
    other = describe_gpu_build(conv_graph, "float32", "Compiler 1.2", "torch 4", "Compiler 1.2")
    factors = iter((1.0, 2.0))

    def load(description: str, _folder: Path) -> ModuleEngine:
        return ModuleEngine(conv_graph, next(factors), description)

    engine = load_gpu_engine(build, make_builder("compiled"), load)

    assert engine.description == "Compiler 1.2 on Some GPU, float32"
    (entry,) = cache.find_entries()
    assert (entry.label, entry.folder.name) == ("sum, Compiler 1.2, float32", build.key)
    assert other.key != build.key
    with pytest.raises(EngineError, match=r"outputs differ from PyTorch's by .*, expected at most 0\.001"):
        load_gpu_engine(other, make_builder("compiled"), load)


def test_driver_version_is_read_from_the_first_file(tmp_path: Path) -> None:
    jetson = tmp_path / "nv_tegra_release"
    module = tmp_path / "version"
    assert read_driver_version((jetson, module)) == ""

    module.write_text("580.65.06\n")
    assert read_driver_version((jetson, module)) == "580.65.06"

    jetson.write_text("# R36 (release), REVISION: 4.3\n")
    assert read_driver_version((jetson, module)) == "# R36 (release), REVISION: 4.3"
