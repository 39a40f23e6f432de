"""What engines compiled for NVIDIA's GPUs have in common."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeVar

import torch

from tracking_runtime.engines.base import Engine, EngineError, Graph
from tracking_runtime.engines.cache import EngineCache, graph_key
from tracking_runtime.engines.precision import DTYPES, in_precision
from tracking_runtime.engines.trt_runtime import quantised

DRIVER_FILES = (
    Path("/etc/nv_tegra_release"),
    Path("/sys/module/nvidia/version"),
    Path("/proc/driver/nvidia/version"),
)
"""Where the driver's version is: on a Jetson, whose release has it; elsewhere, in a container too."""

Loaded = TypeVar("Loaded", bound=Engine)
_log = logging.getLogger(__name__)


def gpu_facts() -> tuple[str, str, str]:
    """The GPU here, on which its engines depend: its name, its compute capability, its driver."""
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    return torch.cuda.get_device_name(), capability, driver_version()


def driver_version(files: Iterable[Path] = DRIVER_FILES) -> str:
    """What the first of the files that is there says of NVIDIA's driver; empty if there is none."""
    for path in files:
        with suppress(OSError):
            return path.read_text().strip()
    return ""


def engine_key(graph: Graph, precision: str, *facts: str) -> str:
    """The key of a graph's engine in a precision: as of ``graph_key``, and in int8 of how it was calibrated.

    Raises:
        EngineError: int8: it was not calibrated.
    """
    if precision == "int8":
        return graph_key(graph, *facts, hashlib.sha256(quantised(graph)).hexdigest())
    return graph_key(in_precision(graph, DTYPES[precision]), *facts)


def kept_engine(
    key: str,
    label: str,
    make: Callable[[Path], None],
    load: Callable[[Path], Loaded],
    check: Callable[[Loaded], None],
) -> Loaded:
    """An engine out of the cache, made if need be; one from an earlier start that fails is made once more.

    Where nothing can be kept, it is made for this start.

    Args:
        key: of everything it depends on.
        label: for people.
        make: fills a folder with it.
        load: it, from that folder; raises whatever goes wrong.
        check: raises what is wrong with it.

    Raises:
        EngineError: neither the earlier one nor a new one works. Of one just made, the first error is raised.
    """
    made: list[Path] = []

    def noted(folder: Path) -> None:
        made.append(folder)
        make(folder)

    def attempt(obtained: AbstractContextManager[Path]) -> Loaded:
        with obtained as folder:
            engine = load(folder)
        check(engine)
        return engine

    try:
        return attempt(EngineCache().obtain(key, label, noted))
    except Exception as error:
        if made:
            raise
        _log.warning("%s, as it was kept, does not work and is made again: %s", label, error)
    try:
        return attempt(EngineCache().renew(key, label, make))
    except Exception as error:
        raise EngineError(f"{label} does not work, nor does a new one: {error}") from error
