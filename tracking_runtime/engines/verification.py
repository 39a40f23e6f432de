"""Whether an engine computes what PyTorch does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking_runtime.engines.base import Engine, EngineError, Graph

TOLERANCES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.2, "int8": 0.5}
"""Largest difference from PyTorch in float32 that an engine may show, see ``largest_difference``."""


def realistic_inputs(graph: Graph, seed: int = 0) -> list[NDArray[Any]]:
    """Noise in the range of a graph's examples; its integers but for bytes, which are places, as they are."""
    generator = torch.Generator().manual_seed(seed)
    return [_noise(example.detach(), generator).numpy() for example in graph.examples]


def _noise(example: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.rand(example.shape, generator=generator)
    if example.is_floating_point():
        return noise * 2 * example if example.any() else noise
    return (noise * 256).to(example.dtype) if example.dtype == torch.uint8 else example.clone()


def reference(graph: Graph, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """What PyTorch gives in float32."""
    with torch.inference_mode():
        outputs = graph.module.eval()(*map(torch.from_numpy, inputs))
    return [output.numpy() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs)]


def largest_difference(wanted: Sequence[NDArray[Any]], given: Sequence[NDArray[Any]]) -> float:
    """Between outputs, each relative to its largest value, or to 1 where that is less.

    Integers are the places of peaks. Equal peaks come in any order, so what is said of one is compared
    where both name the same place.
    """
    pairs = list(zip(wanted, given, strict=True))
    places = [a == b for a, b in pairs if not np.issubdtype(a.dtype, np.floating)]
    same = np.logical_and.reduce(places) if places else np.ones(0, bool)
    return max(_difference(a, b, same) for a, b in pairs if np.issubdtype(a.dtype, np.floating))


def _difference(wanted: NDArray[Any], given: NDArray[Any], same: NDArray[np.bool_]) -> float:
    if same.size and len(wanted) == len(same):
        wanted, given = wanted[same], given[same]
    return float(np.abs(wanted - given).max(initial=0) / max(np.abs(wanted).max(initial=0), 1))


def verify(graph: Graph, engine: Engine, precision: str) -> None:
    """Run an engine on noise, and compare.

    Raises:
        EngineError: it is too far from PyTorch in float32.
    """
    inputs = realistic_inputs(graph)
    difference = largest_difference(reference(graph, inputs), engine.run(*inputs))
    if not difference <= TOLERANCES[precision]:
        raise EngineError(f"it gives other numbers than PyTorch: they differ by {difference:.2g}")
