"""Selection of an engine, and fallback to the next one if it fails."""

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
from tracking_runtime.engines.build_progress import begin_engine, report_stage
from tracking_runtime.engines.input_capture import wrap_engine
from tracking_runtime.engines.openvino import OpenVINOBackend
from tracking_runtime.engines.pytorch import PyTorchBackend
from tracking_runtime.engines.tensorrt import TensorRTBackend
from tracking_runtime.engines.tensorrt_rtx import TensorRTRTXBackend
from tracking_runtime.system_info import has_bfloat16_instructions

BACKENDS: tuple[Backend, ...] = (
    TensorRTBackend(),
    TensorRTRTXBackend(),
    PyTorchBackend("pytorch-cuda", "cuda"),
    OpenVINOBackend(),
    PyTorchBackend("pytorch", "cpu"),
)
"""All backends, the fastest first. `names.ENGINE_NAMES` lists their names in the same order."""

_log = logging.getLogger(__name__)


def load_engine(
    graph: Graph, settings: EngineSettings | None = None, backends: Sequence[Backend] = BACKENDS
) -> Engine:
    """Load a graph on the engine of the settings, or with `auto` on the fastest that works.

    With `auto`, an engine that fails later, while running, is replaced by the next one. Each failure is
    logged as an error. An engine selected by name is not replaced.

    From then on NumPy's matrix products use one thread in this process. The threads of OpenBLAS spin for
    about 30 ms after each product, on cores that the engine needs.

    Args:
        graph: network to run.
        settings: choice of an engine; None: `auto`.
        backends: backends to choose from, the fastest first.

    Raises:
        EngineError: the engine or precision is unknown, or no engine works. The message gives each reason.
    """
    threadpool_limits(1, "blas")
    settings = (settings or EngineSettings()).parse_precision_suffix()
    if settings.engine == "auto":
        return wrap_engine(graph.name, FallbackEngine(graph, settings, backends))
    backend = find_backend(settings, backends)
    try:
        engine = _load_on_backend(backend, graph, settings)
    except Exception as error:
        raise EngineError(f"engine {backend.name} failed to load {graph.name}: {error}") from error
    _log.info("%s runs on %s, as set", graph.name, engine.description)
    return wrap_engine(graph.name, engine)


def load_engines(graphs: Sequence[Graph], settings: EngineSettings | None = None) -> list[Engine]:
    """Load several graphs one after the other, as `load_engine` does."""
    engines = []
    for index, graph in enumerate(graphs):
        begin_engine(index, len(graphs))
        engines.append(load_engine(graph, settings))
    return engines


def find_backend(settings: EngineSettings, backends: Sequence[Backend] = BACKENDS) -> Backend:
    """Return the backend that the settings name.

    Raises:
        EngineError: the name is unknown, or the backend cannot run here with these settings.
    """
    backend = {backend.name: backend for backend in backends}.get(settings.engine)
    if backend is None:
        known = ", ".join(backend.name for backend in backends)
        raise EngineError(f"unknown engine {settings.engine}; known: auto, {known}")
    reason = find_unavailable_reason(backend, settings)
    if reason is not None:
        raise EngineError(f"engine {backend.name} cannot be used: {reason}")
    return backend


def find_unavailable_reason(backend: Backend, settings: EngineSettings) -> str | None:
    """Return the reason why a backend cannot run here with these settings; None if it can."""
    if settings.precision not in ("auto", *backend.precisions):
        return f"{backend.name} computes in {', '.join(backend.precisions)}, not in {settings.precision}"
    return backend.find_unavailable_reason()


def _load_on_backend(backend: Backend, graph: Graph, settings: EngineSettings) -> Engine:
    report_stage(f"{graph.name}: loading on {backend.name}", 0.0)
    return backend.load(graph, replace(settings, precision=choose_precision(backend, settings)))


def choose_precision(backend: Backend, settings: EngineSettings) -> str:
    """Return the precision of the settings on a backend."""
    if settings.precision != "auto":
        return settings.precision
    if settings.permits_bfloat16 and isinstance(backend, OpenVINOBackend) and has_bfloat16_instructions():
        return "bfloat16"
    return backend.precisions[0]


class FallbackEngine:
    """The first of several engines that loads and runs.

    Args:
        graph: network to run.
        settings: precision and CPU threads of the engine.
        backends: backends to try, in this order.

    Raises:
        EngineError: no engine loads.
    """

    def __init__(self, graph: Graph, settings: EngineSettings, backends: Sequence[Backend]) -> None:
        self._graph = graph
        self._settings = settings
        self._remaining_backends = list(backends)
        self._failures: list[str] = []
        self._engine = self._load_next()

    @property
    def description(self) -> str:
        return self._engine.description + self._format_failures()

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        while True:
            try:
                return self._engine.run(*arrays)
            except Exception as error:
                _log.exception("%s failed on %s", self._graph.name, self._engine.description)
                self._failures.append(f"{self._engine.description} failed while running: {error}")
                self._engine = self._load_next()

    def _load_next(self) -> Engine:
        while self._remaining_backends:
            backend = self._remaining_backends.pop(0)
            reason = find_unavailable_reason(backend, self._settings)
            if reason is not None:
                self._failures.append(f"not {backend.name}: {reason}")
                continue
            try:
                engine = _load_on_backend(backend, self._graph, self._settings)
            except Exception as error:
                _log.exception("engine %s failed to load %s", backend.name, self._graph.name)
                self._failures.append(f"{backend.name} failed to load: {error}")
                continue
            _log.info("%s runs on %s%s", self._graph.name, engine.description, self._format_failures())
            return engine
        raise EngineError(f"no engine can run {self._graph.name}: {'; '.join(self._failures)}")

    def _format_failures(self) -> str:
        return f" ({'; '.join(self._failures)})" if self._failures else ""
