"""Cache keys, loading and checks that the engines of NVIDIA GPUs share."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from tracking_runtime.engines.base import Engine, EngineError, Graph
from tracking_runtime.engines.cache import EngineCache, compute_graph_key
from tracking_runtime.engines.precision import DTYPES, cast_graph
from tracking_runtime.engines.trt_runtime import read_quantized_onnx
from tracking_runtime.engines.verification import verify_engine

DRIVER_FILES = (
    Path("/etc/nv_tegra_release"),
    Path("/sys/module/nvidia/version"),
    Path("/proc/driver/nvidia/version"),
)
"""Files with the driver's version: the release of a Jetson, else the kernel module's version."""

LoadedEngine = TypeVar("LoadedEngine", bound=Engine)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GpuBuild:
    """The build of a graph's engine for the GPU of this machine.

    Attributes:
        graph: graph to compile.
        precision: precision of the arithmetic.
        key: key of the engine in the cache.
        label: network and engine, as text for users.
        description: description of the loaded engine.
    """

    graph: Graph
    precision: str
    key: str
    label: str
    description: str


def describe_gpu_build(graph: Graph, precision: str, compiler: str, *versions: str) -> GpuBuild:
    """Describe the build of a graph's engine for the GPU of this machine.

    Args:
        graph: graph to compile.
        precision: precision of the arithmetic. In int8 the key depends on the calibration.
        compiler: name and version of the compiler.
        versions: versions that change the key, with that of the compiler.

    Raises:
        EngineError: the precision is int8 and the graph is not calibrated.
    """
    gpu_facts = read_gpu_facts()
    return GpuBuild(
        graph,
        precision,
        key=_compute_key(graph, precision, *versions, *gpu_facts),
        label=f"{graph.name}, {compiler}, {precision}",
        description=f"{compiler} on {gpu_facts[0]}, {precision}",
    )


def load_gpu_engine(
    build: GpuBuild, compile_graph: Callable[[Path], None], load: Callable[[str, Path], LoadedEngine]
) -> LoadedEngine:
    """Load an engine from the cache, or compile it, and compare its outputs with PyTorch's.

    Args:
        build: engine to load.
        compile_graph: function that writes the compiled engine to a folder.
        load: function that loads the engine from a description and a folder.

    Raises:
        EngineError: neither the cached engine nor a new one works.
    """
    return load_or_build_engine(
        build.key,
        build.label,
        build=compile_graph,
        load=partial(load, build.description),
        check=partial(verify_engine, build.graph, precision=build.precision),
    )


def load_or_build_engine(
    key: str,
    label: str,
    build: Callable[[Path], None],
    load: Callable[[Path], LoadedEngine],
    check: Callable[[LoadedEngine], None],
) -> LoadedEngine:
    """Load an engine from the cache, or build it. A cached engine that fails is built once more.

    If the cache cannot be written, the engine is built for this start only.

    Args:
        key: key of everything that the engine depends on.
        label: network and engine, as text for users.
        build: function that writes the engine to a folder.
        load: function that loads the engine from that folder. Any error may be raised.
        check: function that raises an error if the engine is faulty.

    Raises:
        EngineError: neither the cached engine nor a new one works. The error of an engine that was built at
            the first attempt is raised unchanged.
    """
    is_built = False

    def build_and_note(folder: Path) -> None:
        nonlocal is_built
        is_built = True
        build(folder)

    def load_and_check(cached: AbstractContextManager[Path]) -> LoadedEngine:
        with cached as folder:
            engine = load(folder)
        check(engine)
        return engine

    try:
        return load_and_check(EngineCache().get_or_build(key, label, build_and_note))
    except Exception as error:
        if is_built:
            raise
        _log.warning("%s: the cached engine failed and is built again: %s", label, error)
    try:
        return load_and_check(EngineCache().rebuild(key, label, build))
    except Exception as error:
        raise EngineError(f"{label}: the cached engine failed, and so did a rebuilt one: {error}") from error


def read_gpu_facts() -> tuple[str, str, str]:
    """Return the name, compute capability and driver version of the GPU of this machine."""
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    return torch.cuda.get_device_name(), capability, read_driver_version()


def read_driver_version(files: Iterable[Path] = DRIVER_FILES) -> str:
    """Read the version of NVIDIA's driver from the first file that exists; empty if none exists."""
    for path in files:
        with suppress(OSError):
            return path.read_text().strip()
    return ""


def _compute_key(graph: Graph, precision: str, *facts: str) -> str:
    if precision == "int8":
        return compute_graph_key(graph, *facts, hashlib.sha256(read_quantized_onnx(graph)).hexdigest())
    return compute_graph_key(cast_graph(graph, DTYPES[precision]), *facts)
