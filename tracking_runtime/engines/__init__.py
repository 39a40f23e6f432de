"""What runs networks: one protocol, several engines, the fastest that works chosen by ``load_engine``."""

from tracking_runtime.engines.base import (
    PRECISIONS,
    Backend,
    Engine,
    EngineError,
    EngineSettings,
    Graph,
)
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
