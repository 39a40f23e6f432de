"""Correlation heads of SiamBAN (Chen et al., 2020, section 3.2), split into template and search side.

A template is encoded once into kernels `(batch, levels, channels, 5, 5)`. The search side correlates its
features with the kernels. The kernels are inputs, so that an engine is compiled once for all targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

INITIAL_BOX_DISTANCE = 32.0
"""Distance from a target's center to its sides in search pixels, for which crops are scaled."""


def correlate(features: Tensor, kernels: Tensor) -> Tensor:
    """Correlate each sample with its own kernels channel by channel, as one grouped convolution.

    Args:
        features: features, `(batch, channels, height, width)`.
        kernels: kernels, `(batch, channels, k, k)`.

    Returns:
        The correlation, `(batch, channels, height - k + 1, width - k + 1)`.
    """
    batch, channels, height, width = features.shape
    size = kernels.shape[-1]
    groups = batch * channels
    correlated = functional.conv2d(
        features.reshape(1, groups, height, width), kernels.reshape(groups, 1, size, size), groups=groups
    )
    return correlated.view(batch, channels, height - size + 1, width - size + 1)


class DepthwiseCorrelation(nn.Module):
    """One branch of one level: adapted features of both sides, their correlation, and its output layers.

    Args:
        channels: number of channels of the features.
        outputs: number of channels of the output map.
        separable_search: True if the search side is adapted by a 1x1 and a depth-wise 3x3 convolution in
            place of a 3x3 convolution.
    """

    def __init__(self, channels: int, outputs: int, *, separable_search: bool = False) -> None:
        super().__init__()
        self.conv_kernel = self._make_adapter(channels, 3)
        self.conv_search = (
            self._make_separable_adapter(channels) if separable_search else self._make_adapter(channels, 3)
        )
        self.head = nn.Sequential(*self._make_adapter(channels, 1), nn.Conv2d(channels, outputs, 1))

    @staticmethod
    def _make_adapter(channels: int, kernel_size: int) -> nn.Sequential:
        convolution = nn.Conv2d(channels, channels, kernel_size, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))

    @staticmethod
    def _make_separable_adapter(channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Conv2d(channels, channels, 3, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, search: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
        """Return the output map of the search features for each set of kernels `(batch, channels, 5, 5)`."""
        search = self.conv_search(search)
        return [self.head(correlate(search, kernel)) for kernel in kernels]


class ClassificationLevel(nn.Module):
    """Classification of one level, as in the hyperspectral branch (paper, section 2.2)."""

    def __init__(self, channels: int, *, separable_search: bool = False) -> None:
        super().__init__()
        self.cls = DepthwiseCorrelation(channels, 2, separable_search=separable_search)


class BoxLevel(ClassificationLevel):
    """Classification and box regression of one level."""

    def __init__(self, channels: int, *, separable_search: bool = False) -> None:
        super().__init__(channels, separable_search=separable_search)
        self.loc = DepthwiseCorrelation(channels, 4, separable_search=separable_search)
        nn.init.constant_(self.loc.head.get_parameter("3.bias"), math.log(INITIAL_BOX_DISTANCE))


class ClassificationHead(nn.Module):
    """Logits of background and target, summed over levels with soft-max weights."""

    def __init__(self, levels: Sequence[int], channels: int, *, separable_search: bool = False) -> None:
        super().__init__()
        self._names = [f"box{level}" for level in levels]
        for name in self._names:
            self.add_module(name, self._make_level(channels, separable_search=separable_search))
        self.cls_weight = nn.Parameter(torch.ones(len(levels)))

    @staticmethod
    def _make_level(channels: int, *, separable_search: bool) -> nn.Module:
        return ClassificationLevel(channels, separable_search=separable_search)

    def _list_branches(self, branch: str) -> list[nn.Module]:
        return [self.get_submodule(f"{name}.{branch}") for name in self._names]

    def _compute_kernels(self, branch: str, template: Sequence[Tensor]) -> Tensor:
        pairs = zip(self._list_branches(branch), template, strict=True)
        return torch.stack([level.get_submodule("conv_kernel")(z) for level, z in pairs], dim=1)

    def classification_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Return the kernels `(batch, levels, channels, 5, 5)` of template features, one tensor per level."""
        return self._compute_kernels("cls", template)

    def classify(self, search: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits `(batch, 2, 25, 25)` of the search features for each template's kernels."""
        weights = torch.softmax(self.cls_weight, 0)
        levels = [
            level(x, [kernels[:, index] for kernels in templates])
            for index, (level, x) in enumerate(zip(self._list_branches("cls"), search, strict=True))
        ]
        return [compute_weighted_sum(weights, maps) for maps in zip(*levels, strict=True)]


class BoxHead(ClassificationHead):
    """SiamBAN's MultiBAN: classification, and distances to the four sides of the box in search pixels."""

    def __init__(self, levels: Sequence[int], channels: int, *, separable_search: bool = False) -> None:
        super().__init__(levels, channels, separable_search=separable_search)
        self.loc_weight = nn.Parameter(torch.ones(len(levels)))
        self.loc_scale = nn.Parameter(torch.ones(len(levels)))

    @staticmethod
    def _make_level(channels: int, *, separable_search: bool) -> nn.Module:
        return BoxLevel(channels, separable_search=separable_search)

    def regression_kernels(self, template: Sequence[Tensor]) -> Tensor:
        """Return the kernels `(batch, levels, channels, 5, 5)` of template features, one tensor per level."""
        return self._compute_kernels("loc", template)

    def regress(self, search: Sequence[Tensor], kernels: Tensor) -> Tensor:
        """Return the distances of each point to the sides of the box, `(batch, 4, 25, 25)`.

        The sides are left, top, right and bottom, in pixels of the search crop.
        """
        maps = []
        for index, (level, x) in enumerate(zip(self._list_branches("loc"), search, strict=True)):
            (offsets,) = level(x, [kernels[:, index]])
            maps.append(torch.exp(offsets * self.loc_scale[index]))
        return compute_weighted_sum(torch.softmax(self.loc_weight, 0), maps)


def compute_weighted_sum(weights: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Return the weighted sum of maps of one shape, in this shape.

    Args:
        weights: weight of each map, (maps,).
        maps: maps of any number of axes.
    """
    return torch.stack([weight * item for weight, item in zip(weights, maps, strict=True)]).sum(dim=0)
