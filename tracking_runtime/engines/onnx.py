"""Networks as ONNX files, which most other tools read."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import torch

from tracking_runtime.engines.program import export_program
from tracking_runtime.engines.protocol import Graph

OPSET = 20
NEEDED = ("onnx", "onnxscript")


def unavailable() -> str | None:
    """Why no ONNX file can be written here; None if one can."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (pip install 'remote_sensing_tracking[export]')"
    return None


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph's file, with its names of inputs and outputs, and its weights in it."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of libraries that nothing here needs
    made = torch.onnx.export(
        export_program(graph),
        (),
        dynamo=True,
        opset_version=OPSET,
        input_names=graph.inputs,
        output_names=graph.outputs,
        external_data=False,
        verbose=False,
    )
    assert made is not None, "export by dynamo gives a program"
    made.save(path)
