"""OpenVINO on a CPU: the same network compiled, two to five times as fast as eager PyTorch.

Convolutions of many channels take Winograd's algorithm, but for int8, which would lose too many bits by it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import pickle
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from tracking_runtime.engines import onnx
from tracking_runtime.engines.base import EngineError, EngineSettings, Graph
from tracking_runtime.engines.batching import joined, separate
from tracking_runtime.engines.build_progress import stage
from tracking_runtime.engines.cache import EngineCache, content_key, graph_key
from tracking_runtime.engines.torch_export import export_program
from tracking_runtime.engines.winograd import with_fewer_products

_FILE, _WEIGHTS = "network.xml", "network.bin"
_COMPILED = "network.blob"
_CONVERSION = 0.8
"""Share of a build's time that the conversion takes."""
_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
_log = logging.getLogger(__name__)
_in_use: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Compiled networks by their keys: engines share one, and its weights."""


class OpenVINOEngine:
    """A graph compiled for least latency on this CPU."""

    def __init__(self, graph: Graph, settings: EngineSettings) -> None:
        self.description = _description(settings)
        self._network = _compiled(graph, settings, streams=1)
        self._request = self._network.create_infer_request()
        self.run(*(example.numpy(force=True) for example in graph.examples))

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        results = self._request.infer(dict(enumerate(arrays)), share_inputs=True)
        return tuple(np.array(result) for result in results.values())


class SideBySideEngine:
    """A graph for several items as runs of the one for a single item, side by side on this CPU.

    What one item takes of a convolution is too little for many threads to share, and fits into their caches.
    """

    def __init__(self, graph: Graph, single: Graph, settings: EngineSettings) -> None:
        items = len(graph.examples[0])
        self.description = _description(settings)
        self._network = _compiled(single, settings, streams=min(items, settings.cpu_threads))
        self._requests = [self._network.create_infer_request() for _ in range(items)]
        self.run(*(example.numpy(force=True) for example in graph.examples))

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        requests = self._requests[: len(arrays[0])]
        for request, item in zip(requests, separate(arrays), strict=True):
            request.start_async(dict(enumerate(item)), share_inputs=True)
        for request in requests:
            request.wait()
        return joined(request.results.values() for request in requests)


def _description(settings: EngineSettings) -> str:
    version = _openvino().__version__.split("-")[0]
    return f"OpenVINO {version} on CPU, {settings.cpu_threads} threads, {settings.precision}"


def _compiled(graph: Graph, settings: EngineSettings, streams: int) -> Any:
    """A graph's network, ready for so many runs at once; an earlier start's if it is the same."""
    properties = {
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": settings.cpu_threads,
        "INFERENCE_PRECISION_HINT": _HINTS[settings.precision],
    }
    int8 = settings.precision == "int8"
    with _quantised(graph) if int8 else _converted(graph.pattern or graph) as folder:
        make = partial(_compile, graph, folder / _FILE, properties)
        key = content_key(folder, (_FILE, _WEIGHTS), *_machine(), *properties.values(), _shapes(graph))
        label = f"{graph.name}, {_version()}, {settings.precision}, {streams} at once"
        with EngineCache().obtain(key, label, make) as kept:
            network = _in_use.get(key) or _read(kept / _COMPILED, properties)
    _in_use[key] = network
    return network


def _read(path: Path, properties: Mapping[str, Any]) -> Any:
    with _same_signal_stack():
        return _core().import_model(path.read_bytes(), "CPU", properties)


def _shapes(graph: Graph) -> list[list[int]]:
    return [list(example.shape) for example in graph.examples]


def _machine() -> tuple[str, ...]:
    """What a compiled network depends on beside the network."""
    core = _core()
    facts = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    return (_version(), *map(str, facts))


def _compile(graph: Graph, path: Path, properties: Mapping[str, Any], folder: Path) -> None:
    """Compile a converted network for a graph's shapes, on this CPU."""
    stage(f"{graph.name}: compiling by OpenVINO", _CONVERSION)
    core = _core()
    network = core.read_model(path)
    if graph.pattern is not None:
        network.reshape(dict(enumerate(_shapes(graph))))
    with _same_signal_stack():
        compiled = core.compile_model(network, "CPU", properties)
        (folder / _COMPILED).write_bytes(compiled.export_model().getvalue())


@contextmanager
def _converted(graph: Graph) -> Iterator[Path]:
    """The folder of the converted network, for any CPU and precision; of an earlier start if it is there."""
    version = _version()
    try:
        key = graph_key(graph, version, torch.__version__)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        _log.warning("%s is converted at every start: it cannot be told apart (%s)", graph.name, error)
        with tempfile.TemporaryDirectory() as folder:
            _convert(graph, Path(folder))
            yield Path(folder)
        return
    with EngineCache().obtain(key, f"{graph.name}, {version}", partial(_convert, graph)) as kept:
        yield kept


@contextmanager
def _quantised(graph: Graph) -> Iterator[Path]:
    """The folder of the network in int8, which was calibrated before."""
    with EngineCache().obtain(_int8_key(graph), _int8_label(graph), partial(_refuse, graph)) as kept:
        yield kept


def _refuse(graph: Graph, folder: Path) -> None:
    uncalibrated = "not calibrated: `rstrack engine build MODEL --precision int8 --calibration SOURCE`"
    raise EngineError(graph.no_int8 or uncalibrated)


def _int8_key(graph: Graph) -> str:
    return graph_key(graph, _version(), torch.__version__, "int8")


def _int8_label(graph: Graph) -> str:
    return f"{graph.name}, {_version()}, int8"


def _version() -> str:
    return f"OpenVINO {_openvino().__version__}"


def quantise(graph: Graph, inputs: Sequence[Sequence[NDArray[Any]]]) -> None:
    """Make a graph's int8 network and keep it, for engines of that precision; as ONNX too, if that can be.

    Args:
        graph: to quantise.
        inputs: of runs, from which the range of each value is taken.

    Raises:
        EngineError: it cannot be made or kept; what was calibrated before stays as it was.
    """
    reason = uncalibratable([graph])
    if reason is not None:
        raise EngineError(f"{graph.name} cannot be calibrated: {reason}")

    def make(folder: Path) -> None:
        write_quantised(graph, inputs, folder / _FILE)
        if onnx.unquantisable() is None:
            onnx.write_quantised(graph, inputs, (folder / _FILE).with_suffix(".onnx"))

    cache = EngineCache()
    try:
        cache.replace(_int8_key(graph), _int8_label(graph), make)
    except Exception as error:
        places = f"made in {tempfile.gettempdir()} and kept in {cache.folder}"
        raise EngineError(f"{graph.name} in int8 cannot be {places}: {error}") from error


def describe_quantised(graph: Graph, facts: Mapping[str, Any]) -> None:
    """Keep what is known of a graph's int8 network with it, for people.

    Raises:
        EngineError: it cannot be kept; the network can be used all the same.
    """
    cache = EngineCache()
    try:
        cache.describe(_int8_key(graph), _int8_label(graph), facts)
    except OSError as error:
        what = f"{graph.name} is calibrated, but how well it tracks cannot be kept in {cache.folder}"
        raise EngineError(f"{what}: {error}") from error


def quantised_facts(graph: Graph) -> dict[str, Any]:
    """What is known of a graph's int8 network: its calibration, how well its tracker did before and after."""
    return EngineCache().facts(_int8_key(graph))


def copy_quantised(graph: Graph, path: Path) -> list[Path]:
    """Write a graph's int8 network, which was calibrated before.

    Args:
        graph: that was calibrated.
        path: of an ``.onnx``, or an ``.xml`` of OpenVINO's, beside which lies its ``.bin``.

    Returns:
        the files, the main one first.

    Raises:
        EngineError: as of ``read_quantised``.
    """
    paths = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    contents = read_quantised(graph, *(copy.suffix for copy in paths))
    for copy, content in zip(paths, contents, strict=True):
        copy.write_bytes(content)
    return paths


def read_quantised(graph: Graph, *suffixes: str) -> list[bytes]:
    """Files of a graph's int8 network: its ``.onnx``, or OpenVINO's ``.xml`` or ``.bin``.

    Raises:
        EngineError: it was not calibrated, or where there was no ONNX.
    """
    if missing() is not None:
        raise EngineError(f"{graph.name} is calibrated for int8 by OpenVINO, which is {missing()}")
    with _quantised(graph) as folder:
        kept = [(folder / _FILE).with_suffix(suffix) for suffix in suffixes]
        if not all(path.exists() for path in kept):
            lacking = onnx.unquantisable() or "something was not installed then: calibrate again"
            raise EngineError(f"{graph.name} was calibrated without ONNX: {lacking}")
        return [path.read_bytes() for path in kept]


def write_quantised(graph: Graph, inputs: Sequence[Sequence[NDArray[Any]]], path: Path) -> None:
    """Write a graph in int8 as OpenVINO's ``.xml`` and ``.bin``."""
    openvino = _openvino()
    logging.getLogger("nncf").setLevel(logging.ERROR)
    import nncf

    with tempfile.TemporaryDirectory() as folder:
        write_openvino(graph, Path(folder) / _FILE)
        network = _core().read_model(Path(folder) / _FILE)
        data = nncf.Dataset([dict(enumerate(arrays)) for arrays in inputs])
        mixed = nncf.QuantizationPreset.MIXED
        made = nncf.quantize(network, data, preset=mixed, subset_size=len(inputs))
        openvino.save_model(made, path, compress_to_fp16=False)


def uncalibratable(graphs: Iterable[Graph]) -> str | None:
    """Why these graphs cannot be quantised here; None if they can."""
    refusals = [graph.no_int8 for graph in graphs if graph.no_int8]
    if refusals:
        return refusals[0]
    if importlib.util.find_spec("nncf") is None:
        return "not installed: nncf (pip install 'remote_sensing_tracking[int8]')"
    return missing() or EngineCache().unwritable()


def _convert(graph: Graph, folder: Path) -> None:
    stage(f"{graph.name}: converting for OpenVINO", 0.0)
    write_openvino(with_fewer_products(graph), folder / _FILE)


def write_openvino(graph: Graph, path: Path) -> None:
    """Write a graph as OpenVINO's ``.xml`` and ``.bin``, with its names of inputs and outputs."""
    openvino = _openvino()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch's to itself
        converted = openvino.convert_model(export_program(graph))
    for ports, names in ((converted.inputs, graph.inputs), (converted.outputs, graph.outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    converted.reshape(dict(enumerate(_shapes(graph))))  # conversion forgets them; what is dynamic is slower
    openvino.save_model(converted, path, compress_to_fp16=False)


def run_file(path: Path, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs of a file in OpenVINO's format or in ONNX, in float32 on this CPU."""
    core = _core()
    with _same_signal_stack():
        compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled.create_infer_request().infer(dict(enumerate(inputs)))
    return [np.array(result) for result in results.values()]


def _openvino() -> Any:
    # Without this module OpenVINO does not report its use to its maker, by processes forked from ours.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


@lru_cache
def _core() -> Any:
    return _openvino().Core()


def missing() -> str | None:
    """Why OpenVINO cannot be used here; None if it can."""
    if importlib.util.find_spec("openvino") is None:
        return "not installed: openvino (pip install 'remote_sensing_tracking[cpu]')"
    return None


class _SignalStack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2)."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def _same_signal_stack() -> Iterator[None]:
    """Keep the thread's signal stack as it is.

    Each model that OpenVINO compiles installs one of its own, and puts back the one before when it is freed.
    Freed in another order than made, they leave a thread with a stack that is gone: its next signal kills.
    """
    libc = ctypes.CDLL(None)
    before = _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


class OpenVINOBackend:
    """OpenVINO, where the package is installed."""

    name = "openvino"
    precisions = ("float32", "bfloat16", "int8")

    def unavailable(self) -> str | None:
        return missing()

    def load(self, graph: Graph, settings: EngineSettings) -> OpenVINOEngine | SideBySideEngine:
        if graph.single is not None:
            return SideBySideEngine(graph, graph.single, settings)
        return OpenVINOEngine(graph, settings)
