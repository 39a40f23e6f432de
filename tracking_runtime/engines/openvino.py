"""OpenVINO on a CPU, two to five times as fast as eager PyTorch.

Convolutions of many channels use Winograd's algorithm. Int8 does not: too many bits would be lost.
"""

from __future__ import annotations

import logging
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from tracking_runtime.engines.base import EngineSettings, Graph
from tracking_runtime.engines.batching import concat_batch, split_batch
from tracking_runtime.engines.build_progress import report_stage
from tracking_runtime.engines.cache import EngineCache, compute_content_key, compute_graph_key
from tracking_runtime.engines.openvino_conversion import (
    NETWORK_FILE,
    WEIGHTS_FILE,
    find_unavailable_reason,
    format_version,
    get_core,
    import_openvino,
    list_shapes,
    preserve_signal_stack,
    write_openvino,
)
from tracking_runtime.engines.openvino_int8 import open_quantized
from tracking_runtime.engines.winograd import to_winograd

_COMPILED_FILE = "network.blob"
_CONVERSION_FRACTION = 0.8  # fraction of a build's time that the conversion takes
_PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
_log = logging.getLogger(__name__)
_networks_in_use: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Compiled networks by their cache keys. Engines of the same key share one network and its weights."""


class OpenVINOEngine:
    """A graph compiled for the lowest latency on this CPU."""

    def __init__(self, graph: Graph, settings: EngineSettings) -> None:
        self.description = _format_description(settings)
        self._network = _load_compiled(graph, settings, num_streams=1)
        self._request = self._network.create_infer_request()
        self.run(*(example.numpy(force=True) for example in graph.examples))

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        results = self._request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=True)
        return tuple(np.array(result) for result in results.values())


class SideBySideEngine:
    """A batched graph as concurrent runs of the graph for one item, on this CPU.

    The convolutions of one item are too small to share among many threads, and fit into a core's cache.
    """

    def __init__(self, graph: Graph, per_item_graph: Graph, settings: EngineSettings) -> None:
        batch_size = len(graph.examples[0])
        self.description = _format_description(settings)
        num_streams = min(batch_size, settings.num_cpu_threads)
        self._network = _load_compiled(per_item_graph, settings, num_streams)
        self._requests = [self._network.create_infer_request() for _ in range(batch_size)]
        self.run(*(example.numpy(force=True) for example in graph.examples))

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        requests = self._requests[: len(arrays[0])]
        for request, item in zip(requests, split_batch(arrays), strict=True):
            request.start_async(dict(enumerate(item)), share_inputs=True)
        for request in requests:
            request.wait()
        return concat_batch(request.results.values() for request in requests)


class OpenVINOBackend:
    """OpenVINO, if its package is installed."""

    name = "openvino"
    precisions = ("float32", "bfloat16", "int8")

    def find_unavailable_reason(self) -> str | None:
        return find_unavailable_reason()

    def load(self, graph: Graph, settings: EngineSettings) -> OpenVINOEngine | SideBySideEngine:
        if graph.per_item_graph is not None:
            return SideBySideEngine(graph, graph.per_item_graph, settings)
        return OpenVINOEngine(graph, settings)


def _format_description(settings: EngineSettings) -> str:
    version = import_openvino().__version__.split("-")[0]
    return f"OpenVINO {version} on CPU, {settings.num_cpu_threads} threads, {settings.precision}"


def _load_compiled(graph: Graph, settings: EngineSettings, num_streams: int) -> Any:
    """Load a graph's network for a number of concurrent runs, from the cache if it is there."""
    properties = {
        "PERFORMANCE_HINT": "LATENCY" if num_streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": num_streams,
        "INFERENCE_NUM_THREADS": settings.num_cpu_threads,
        "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[settings.precision],
    }
    is_int8 = settings.precision == "int8"
    with open_quantized(graph) if is_int8 else _open_converted(graph.shape_template or graph) as folder:
        build = partial(_compile, graph, folder / NETWORK_FILE, properties)
        facts = (*_read_machine_facts(), *properties.values(), list_shapes(graph))
        key = compute_content_key(folder, (NETWORK_FILE, WEIGHTS_FILE), *facts)
        label = f"{graph.name}, {format_version()}, {settings.precision}, {num_streams} at once"
        with EngineCache().get_or_build(key, label, build) as compiled_folder:
            network = _networks_in_use.get(key) or _import(compiled_folder / _COMPILED_FILE, properties)
    _networks_in_use[key] = network
    return network


def _import(path: Path, properties: Mapping[str, Any]) -> Any:
    with preserve_signal_stack():
        return get_core().import_model(path.read_bytes(), "CPU", properties)


def _read_machine_facts() -> tuple[str, ...]:
    """Return what a compiled network depends on besides the network: OpenVINO's version and the CPU."""
    core = get_core()
    facts = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    return (format_version(), *map(str, facts))


def _compile(graph: Graph, path: Path, properties: Mapping[str, Any], folder: Path) -> None:
    """Compile a converted network for a graph's shapes on this CPU, and write it to a folder."""
    report_stage(f"{graph.name}: compiling by OpenVINO", _CONVERSION_FRACTION)
    core = get_core()
    network = core.read_model(path)
    if graph.shape_template is not None:
        network.reshape(dict(enumerate(list_shapes(graph))))
    with preserve_signal_stack():
        compiled = core.compile_model(network, "CPU", properties)
        (folder / _COMPILED_FILE).write_bytes(compiled.export_model().getvalue())


@contextmanager
def _open_converted(graph: Graph) -> Iterator[Path]:
    """Yield the folder of the converted network for any CPU and precision, from the cache if it is there."""
    version = format_version()
    try:
        key = compute_graph_key(graph, version, torch.__version__)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        _log.warning(
            "%s is converted at every start: its module cannot be serialized (%s)", graph.name, error
        )
        with tempfile.TemporaryDirectory() as folder:
            _convert(graph, Path(folder))
            yield Path(folder)
        return
    with EngineCache().get_or_build(
        key, f"{graph.name}, {version}", partial(_convert, graph)
    ) as cached_folder:
        yield cached_folder


def _convert(graph: Graph, folder: Path) -> None:
    report_stage(f"{graph.name}: converting for OpenVINO", 0.0)
    write_openvino(to_winograd(graph), folder / NETWORK_FILE)
