"""Tables by which pixels find each other, and fetching by them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Table:
    """Which row of a source each place looks at.

    Args:
        numbers: ``(M, K)`` or ``(M,)`` row numbers; the first after the last row stands for an inactive
            pixel, the second for one outside the image.
        rows: how many rows the source has; going backwards needs it.
    """

    def __init__(self, numbers: Tensor, rows: int = 0) -> None:
        self.numbers, self.rows = numbers, rows

    @cached_property
    def looked_at_from(self) -> Tensor:
        """``(rows, J)`` places (flat) that look at each row, the number of places where there are fewer."""
        flat = self.numbers.flatten()
        device = flat.device
        places = torch.argsort(flat, stable=True)
        ordered = flat[places]
        places = places[: int(torch.searchsorted(ordered, self.rows))]
        ordered = ordered[: len(places)]
        starts = torch.searchsorted(ordered, torch.arange(self.rows, dtype=flat.dtype, device=device))
        rank = torch.arange(len(places), device=device) - starts[ordered.long()]
        result = flat.new_full((self.rows, int(rank.max()) + 1 if len(rank) else 1), len(flat))
        result[ordered.long(), rank] = places.to(flat.dtype)
        return result


class _Rows(torch.autograd.Function):
    """Rows by number; backwards it gathers as well, which is much faster than scattering on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Table, outside: float) -> Tensor:
        ctx.table = table
        return _fetch(x, table.numbers, outside)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        padded = torch.cat([gradient, gradient.new_zeros(1, gradient.shape[1])])
        return F.embedding(ctx.table.looked_at_from, padded).sum(dim=1), None, None


def rows_at(x: Tensor, table: Table, outside: float = 0.0) -> Tensor:
    """Rows of ``x`` by number: zeros for inactive pixels, ``outside`` for those outside the image."""
    return _Rows.apply(x, table, outside) if torch.is_grad_enabled() else _fetch(x, table.numbers, outside)


def _fetch(x: Tensor, numbers: Tensor, outside: float) -> Tensor:
    channels = x.shape[1]
    return F.embedding(numbers, torch.cat([x, x.new_zeros(1, channels), x.new_full((1, channels), outside)]))
