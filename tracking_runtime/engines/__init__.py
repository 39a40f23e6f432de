"""Inference engines: one protocol, several backends, and a choice of the fastest that works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from tracking_runtime.engines.base import Backend, Engine, EngineError, EngineSettings, Graph
    from tracking_runtime.engines.names import PRECISIONS
    from tracking_runtime.engines.selection import BACKENDS, load_engine, load_engines

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "Engine",
    "EngineError",
    "EngineSettings",
    "Graph",
    "load_engine",
    "load_engines",
]

__getattr__ = make_lazy_exports(
    __name__,
    {
        **dict.fromkeys(
            ["Backend", "Engine", "EngineError", "EngineSettings", "Graph"], "tracking_runtime.engines.base"
        ),
        "PRECISIONS": "tracking_runtime.engines.names",
        **dict.fromkeys(["BACKENDS", "load_engine", "load_engines"], "tracking_runtime.engines.selection"),
    },
)
