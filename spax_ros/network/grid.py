"""Where features live, and what they see around them.

A network is written once, against :class:`Grid`. On a :class:`DenseGrid` features are images
``(B, C, H, W)``; on the packed grid (`spax_ros.sparse`) they are matrices ``(N, C)`` of the active pixels.
Channels are axis 1 of both, so that everything that works pixel by pixel is ordinary arithmetic; a grid does
the rest.

With a mask, every spatial operation sees zeros where its input is inactive, and the mask does not grow: the
semantics of SPAX's sparse execution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Shift = NDArray[np.int64]  # (B, 2) y, x in pixels of level 0, one for each image


def at_level(shift: Shift, level: int) -> Shift:
    """A shift in whole pixels of a level, rounded to the nearest (halves up)."""
    return np.floor(shift / 2**level + 0.5).astype(np.int64)


def shift_at(transform: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Where the middle of an image was before, relative to where it is: y, x in pixels.

    Args:
        transform: ``(2, 3)`` from the previous frame's pixels to this one's.
        height: of the image.
        width: of the image.
    """
    middle = np.array([width / 2, height / 2])
    return (np.linalg.solve(transform[:, :2], middle - transform[:, 2]) - middle)[::-1]


def as_rows(x: Tensor, *shape: int) -> Tensor:
    """``(n, *shape)``, as many as there are: ``n`` stays open, so that the program is one for all buckets."""
    return x.contiguous().view(-1, *shape)


class Grid(Protocol):
    """Spatial operations on features; ``level`` is that of the input, at stride ``2 ** level``."""

    def zeros(self, like: Tensor, level: int, channels: int) -> Tensor:
        """Features of nothing, of the type and on the device of ``like``."""

    def carry(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        """Features of an earlier frame at this frame's pixels: (y, x) here was at (y, x) + shift there."""

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        """Centred convolution, stride 1 or 2, ``(out, in, k, k)`` or by channel ``(C, 1, k, k)``."""

    def conv_at(self, rows: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``(n, out)`` results of a convolution at level 0 for some pixels only, by number."""

    def conv_transpose(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int) -> Tensor:
        """To level - 1 with a 4x4 kernel ``(in, out, 4, 4)`` or, channel by channel, ``(C, 1, 4, 4)``."""

    def max_pool(self, x: Tensor, level: int, kernel: int) -> Tensor:
        """To level + 1; kernel 2 or 3 (centred)."""

    def average_pool(self, x: Tensor, level: int) -> Tensor:
        """Mean of 3x3 pixels, those outside counting as zero."""

    def mean(self, x: Tensor, level: int) -> Tensor:
        """Mean over the whole image, broadcastable to ``x``."""

    def reduce(self, x: Tensor, factor_log2: int) -> Tensor:
        """From level 0 to a coarser level by bilinear sampling without antialiasing."""

    def to_windows(self, x: Tensor, level: int, size: int) -> Tensor:
        """``(windows, C, size * size)``: the first window and all that hold anything, zeros elsewhere."""

    def from_windows(self, windows: Tensor, level: int, size: int) -> Tensor:
        """The inverse of ``to_windows``."""

    def where_seen(
        self,
        seen: Tensor,
        make: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        """What is made of the windows ``a`` and ``b`` where ``seen`` ``(windows,)``, zeros elsewhere.

        Making it takes so many ``operations`` for each window.
        """


@dataclass(frozen=True)
class DenseGrid:
    """Whole images, optionally with a mask.

    Attributes:
        shape: images, height, width at level 0.
        masks: ``(B, 1, H, W)`` of 0 and 1 for each level; None: everything is active.
    """

    shape: tuple[int, int, int]
    masks: tuple[Tensor, ...] | None = None

    @classmethod
    def masked(cls, mask: Tensor, levels: int) -> DenseGrid:
        """A grid with ``mask`` ``(B, H, W)``; a coarser pixel is active if any pixel under it is."""
        pyramid = [mask[:, None].float()]
        for _ in range(levels - 1):
            pyramid.append(F.max_pool2d(pyramid[-1], 2))
        return cls((mask.shape[0], mask.shape[1], mask.shape[2]), tuple(pyramid))

    def _seen(self, x: Tensor, level: int) -> Tensor:
        return x if self.masks is None else x * self.masks[level]

    def zeros(self, like: Tensor, level: int, channels: int) -> Tensor:
        images, height, width = self.shape
        return like.new_zeros(images, channels, height >> level, width >> level)

    def carry(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        assert isinstance(source, DenseGrid)
        x = source._seen(x, level)
        size = x.shape[2:]
        moved = []
        for image, shifts in zip(x, at_level(shift, level), strict=True):
            # Negative padding crops: what moves out is lost, what moves in is zero.
            dy, dx = (int(np.clip(step, -side, side)) for step, side in zip(shifts, size, strict=True))
            moved.append(F.pad(image, (-dx, dx, -dy, dy)))
        return torch.stack(moved)

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(self._seen(x, level), weight, bias, stride, weight.shape[-1] // 2, groups=groups)

    def conv_at(self, rows: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.conv(x, weight, bias, 0).permute(0, 2, 3, 1).flatten(0, 2)[rows]

    def conv_transpose(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int) -> Tensor:
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        return F.conv_transpose2d(self._seen(x, level), weight, bias, stride=2, padding=1, groups=groups)

    def max_pool(self, x: Tensor, level: int, kernel: int) -> Tensor:
        return F.max_pool2d(self._seen(x, level), kernel, 2, padding=kernel // 2 if kernel % 2 else 0)

    def average_pool(self, x: Tensor, level: int) -> Tensor:
        return F.avg_pool2d(self._seen(x, level), 3, 1, 1)

    def mean(self, x: Tensor, level: int) -> Tensor:
        return self._seen(x, level).mean(dim=(2, 3), keepdim=True)

    def reduce(self, x: Tensor, factor_log2: int) -> Tensor:
        size = [side >> factor_log2 for side in x.shape[2:]]
        return F.interpolate(self._seen(x, 0), size, mode="bilinear", align_corners=False)

    def to_windows(self, x: Tensor, level: int, size: int) -> Tensor:
        images, channels, height, width = x.shape
        blocks = self._seen(x, level).view(images, channels, height // size, size, width // size, size)
        return blocks.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, size * size)

    def from_windows(self, windows: Tensor, level: int, size: int) -> Tensor:
        images, height, width = self.shape[0], self.shape[1] >> level, self.shape[2] >> level
        blocks = windows.reshape(images, height // size, width // size, -1, size, size)
        return blocks.permute(0, 3, 1, 4, 2, 5).reshape(images, -1, height, width)

    def where_seen(
        self,
        seen: Tensor,
        make: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        chosen = torch.nonzero(seen)[:, 0]
        return torch.zeros_like(a).index_copy(0, chosen, make(a[chosen], b[chosen]))
