"""OpenVINO on a CPU: the same network compiled, two to five times as fast as eager PyTorch."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tracking_runtime.engines.protocol import EngineSettings, Graph


class OpenVINOEngine:
    """A graph compiled for least latency on this CPU."""

    def __init__(self, graph: Graph, settings: EngineSettings) -> None:
        # Without this module OpenVINO does not report its use to its maker, by processes forked from ours.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino

        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            exported = torch.export.export(graph.module.eval(), graph.examples)
            model = openvino.convert_model(exported)
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": settings.cpu_threads,
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[settings.precision],
        }
        with _same_signal_stack():
            self._request = openvino.Core().compile_model(model, "CPU", properties).create_infer_request()
        version = openvino.__version__.split("-")[0]
        self.description = f"OpenVINO {version} on CPU, {settings.cpu_threads} threads, {settings.precision}"
        self.run(*(example.numpy(force=True) for example in graph.examples))

    def run(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        results = self._request.infer(dict(enumerate(arrays)), share_inputs=True)
        return tuple(np.array(result) for result in results.values())


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

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "the package openvino is not installed (pip install 'remote_sensing_tracking[cpu]')"
        return None

    def load(self, graph: Graph, settings: EngineSettings) -> OpenVINOEngine:
        return OpenVINOEngine(graph, settings)
