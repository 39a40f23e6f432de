"""Correlation heads of SiamBAN (Chen et al., 2020, section 3.2), split into template and search side.

A template is encoded once into kernels, ``(batch, levels, channels, 5, 5)``; the search side correlates its
features with them. The kernels are inputs, never constants, so an engine is compiled once for all targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

USUAL_DISTANCE = 32.0
"""From a target's middle to its sides in search pixels, as template and search crops are cut."""


def correlate(features: Tensor, kernels: Tensor) -> Tensor:
    """Depth-wise cross-correlation of each sample with its own kernels, as one grouped convolution.

    Args:
        features: ``(batch, channels, height, width)``.
        kernels: ``(batch, channels, k, k)``.

    Returns:
        ``(batch, channels, height - k + 1, width - k + 1)``.
    """
    batch, channels, height, width = features.shape
    size = kernels.shape[-1]
    groups = batch * channels
    correlated = functional.conv2d(
        features.reshape(1, groups, height, width), kernels.reshape(groups, 1, size, size), groups=groups
    )
    return correlated.view(batch, channels, height - size + 1, width - size + 1)


class DepthwiseCorrelation(nn.Module):
    """One branch of one level: features of both sides, their correlation, and what is read from it."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv_kernel = self._adapt(channels, 3)
        self.conv_search = self._adapt(channels, 3)
        self.head = nn.Sequential(*self._adapt(channels, 1), nn.Conv2d(channels, outputs, 1))

    @staticmethod
    def _adapt(channels: int, kernel_size: int) -> nn.Sequential:
        convolution = nn.Conv2d(channels, channels, kernel_size, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))

    def forward(self, search: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
        """The output map of the search features for each set of kernels ``(batch, channels, 5, 5)``."""
        search = self.conv_search(search)
        return [self.head(correlate(search, kernel)) for kernel in kernels]


class ClassificationLevel(nn.Module):
    """Classification only: what the hyperspectral branch has (paper, section 2.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cls = DepthwiseCorrelation(channels, 2)


class BoxLevel(ClassificationLevel):
    """Classification and regression of one level."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.loc = DepthwiseCorrelation(channels, 4)
        nn.init.constant_(self.loc.head.get_parameter("3.bias"), math.log(USUAL_DISTANCE))


class ClassificationHead(nn.Module):
    """Background and target logits, a soft-max weighted sum over levels."""

    def __init__(self, levels: Sequence[int], channels: int) -> None:
        super().__init__()
        self._names = [f"box{level}" for level in levels]
        for name in self._names:
            self.add_module(name, self._level(channels))
        self.cls_weight = nn.Parameter(torch.ones(len(levels)))

    @staticmethod
    def _level(channels: int) -> nn.Module:
        return ClassificationLevel(channels)

    def _branches(self, branch: str) -> list[nn.Module]:
        return [self.get_submodule(f"{name}.{branch}") for name in self._names]

    def _kernels(self, branch: str, template: Sequence[Tensor]) -> Tensor:
        pairs = zip(self._branches(branch), template, strict=True)
        return torch.stack([level.get_submodule("conv_kernel")(z) for level, z in pairs], dim=1)

    def classification_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Kernels ``(batch, levels, channels, 5, 5)`` of template features, one tensor per level."""
        return self._kernels("cls", template)

    def classify(self, search: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        """Logits ``(batch, 2, 25, 25)`` of the search features for each of several templates' kernels."""
        weights = torch.softmax(self.cls_weight, 0)
        levels = [
            level(x, [kernels[:, index] for kernels in templates])
            for index, (level, x) in enumerate(zip(self._branches("cls"), search, strict=True))
        ]
        return [weighted_sum(weights, maps) for maps in zip(*levels, strict=True)]


class BoxHead(ClassificationHead):
    """SiamBAN's MultiBAN: classification, and distances to the box's four sides in search pixels."""

    def __init__(self, levels: Sequence[int], channels: int) -> None:
        super().__init__(levels, channels)
        self.loc_weight = nn.Parameter(torch.ones(len(levels)))
        self.loc_scale = nn.Parameter(torch.ones(len(levels)))

    @staticmethod
    def _level(channels: int) -> nn.Module:
        return BoxLevel(channels)

    def regression_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Kernels ``(batch, levels, channels, 5, 5)`` of template features, one tensor per level."""
        return self._kernels("loc", template)

    def regress(self, search: Sequence[Tensor], kernels: Tensor) -> Tensor:
        """Left, top, right, bottom distances ``(batch, 4, 25, 25)`` from each point, in search pixels."""
        maps = []
        for index, (level, x) in enumerate(zip(self._branches("loc"), search, strict=True)):
            (offsets,) = level(x, [kernels[:, index]])
            maps.append(torch.exp(offsets * self.loc_scale[index]))
        return weighted_sum(torch.softmax(self.loc_weight, 0), maps)


def weighted_sum(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """The sum of maps, each times its weight."""
    return torch.stack([weight * item for weight, item in zip(weights, maps, strict=True)]).sum(dim=0)
