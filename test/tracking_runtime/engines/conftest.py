"""Graphs, stand-ins for backends, and engine caches of the tests of engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from torch import nn

from tracking_runtime.cli import rstrack
from tracking_runtime.engines import EngineSettings, Graph
from tracking_runtime.engines.cache import EngineCache


class FakeEngine:
    """An engine that returns its inputs.

    Args:
        name: description of the engine.
        fails_after: number of runs after which every run fails; None: never.
    """

    def __init__(self, name: str, fails_after: int | None = None) -> None:
        self.description = name
        self._runs_left = fails_after

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        if self._runs_left is not None:
            self._runs_left -= 1
            if self._runs_left < 0:
                raise RuntimeError("device lost")
        return arrays


@dataclass
class FakeBackend:
    """A backend of `FakeEngine`.

    Attributes:
        name: name of the backend and description of its engines.
        reason: reason why the backend is unavailable.
        fails_loading: whether loading fails.
        fails_after: number of runs after which the engine fails; None: never.
        precisions: precisions of the backend.
    """

    name: str
    reason: str | None = None
    fails_loading: bool = False
    fails_after: int | None = None
    precisions: tuple[str, ...] = ("float32", "bfloat16")

    def find_unavailable_reason(self) -> str | None:
        return self.reason

    def load(self, _graph: Graph, _settings: EngineSettings) -> FakeEngine:
        if self.fails_loading:
            raise RuntimeError("does not compile")
        return FakeEngine(self.name, self.fails_after)


def run_rstrack(*arguments: object) -> Result:
    """Run a command on a wide terminal."""
    return CliRunner().invoke(rstrack, list(map(str, arguments)), env={"COLUMNS": "200"})


@pytest.fixture(name="run_rstrack", scope="session")
def run_rstrack_fixture() -> Callable[..., Result]:
    """Return `run_rstrack(*arguments)`, which runs a command on a wide terminal."""
    return run_rstrack


@pytest.fixture
def make_backend() -> Callable[..., FakeBackend]:
    """Return `make_backend(name, reason=..., fails_loading=..., fails_after=..., precisions=...)`."""
    return FakeBackend


@pytest.fixture
def conv_graph() -> Graph:
    """Return a small graph with the same weights in every test."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    return Graph("sum", module, (torch.rand(1, 3, 9, 9),), ("image",), ("features",))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    """Return an empty engine cache, which engines use during the test."""
    monkeypatch.setenv("RSTRACK_ENGINE_CACHE", str(tmp_path / "cache"))
    return EngineCache()
