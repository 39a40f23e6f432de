"""Graphs in half the precision."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from tracking_runtime.engines.base import Graph

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class _In(nn.Module):
    """A module in another type; inputs and outputs stay what they were."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self._dtype = copy.deepcopy(module).to(dtype), dtype

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        cast = (value.to(self._dtype) if value.is_floating_point() else value for value in inputs)
        outputs = self.module(*cast)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output.float() if output.is_floating_point() else output for output in outputs)


def in_precision(graph: Graph, dtype: torch.dtype) -> Graph:
    """The whole graph with its weights and arithmetic in ``dtype``; inputs and outputs keep their types.

    Its module must itself cast what is not floating point to the type of what is.
    """
    if dtype == torch.float32:
        return graph
    pattern = None if graph.pattern is None else in_precision(graph.pattern, dtype)
    return replace(graph, module=_In(graph.module, dtype).eval(), pattern=pattern, single=None)
