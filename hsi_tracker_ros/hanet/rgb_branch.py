"""What a network that follows a template through BGR crops offers, whatever it is built like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.backbones import Backbone


@dataclass(frozen=True)
class ResponseGrid:
    """Where the responses of a search crop lie: ``size`` x ``size`` points, ``stride`` pixels apart.

    The point of index ``size // 2`` is the middle of the crop.
    """

    size: int
    stride: int

    def offsets(self) -> Tensor:
        """``(size,)`` pixels from the middle of the crop, along either axis."""
        return (torch.arange(self.size) - self.size // 2) * float(self.stride)

    def interpolation(self, other: ResponseGrid) -> Tensor:
        """``(size, other.size)``: linear interpolation of the other's values here, constant beyond it."""
        place = (self.offsets() / other.stride + other.size // 2).clamp(0, other.size - 1)
        lower = place.floor().clamp(max=other.size - 2).long()
        rest = (place - lower)[:, None]
        points = torch.arange(other.size)
        return (points == lower[:, None]) * (1 - rest) + (points == lower[:, None] + 1) * rest


SIAMBAN_GRID = ResponseGrid(25, 8)


class RgbBranch(nn.Module):
    """Template and search features of BGR crops, and the responses of one to the other.

    A template is encoded once into kernels, whose shape is the network's own affair; the kernels are inputs
    of what follows, never constants.

    Attributes:
        backbone: of both sides.
        grid: of the responses.
    """

    backbone: Backbone
    grid: ResponseGrid

    def features(self, image: Tensor) -> list[Tensor]:
        """Of BGR crops ``(batch, 3, size, size)``, 0..255: one tensor per level."""
        raise NotImplementedError

    def classification_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Kernels ``(batch, ...)`` of template features."""
        raise NotImplementedError

    def regression_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Kernels ``(batch, ...)`` of template features."""
        raise NotImplementedError

    def classify(self, search: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        """Background and target logits ``(batch, 2, size, size)`` for each of several templates' kernels."""
        raise NotImplementedError

    def regress(self, search: Sequence[Tensor], kernels: Tensor) -> Tensor:
        """Left, top, right, bottom distances ``(batch, 4, size, size)`` from each point, in search pixels."""
        raise NotImplementedError

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """``cls`` logits and ``loc`` distances of BGR crops of 127 and 255 pixels."""
        z, x = self.features(template), self.features(search)
        (cls,) = self.classify(x, [self.classification_kernels(z)])
        return cls, self.regress(x, self.regression_kernels(z))
