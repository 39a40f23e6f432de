"""Comparison of an engine's outputs with PyTorch's in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracking_runtime.engines.base import Engine, EngineError, Graph

TOLERANCES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.2, "int8": 0.5}
"""Largest difference from PyTorch in float32 by precision, see `compute_max_difference`."""


def make_realistic_inputs(graph: Graph, seed: int = 0) -> list[NDArray[Any]]:
    """Make noise in the range of a graph's examples. Integers other than bytes are indices and are copied."""
    generator = torch.Generator().manual_seed(seed)
    return [_draw_noise(example.detach(), generator).numpy() for example in graph.examples]


def _draw_noise(example: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.rand(example.shape, generator=generator)
    if example.is_floating_point():
        return noise * 2 * example if example.any() else noise
    return (noise * 256).to(example.dtype) if example.dtype == torch.uint8 else example.clone()


def compute_reference(graph: Graph, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Compute a graph's outputs by PyTorch in float32."""
    with torch.inference_mode():
        outputs = graph.module.eval()(*map(torch.from_numpy, inputs))
    return [output.numpy() for output in ((outputs,) if isinstance(outputs, Tensor) else outputs)]


def compute_max_difference(expected: Sequence[NDArray[Any]], actual: Sequence[NDArray[Any]]) -> float:
    """Compute the largest difference between outputs, relative to each output's largest value or 1.

    Integer outputs are the indices of peaks. Equal peaks come in any order. So the values of a peak are
    compared only if both sides have the same index for it.
    """
    pairs = list(zip(expected, actual, strict=True))
    index_matches = [a == b for a, b in pairs if not np.issubdtype(a.dtype, np.floating)]
    is_same_peak = np.logical_and.reduce(index_matches) if index_matches else np.ones(0, bool)
    differences = (
        _compute_difference(a, b, is_same_peak) for a, b in pairs if np.issubdtype(a.dtype, np.floating)
    )
    return max(differences)


def _compute_difference(
    expected: NDArray[Any], actual: NDArray[Any], is_same_peak: NDArray[np.bool_]
) -> float:
    if is_same_peak.size and len(expected) == len(is_same_peak):
        expected = expected[is_same_peak]
        actual = actual[is_same_peak]
    return float(np.abs(expected - actual).max(initial=0) / max(np.abs(expected).max(initial=0), 1))


def verify_engine(graph: Graph, engine: Engine, precision: str) -> None:
    """Run an engine on noise and compare its outputs with PyTorch's in float32.

    Raises:
        EngineError: the difference exceeds the tolerance of the precision.
    """
    inputs = make_realistic_inputs(graph)
    difference = compute_max_difference(compute_reference(graph, inputs), engine.run(*inputs))
    tolerance = TOLERANCES[precision]
    if not difference <= tolerance:
        raise EngineError(f"outputs differ from PyTorch's by {difference:.2g}, expected at most {tolerance}")
