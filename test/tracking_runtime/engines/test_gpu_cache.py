"""Engines for NVIDIA's GPUs: the driver is told, and what was kept and fails is made once more."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from tracking_runtime.engines import EngineError
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.engines.gpu_cache import driver_version, kept_engine

KEY = "0" * 64


class Reading:
    """An engine that tells what was in its file; what a driver cannot read does not load."""

    def __init__(self, folder: Path) -> None:
        self.description = (folder / "network").read_text()
        if self.description == "unreadable":
            raise ValueError("it cannot be read")

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return arrays


def check(engine: Reading) -> None:
    if engine.description == "wrong":
        raise EngineError("it gives other numbers")


def writer(*contents: str) -> Callable[[Path], None]:
    """Makes one engine after the other."""
    left = list(contents)
    return lambda folder: (folder / "network").write_text(left.pop(0)) and None


def load(make: Callable[[Path], None]) -> str:
    return kept_engine(KEY, "it", make, Reading, check).description


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path))
    return EngineCache()


def keep(cache: EngineCache, content: str) -> None:
    with cache.obtain(KEY, "it", writer(content)):
        pass


def test_what_works_is_made_once() -> None:
    make = writer("first", "second")
    assert [load(make), load(make)] == ["first", "first"]


@pytest.mark.parametrize("broken", ["unreadable", "wrong"])
def test_what_was_kept_and_fails_is_made_once_more_and_kept(
    cache: EngineCache, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    keep(cache, broken)
    with caplog.at_level(logging.WARNING):
        assert load(writer("good")) == "good"
    assert "it, as it was kept, does not work and is made again: it" in caplog.text
    assert load(writer()) == "good"


def test_what_fails_again_is_refused(cache: EngineCache) -> None:
    keep(cache, "unreadable")
    with pytest.raises(EngineError, match="it does not work, nor does a new one: it gives other numbers"):
        load(writer("wrong", "good"))


def test_what_was_just_made_and_fails_is_not_made_again() -> None:
    with pytest.raises(EngineError, match=r"^it gives other numbers$"):
        load(writer("wrong", "good"))


def test_what_was_kept_and_fails_is_made_for_each_start_where_nothing_can_be_written(
    cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    keep(cache, "wrong")
    (cache.folder / f"{KEY}.lock").unlink()
    (cache.folder / f"{KEY}.lock").mkdir()
    assert load(writer("good")) == "good"
    assert f"it cannot be kept in {cache.folder}: " in caplog.text
    with pytest.raises(EngineError, match="it does not work, nor does a new one: it gives other numbers"):
        load(writer("wrong"))


def test_the_driver_is_that_of_the_first_file_there(tmp_path: Path) -> None:
    jetson, module = tmp_path / "nv_tegra_release", tmp_path / "version"
    assert driver_version((jetson, module)) == ""
    module.write_text("580.65.06\n")
    assert driver_version((jetson, module)) == "580.65.06"
    jetson.write_text("# R36 (release), REVISION: 4.3\n")
    assert driver_version((jetson, module)) == "# R36 (release), REVISION: 4.3"
