"""Tables by which pixels find each other, and fetching by them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor


class Table:
    """Which row of a source each place looks at.

    Args:
        numbers: ``(M, K)`` or ``(M,)`` row numbers; those from ``rows`` on stand for no row at all.
        rows: how many rows the source has.
    """

    def __init__(self, numbers: Tensor, rows: int) -> None:
        self.numbers, self.rows = numbers, rows

    @cached_property
    def looked_at_from(self) -> Tensor:
        """``(rows, J)`` places (flat) that look at each row, the number of places where there are fewer."""
        flat = self.numbers.flatten()
        places = torch.argsort(flat, stable=True)
        ordered = flat[places]
        places = places[: int(torch.searchsorted(ordered, self.rows))]
        ordered = ordered[: len(places)]
        starts = torch.searchsorted(ordered, torch.arange(self.rows, dtype=ordered.dtype))
        rank = torch.arange(len(places)) - starts[ordered.long()]
        result = flat.new_full((self.rows, int(rank.max()) + 1 if len(rank) else 1), len(flat))
        result[ordered.long(), rank] = places.to(flat.dtype)
        return result


class _Rows(torch.autograd.Function):
    """Rows by number; backwards it gathers as well, which is much faster than scattering on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Table) -> Tensor:
        ctx.table = table
        return _fetch(x, table.numbers)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        padded = torch.cat([gradient, gradient.new_zeros(1, gradient.shape[1])])
        places = ctx.table.looked_at_from
        return padded.index_select(0, places.flatten()).view(*places.shape, gradient.shape[1]).sum(
            dim=1
        ), None


def rows_at(x: Tensor, table: Table) -> Tensor:
    """Rows of ``x`` by number; those of inactive pixels and of pixels outside are zero."""
    return _Rows.apply(x, table) if torch.is_grad_enabled() else _fetch(x, table.numbers)


def _fetch(x: Tensor, numbers: Tensor) -> Tensor:
    padded = torch.cat([x, x.new_zeros(2, x.shape[1])])
    return padded.index_select(0, numbers.flatten()).view(*numbers.shape, x.shape[1])
