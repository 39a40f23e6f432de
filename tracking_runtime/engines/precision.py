"""Graphs in half precision."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from tracking_runtime.engines.base import Graph

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class _CastModule(nn.Module):
    """A module with weights and arithmetic of another type. Inputs and outputs keep their types."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).to(dtype)
        self._dtype = dtype

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        cast = (value.to(self._dtype) if value.is_floating_point() else value for value in inputs)
        outputs = self.module(*cast)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output.float() if output.is_floating_point() else output for output in outputs)


def cast_graph(graph: Graph, dtype: torch.dtype) -> Graph:
    """Return the graph with weights and arithmetic of type `dtype`; inputs and outputs keep their types.

    The graph's module must cast integer inputs itself to the type of its floating-point inputs.
    """
    if dtype == torch.float32:
        return graph
    template = None if graph.shape_template is None else cast_graph(graph.shape_template, dtype)
    module = _CastModule(graph.module, dtype).eval()
    return replace(graph, module=module, shape_template=template, per_item_graph=None)
