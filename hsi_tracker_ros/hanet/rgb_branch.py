"""Interface of a network that tracks a template through BGR crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.backbones import Backbone
from hsi_tracker_ros.hanet.crops import SIAMBAN_GEOMETRY, CropGeometry


@dataclass(frozen=True)
class ResponseGrid:
    """Positions of the responses in a search crop: `size` x `size` points, `stride` pixels apart.

    The point with index `size // 2` is the center of the crop.
    """

    size: int
    stride: int

    def compute_offsets(self) -> Tensor:
        """Return the offsets of the points from the crop's center in pixels, along an axis, `(size,)`."""
        return (torch.arange(self.size) - self.size // 2) * float(self.stride)

    def compute_interpolation(self, other: ResponseGrid) -> Tensor:
        """Return the matrix `(size, other.size)` that interpolates values of another grid.

        Beyond the other grid, the values are constant.
        """
        position = (self.compute_offsets() / other.stride + other.size // 2).clamp(0, other.size - 1)
        lower = position.floor().clamp(max=other.size - 2).long()
        fraction = (position - lower)[:, None]
        points = torch.arange(other.size)
        return (points == lower[:, None]) * (1 - fraction) + (points == lower[:, None] + 1) * fraction


SIAMBAN_GRID = ResponseGrid(25, 8)


class RgbBranch(nn.Module):
    """Template and search features of BGR crops, and the responses of search features to kernels.

    A template is encoded once into kernels of any shape. The kernels are inputs of the search.

    Attributes:
        backbone: backbone of both sides.
        grid: positions of the responses.
        geometry: sizes of the crops.
    """

    backbone: Backbone
    grid: ResponseGrid
    geometry: CropGeometry = SIAMBAN_GEOMETRY

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the features of BGR crops `(batch, 3, size, size)` of 0..255, one tensor per level."""
        raise NotImplementedError

    def classification_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Return the classification kernels `(batch, ...)` of template features."""
        raise NotImplementedError

    def regression_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Return the regression kernels `(batch, ...)` of template features."""
        raise NotImplementedError

    def classify(self, search: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        """Return the background and target logits `(batch, 2, size, size)` for each template's kernels."""
        raise NotImplementedError

    def regress(self, search: Sequence[Tensor], kernels: Tensor) -> Tensor:
        """Return the distances of each point to the sides of the box, `(batch, 4, size, size)`.

        The sides are left, top, right and bottom, in pixels of the search crop.
        """
        raise NotImplementedError

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """Return the responses of search crops to templates, both BGR (batch, 3, side, side).

        Returns:
            `cls` logits of background and target, (batch, 2, size, size), and `loc` distances to the sides of
            the box in pixels of the search crop, (batch, 4, size, size).
        """
        z, x = self.features(template), self.features(search)
        (cls,) = self.classify(x, [self.classification_kernels(z)])
        return cls, self.regress(x, self.regression_kernels(z))
