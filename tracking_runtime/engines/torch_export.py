"""Networks as programs of ATen operators, the input of compilers."""

from __future__ import annotations

import copy
import warnings

import torch
from torch.export import ExportedProgram

from tracking_runtime.engines.base import Graph


def export_program(graph: Graph, device: str = "cpu") -> ExportedProgram:
    """Export a graph's operators with static shapes, on a device.

    The examples are copied: torch.export merges two inputs that are the same tensor.
    """
    module = (
        copy.deepcopy(graph.module).eval().to(device)
    )  # the export changes the module, and so its cache key
    examples = tuple(example.detach().clone().to(device) for example in graph.examples)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.export.export(module, examples)
