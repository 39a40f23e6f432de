"""OpenVINO's engines leave the process as they found it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino", reason="needs OpenVINO")

PROGRAM = """
import gc, os, signal
import torch
from tracking_runtime.engines import EngineSettings, Graph
from tracking_runtime.engines.openvino import OpenVINOEngine

signal.signal(signal.SIGINT, lambda *_: print("heard"))
graph = Graph("conv", torch.nn.Conv2d(3, 4, 3).eval(), (torch.zeros(1, 3, 16, 16),), ("x",), ("y",))
first, second = (OpenVINOEngine(graph, EngineSettings(precision="float32")) for _ in range(2))
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_signal_is_heard_after_engines_are_gone() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stdout.split()) == (0, ["heard"]), result.stderr
