"""Neck: backbone features to the channels of the head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

TEMPLATE_FEATURES = 7


class AdjustLayer(nn.Module):
    """A 1x1 convolution on the grid of the finest level. Templates are cropped to the central 7 x 7."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: Tensor, size: int) -> Tensor:
        x = self.downsample(x)
        if x.shape[-1] < size:
            x = _upsample(x)
        if x.shape[-1] < 20:
            margin = (x.shape[-1] - TEMPLATE_FEATURES) // 2
            x = x[..., margin : margin + TEMPLATE_FEATURES, margin : margin + TEMPLATE_FEATURES]
        return x


class Neck(nn.Module):
    """One `AdjustLayer` per level, with the names of the official state_dict."""

    def __init__(self, levels: Sequence[int], level_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self._names = [f"downsample{level}" for level in levels]
        for name, in_channels in zip(self._names, level_channels, strict=True):
            self.add_module(name, AdjustLayer(in_channels, channels))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        size = features[0].shape[-1]
        return [self.get_submodule(name)(x, size) for name, x in zip(self._names, features, strict=True)]


def _upsample(x: Tensor) -> Tensor:
    """Upsample features `(..., n, n)` of a strided layer to the finer grid of 2 n + 1."""
    size = 2 * x.shape[-1] - 1
    inner = functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=True)
    for axis in (-2, -1):  # faster on engines than padding by replication
        inner = torch.cat([inner.narrow(axis, 0, 1), inner, inner.narrow(axis, size - 1, 1)], axis)
    return inner
