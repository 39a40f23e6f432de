"""Index tables of neighboring pixels, and gathering rows by them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class GatherTable:
    """Row of a source that each position reads.

    Args:
        indices: row indices ``(M, K)`` or ``(M,)``. The first index after the last row stands for an inactive
            pixel, the second for a pixel outside the image.
        num_rows: rows of the source; only back-propagation needs it.
    """

    def __init__(self, indices: Tensor, num_rows: int = 0) -> None:
        self.indices = indices
        self.num_rows = num_rows

    @cached_property
    def inverse(self) -> Tensor:
        """Flat positions ``(rows, J)`` that read each row, padded with the number of positions."""
        flat = self.indices.flatten()
        device = flat.device
        positions = torch.argsort(flat, stable=True)
        rows = flat[positions]
        positions = positions[: int(torch.searchsorted(rows, self.num_rows))]
        rows = rows[: len(positions)]
        starts = torch.searchsorted(rows, torch.arange(self.num_rows, dtype=flat.dtype, device=device))
        rank = torch.arange(len(positions), device=device) - starts[rows.long()]
        result = flat.new_full((self.num_rows, int(rank.max()) + 1 if len(rank) else 1), len(flat))
        result[rows.long(), rank] = positions.to(flat.dtype)
        return result


class _GatherRows(torch.autograd.Function):
    """Gather rows by index. The backward pass gathers too, much faster than scattering on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: GatherTable, outside: float) -> Tensor:
        ctx.table = table
        return _gather(x, table.indices, outside)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        padded = torch.cat([gradient, gradient.new_zeros(1, gradient.shape[1])])
        return F.embedding(ctx.table.inverse, padded).sum(dim=1), None, None


def gather_rows(x: Tensor, table: GatherTable, outside: float = 0.0) -> Tensor:
    """Gather rows of `x` by index.

    Args:
        x: source ``(rows, C)``.
        table: row indices; inactive pixels are zeros.
        outside: value of pixels outside the image.
    """
    if torch.is_grad_enabled():
        return _GatherRows.apply(x, table, outside)
    return _gather(x, table.indices, outside)


def _gather(x: Tensor, indices: Tensor, outside: float) -> Tensor:
    channels = x.shape[1]
    padded = torch.cat([x, x.new_zeros(1, channels), x.new_full((1, channels), outside)])
    return F.embedding(indices, padded)
