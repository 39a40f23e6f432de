"""Signals of a process after OpenVINO's engines are freed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino", reason="needs OpenVINO")

PROGRAM = """
import gc, os, signal
from dataclasses import replace
import torch
from tracking_runtime.engines import EngineSettings, Graph
from tracking_runtime.engines.openvino import OpenVINOBackend

signal.signal(signal.SIGINT, lambda *_: print("received"))
graph = Graph("conv", torch.nn.Conv2d(3, 4, 3).eval(), (torch.zeros(1, 3, 16, 16),), ("x",), ("y",))
batched_graph = replace(graph, examples=(torch.zeros(2, 3, 16, 16),), per_item_graph=graph)
settings = EngineSettings(precision="float32", threads=2)
first, second = (OpenVINOBackend().load(each, settings) for each in (graph, batched_graph))
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.slow
def test_signal_is_received_after_engines_are_freed() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)

    assert (result.returncode, result.stdout.split()) == (0, ["received"]), result.stderr
