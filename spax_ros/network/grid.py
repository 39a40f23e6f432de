"""Grids: where features live, and the spatial operations on them.

A network is written once, against `Grid`. On a `DenseGrid` features are images ``(B, C, H, W)``. On the
sparse grid (`spax_ros.sparse`) features are matrices ``(N, C)`` of the active pixels. Channels are axis 1 of
both. Operations on single pixels are therefore ordinary arithmetic, and a grid does all others.

With a mask, every spatial operation reads zeros where its input is inactive, and the mask does not grow.
These are the semantics of SPAX's sparse execution.
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


def scale_shift(shift: Shift, level: int) -> Shift:
    """Return a shift in whole pixels of a level, rounded to the nearest (halves up)."""
    return np.floor(shift / 2**level + 0.5).astype(np.int64)


def compute_center_shift(transform: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Return the previous position of the image's center minus its position now: y, x in pixels.

    Args:
        transform: camera motion ``(3, 3)`` from the previous frame's pixels to this frame's.
        height: height of the image.
        width: width of the image.
    """
    center = np.array([width / 2, height / 2])
    before = np.linalg.solve(transform, [*center, 1.0])
    return (before[:2] / before[2] - center)[::-1]


def view_as_rows(x: Tensor, *shape: int) -> Tensor:
    """Return a view ``(n, *shape)``. `n` is inferred, so that all buckets have one program."""
    return x.contiguous().view(-1, *shape)


class Grid(Protocol):
    """Spatial operations on features. `level` is the level of the input, at stride ``2 ** level``."""

    def zeros(self, like: Tensor, level: int, channels: int) -> Tensor:
        """Return features of zeros, of the type and on the device of `like`."""

    def warp(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        """Return an earlier frame's features at this frame's pixels.

        Args:
            x: features on `source`.
            level: level of the features.
            source: grid of the earlier frame.
            shift: the pixel (y, x) of this frame was at (y, x) + shift in the earlier frame.
        """

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        """Convolve with a centered kernel ``(out, in, k, k)`` or depthwise ``(C, 1, k, k)``."""

    def conv_at(self, rows: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve at level 0, only at some pixels given by row: ``(n, out)``."""

    def conv_transpose(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int) -> Tensor:
        """Upsample to level - 1 with a 4x4 kernel ``(in, out, 4, 4)`` or depthwise ``(C, 1, 4, 4)``."""

    def max_pool(self, x: Tensor, level: int, kernel: int) -> Tensor:
        """Pool to level + 1 with a kernel of 2 or 3 (centered)."""

    def average_pool(self, x: Tensor, level: int) -> Tensor:
        """Return the means of 3x3 pixels; pixels outside count as zero."""

    def mean(self, x: Tensor, level: int) -> Tensor:
        """Return the mean of each channel over the whole image, broadcastable to `x`."""

    def downsample(self, x: Tensor, factor_log2: int) -> Tensor:
        """Sample level 0 at a coarser level, bilinearly and without antialiasing."""

    def to_windows(self, x: Tensor, level: int, size: int) -> Tensor:
        """Return windows ``(windows, C, size * size)``: the first, and all that contain active pixels."""

    def from_windows(self, windows: Tensor, level: int, size: int) -> Tensor:
        """Return the features of windows: the inverse of `to_windows`."""

    def apply_where(
        self,
        is_selected: Tensor,
        function: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        """Apply a function to the selected windows; the others are zero.

        Args:
            is_selected: True for the selected windows, ``(windows,)``.
            function: function of windows of `a` and `b`.
            a: first argument, ``(windows, C, pixels)``.
            b: second argument, ``(windows, C, pixels)``.
            operations: operations of the function for each window.
        """


@dataclass(frozen=True)
class DenseGrid:
    """Whole images, optionally with a mask.

    Attributes:
        shape: number of images, height and width at level 0.
        masks: mask of each level, ``(B, 1, H, W)`` of 0 and 1; None: all pixels are active.
    """

    shape: tuple[int, int, int]
    masks: tuple[Tensor, ...] | None = None

    @classmethod
    def masked(cls, mask: Tensor, num_levels: int) -> DenseGrid:
        """Make a grid with a mask ``(B, H, W)``; a coarser pixel is active if any pixel under it is."""
        pyramid = [mask[:, None].float()]
        for _ in range(num_levels - 1):
            pyramid.append(F.max_pool2d(pyramid[-1], 2))
        return cls((mask.shape[0], mask.shape[1], mask.shape[2]), tuple(pyramid))

    def _apply_mask(self, x: Tensor, level: int) -> Tensor:
        return x if self.masks is None else x * self.masks[level]

    def zeros(self, like: Tensor, level: int, channels: int) -> Tensor:
        images, height, width = self.shape
        return like.new_zeros(images, channels, height >> level, width >> level)

    def warp(self, x: Tensor, level: int, source: Grid, shift: Shift) -> Tensor:
        assert isinstance(source, DenseGrid)
        x = source._apply_mask(x, level)
        size = x.shape[2:]
        warped = []
        for image, shifts in zip(x, scale_shift(shift, level), strict=True):
            # Negative padding crops. Pixels from outside are zero.
            dy, dx = (int(np.clip(step, -side, side)) for step, side in zip(shifts, size, strict=True))
            warped.append(F.pad(image, (-dx, dx, -dy, dy)))
        return torch.stack(warped)

    def conv(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int, stride: int = 1) -> Tensor:
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(
            self._apply_mask(x, level), weight, bias, stride, weight.shape[-1] // 2, groups=groups
        )

    def conv_at(self, rows: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.conv(x, weight, bias, 0).permute(0, 2, 3, 1).flatten(0, 2)[rows]

    def conv_transpose(self, x: Tensor, weight: Tensor, bias: Tensor | None, level: int) -> Tensor:
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        return F.conv_transpose2d(
            self._apply_mask(x, level), weight, bias, stride=2, padding=1, groups=groups
        )

    def max_pool(self, x: Tensor, level: int, kernel: int) -> Tensor:
        return F.max_pool2d(self._apply_mask(x, level), kernel, 2, padding=kernel // 2 if kernel % 2 else 0)

    def average_pool(self, x: Tensor, level: int) -> Tensor:
        return F.avg_pool2d(self._apply_mask(x, level), 3, 1, 1)

    def mean(self, x: Tensor, level: int) -> Tensor:
        return self._apply_mask(x, level).mean(dim=(2, 3), keepdim=True)

    def downsample(self, x: Tensor, factor_log2: int) -> Tensor:
        size = [side >> factor_log2 for side in x.shape[2:]]
        return F.interpolate(self._apply_mask(x, 0), size, mode="bilinear", align_corners=False)

    def to_windows(self, x: Tensor, level: int, size: int) -> Tensor:
        images, channels, height, width = x.shape
        blocks = self._apply_mask(x, level).view(images, channels, height // size, size, width // size, size)
        return blocks.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, size * size)

    def from_windows(self, windows: Tensor, level: int, size: int) -> Tensor:
        images, height, width = self.shape[0], self.shape[1] >> level, self.shape[2] >> level
        blocks = windows.reshape(images, height // size, width // size, -1, size, size)
        return blocks.permute(0, 3, 1, 4, 2, 5).reshape(images, -1, height, width)

    def apply_where(
        self,
        is_selected: Tensor,
        function: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        operations: int,
    ) -> Tensor:
        selected = torch.nonzero(is_selected)[:, 0]
        return torch.zeros_like(a).index_copy(0, selected, function(a[selected], b[selected]))
