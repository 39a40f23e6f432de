"""Choosing an engine, and going on with the next one when it fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tracking_runtime.engines.base import (
    Backend,
    Engine,
    EngineError,
    EngineSettings,
    Graph,
)
from tracking_runtime.engines.build_progress import part, stage
from tracking_runtime.engines.input_capture import watched
from tracking_runtime.engines.openvino import OpenVINOBackend
from tracking_runtime.engines.pytorch import PyTorchBackend
from tracking_runtime.engines.tensorrt import TensorRTBackend
from tracking_runtime.engines.tensorrt_rtx import TensorRTRTXBackend

BACKENDS: tuple[Backend, ...] = (
    TensorRTBackend(),
    TensorRTRTXBackend(),
    PyTorchBackend("pytorch-cuda", "cuda"),
    OpenVINOBackend(),
    PyTorchBackend("pytorch", "cpu"),
)
"""All engines, the fastest first."""

_log = logging.getLogger(__name__)


def load_engine(
    graph: Graph, settings: EngineSettings | None = None, backends: Sequence[Backend] = BACKENDS
) -> Engine:
    """Make a graph ready to run on the engine asked for, or with ``auto`` on the fastest that works.

    With ``auto``, an engine that fails later, while running, is replaced by the next one; each failure is
    logged as an error. An engine asked for by name is not replaced.

    From then on NumPy's products of matrices take one thread in this process: those of OpenBLAS go on asking
    for work some 30 ms after each product, on cores that an engine needs by then.

    Raises:
        EngineError: no such engine or precision, or none works; the message gives the reason for each.
    """
    threadpool_limits(1, "blas")
    settings = (settings or EngineSettings()).parsed()
    if settings.engine == "auto":
        return watched(graph.name, FallbackEngine(graph, settings, backends))
    chosen = named(settings, backends)
    try:
        engine = _load(chosen, graph, settings)
    except Exception as error:
        raise EngineError(f"engine {chosen.name} failed to load {graph.name}: {error}") from error
    _log.info("%s runs on %s, as asked for", graph.name, engine.description)
    return watched(graph.name, engine)


def load_engines(graphs: Sequence[Graph], settings: EngineSettings | None = None) -> list[Engine]:
    """Make several graphs ready, one after the other, as ``load_engine`` does."""
    engines = []
    for index, graph in enumerate(graphs):
        part(index, len(graphs))
        engines.append(load_engine(graph, settings))
    return engines


def named(settings: EngineSettings, backends: Sequence[Backend] = BACKENDS) -> Backend:
    """The backend that settings name.

    Raises:
        EngineError: there is none of that name, or it cannot be used here as the settings ask.
    """
    chosen = {backend.name: backend for backend in backends}.get(settings.engine)
    if chosen is None:
        known = ", ".join(backend.name for backend in backends)
        raise EngineError(f"no engine named {settings.engine}; known: auto, {known}")
    reason = unusable(chosen, settings)
    if reason is not None:
        raise EngineError(f"engine {chosen.name} cannot be used: {reason}")
    return chosen


def unusable(backend: Backend, settings: EngineSettings) -> str | None:
    """Why a backend cannot be used here as the settings ask; None if it can."""
    if settings.precision not in ("auto", *backend.precisions):
        return f"it computes in {', '.join(backend.precisions)}, not in {settings.precision}"
    return backend.unavailable()


def _load(backend: Backend, graph: Graph, settings: EngineSettings) -> Engine:
    chosen = backend.precisions[0] if settings.precision == "auto" else settings.precision
    stage(f"{graph.name}: loading on {backend.name}", 0.0)
    return backend.load(graph, replace(settings, precision=chosen))


class FallbackEngine:
    """The first engine in order that loads and runs.

    Raises:
        EngineError: none does.
    """

    def __init__(self, graph: Graph, settings: EngineSettings, backends: Sequence[Backend]) -> None:
        self._graph, self._settings, self._remaining = graph, settings, list(backends)
        self._reasons: list[str] = []
        self._engine = self._next()

    @property
    def description(self) -> str:
        passed_over = f" ({'; '.join(self._reasons)})" if self._reasons else ""
        return self._engine.description + passed_over

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        while True:
            try:
                return self._engine.run(*arrays)
            except Exception as error:
                _log.exception("%s failed on %s", self._graph.name, self._engine.description)
                self._reasons.append(f"{self._engine.description} failed while running: {error}")
                self._engine = self._next()

    def _next(self) -> Engine:
        while self._remaining:
            backend = self._remaining.pop(0)
            reason = unusable(backend, self._settings)
            if reason is not None:
                self._reasons.append(f"not {backend.name}: {reason}")
                continue
            try:
                engine = _load(backend, self._graph, self._settings)
            except Exception as error:
                _log.exception("engine %s failed to load %s", backend.name, self._graph.name)
                self._reasons.append(f"{backend.name} failed to load: {error}")
                continue
            passed_over = f" ({'; '.join(self._reasons)})" if self._reasons else ""
            _log.info("%s runs on %s%s", self._graph.name, engine.description, passed_over)
            return engine
        raise EngineError(f"no engine can run {self._graph.name}: {'; '.join(self._reasons)}")
