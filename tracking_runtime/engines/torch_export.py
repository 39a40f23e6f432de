"""Networks as programs of ATen operators, which compilers take."""

from __future__ import annotations

import copy
import warnings

import torch
from torch.export import ExportedProgram

from tracking_runtime.engines.base import Graph


def export_program(graph: Graph, device: str = "cpu") -> ExportedProgram:
    """The graph's operators, with static shapes, on a device.

    Inputs stay apart: torch.export takes the same tensor given twice for one input.
    """
    module = copy.deepcopy(graph.module).eval().to(device)  # exporting leaves marks, which keys would tell
    examples = tuple(example.detach().clone().to(device) for example in graph.examples)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.export.export(module, examples)
