"""Backbones of stride 8 without padding: 127 pixels give 15 features, 255 give 31, 63 at half scale 15.

A strided layer maps an odd size n to (n - 1) / 2. The center of a feature then stays at the center of its
receptive field, and template and search features are on one grid. Later stages are dilated instead of
strided, as in SiamBAN (Chen et al., 2020, section 3.1). A strided later stage gives every second feature of
that grid, without its border.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

Stem = Callable[[int, int, int, int], nn.Module]
"""Factory of the first convolution: output channels, kernel size, stride, padding to a module."""


def make_plain_stem(in_channels: int) -> Stem:
    """Return the factory of a plain first convolution over `in_channels` channels."""

    def make(out_channels: int, kernel_size: int, stride: int, padding: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)

    return make


class Backbone(nn.Module):
    """A backbone that ends after the deepest level in use.

    Attributes:
        levels: numbers of the stages whose features are returned, from shallow to deep.
        level_channels: number of channels of each level.
    """

    levels: tuple[int, ...]
    level_channels: tuple[int, ...]

    def list_first_stages(self) -> list[nn.Module]:
        """Return the stages whose ImageNet weights are frozen during training."""
        raise NotImplementedError


class Bottleneck(nn.Module):
    """ResNet's block of 1x1, 3x3 and 1x1 convolutions. The 3x3 is strided without padding, or dilated."""

    def __init__(
        self, in_channels: int, width: int, stride: int, dilation: int, shortcut: nn.Module | None
    ) -> None:
        super().__init__()
        padding = 0 if stride > 1 else dilation
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class DilatedResNet50(Backbone):
    """ResNet-50 (He et al., 2016) with dilated stages. Its state_dict has the keys of torchvision.

    The first block of a dilated stage has half the dilation of the other blocks, as in SiamBAN.
    """

    # Number of blocks, stride, dilation of each stage.
    STAGES = ((3, 1, 1), (4, 2, 1), (6, 1, 2), (3, 1, 4))

    def __init__(self, stem: Stem, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.level_channels = tuple(128 * 2**level for level in levels)
        self.conv1 = stem(64, 7, 2, 0)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        in_channels = 64
        for index, (blocks, stride, dilation) in enumerate(self.STAGES[: max(levels)], start=1):
            width = 32 * 2**index
            self.add_module(f"layer{index}", self._make_stage(in_channels, width, blocks, stride, dilation))
            in_channels = width * 4

    @classmethod
    def _make_stage(
        cls, in_channels: int, width: int, blocks: int, stride: int, dilation: int
    ) -> nn.Sequential:
        first = max(dilation // 2, 1)
        if stride == 1 and dilation == 1:
            convolution: nn.Module = nn.Conv2d(in_channels, width * 4, 1, bias=False)
        else:
            convolution = cls._make_shortcut(in_channels, width * 4, stride, first)
        shortcut = nn.Sequential(convolution, nn.BatchNorm2d(width * 4))
        rest = [Bottleneck(width * 4, width, 1, dilation, None) for _ in range(blocks - 1)]
        return nn.Sequential(Bottleneck(in_channels, width, stride, first, shortcut), *rest)

    @staticmethod
    def _make_shortcut(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Module:  # noqa: ARG004
        """Return the shortcut of a stage's first block, with the stride and dilation of the block."""
        if stride > 1:
            return _CroppedConvolution(in_channels, out_channels, 1, stride, bias=False)
        return nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def list_first_stages(self) -> list[nn.Module]:
        return [self.conv1, self.bn1, self.get_submodule("layer1")]

    def forward(self, *x: Tensor) -> list[Tensor]:
        features = self.maxpool(self.relu(self.bn1(self.conv1(*x))))
        outputs = []
        for index in range(1, max(self.levels) + 1):
            features = self.get_submodule(f"layer{index}")(features)
            if index in self.levels:
                outputs.append(features)
        return outputs


class _CroppedConvolution(nn.Conv2d):
    """A convolution without the border of one pixel that a strided 3x3 without padding has no output for."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[..., 1:-1, 1:-1])


class StridedResNet50(DilatedResNet50):
    """ResNet-50 with a strided stage 4 as by its authors: output stride 16.

    Stage 4 has a quarter of the operations of `DilatedResNet50`.

    Raises:
        ValueError: no level is finer than stage 4.
    """

    STAGES = ((3, 1, 1), (4, 2, 1), (6, 1, 2), (3, 2, 1))

    def __init__(self, stem: Stem, levels: tuple[int, ...]) -> None:
        if levels[0] == len(self.STAGES):
            raise ValueError(f"level {levels[0]} is too coarse for the response grid: add a finer level")
        super().__init__(stem, levels)


class SiamBANResNet50(DilatedResNet50):
    """SiamBAN's ResNet-50, with 3x3 shortcuts in stages 2 to 4. Its state_dict has the official keys."""

    @staticmethod
    def _make_shortcut(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Module:
        padding = 0 if stride > 1 else dilation
        return nn.Conv2d(in_channels, out_channels, 3, stride, padding, dilation, bias=False)


class InvertedResidual(nn.Module):
    """EfficientNet-Lite's block: expand to `width` channels, depth-wise convolution, project.

    The block has ReLU6, and no squeeze and excitation. A block that does not expand has no residual
    connection.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        kernel_size: int,
        stride: int,
        dilation: int,
    ) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm2d, eps=1e-3)
        same = dilation * (kernel_size - 1) // 2
        padding = same if stride == 1 else same - 1
        layers: list[nn.Module] = []
        if width != in_channels:
            layers += [nn.Conv2d(in_channels, width, 1, bias=False), norm(width), nn.ReLU6(inplace=True)]
        layers += [
            nn.Conv2d(width, width, kernel_size, stride, padding, dilation, groups=width, bias=False),
            norm(width),
            nn.ReLU6(inplace=True),
            nn.Conv2d(width, out_channels, 1, bias=False),
            norm(out_channels),
        ]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels and width != in_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class _EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 (Tan and Le, 2019) with the strides and dilations of a subclass."""

    # Channels, blocks, expansion, kernel size, stride, dilation of the first block, of the other blocks.
    STAGES: tuple[tuple[int, int, int, int, int, int, int], ...]
    STEM_CHANNELS = 32

    def __init__(self, stem: Stem, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.level_channels = tuple(self.STAGES[level - 1][0] for level in levels)
        channels = self.STEM_CHANNELS
        self.stem = nn.Sequential(
            stem(channels, 3, 2, 0), nn.BatchNorm2d(channels, eps=1e-3), nn.ReLU6(inplace=True)
        )
        self.stages = nn.ModuleList(self._make_stage(index) for index in range(max(levels)))

    @classmethod
    def _make_stage(cls, index: int) -> nn.Sequential:
        in_channels = cls.STAGES[index - 1][0] if index else cls.STEM_CHANNELS
        channels, num_blocks, _, kernel_size, stride, first_dilation, dilation = cls.STAGES[index]
        blocks = []
        for block in range(num_blocks):
            width = cls._get_width(index, block, in_channels)
            blocks.append(
                InvertedResidual(in_channels, channels, width, kernel_size, stride, first_dilation)
                if block == 0
                else InvertedResidual(channels, channels, width, kernel_size, 1, dilation)
            )
            in_channels = channels
        return nn.Sequential(*blocks)

    @classmethod
    def _get_width(cls, stage: int, block: int, in_channels: int) -> int:  # noqa: ARG003
        """Return the number of channels inside a block; `stage` and `block` are counted from 0."""
        return in_channels * cls.STAGES[stage][2]

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.stem(x)
        outputs = []
        for index, stage in enumerate(self.stages, start=1):
            features = stage(features)
            if index in self.levels:
                outputs.append(features)
        return outputs


class DilatedEfficientNetLite0(_EfficientNetLite0):
    """EfficientNet-Lite0 up to stage 5, with stages 4 and 5 dilated."""

    STAGES = (
        (16, 1, 1, 3, 1, 1, 1),
        (24, 2, 6, 3, 2, 1, 1),
        (40, 2, 6, 5, 2, 1, 1),
        (80, 3, 6, 3, 1, 1, 2),
        (112, 3, 6, 5, 1, 2, 2),
    )

    def list_first_stages(self) -> list[nn.Module]:
        return [self.stem, *self.stages[:2]]


class LightEfficientNetLite0(_EfficientNetLite0):
    """EfficientNet-Lite0 up to stage 4 with fewer channels inside its blocks, and stage 4 strided.

    It has a third of the operations. Its weights are fitted to those of `DilatedEfficientNetLite0`. A
    training changes all stages, as none has ImageNet weights.

    Raises:
        ValueError: no level is finer than stage 4, or a level is deeper.
    """

    STEM_CHANNELS = 16
    STAGES = (*DilatedEfficientNetLite0.STAGES[:3], (80, 3, 6, 3, 2, 1, 1))
    WIDTHS = ((16,), (48, 80), (80, 160), (160, 320, 320))
    """Numbers of channels inside the blocks of each stage, in place of the expansions."""

    def __init__(self, stem: Stem, levels: tuple[int, ...]) -> None:
        if min(levels) >= len(self.STAGES) or max(levels) > len(self.STAGES):
            raise ValueError(f"levels must be 1 to 4, one of them finer than 4: got {list(levels)}")
        super().__init__(stem, levels)

    @classmethod
    def _get_width(cls, stage: int, block: int, in_channels: int) -> int:  # noqa: ARG003
        return cls.WIDTHS[stage][block]

    def list_first_stages(self) -> list[nn.Module]:
        return []


class LightBackbone(Backbone):
    """A small backbone of stride 4 for cube crops at half the scale of the RGB crops."""

    def __init__(self, stem: Stem, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.level_channels = tuple((32, 64, 96)[level - 1] for level in levels)
        self.conv1 = stem(32, 3, 2, 0)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU(inplace=True)
        stages = [
            _ResidualUnit(32, 1),
            nn.Sequential(
                nn.Conv2d(32, 64, 3, 2, 0, bias=False),
                nn.BatchNorm2d(64),
                nn.ReLU(inplace=True),
                _ResidualUnit(64, 1),
            ),
            nn.Sequential(
                nn.Conv2d(64, 96, 1, bias=False),
                nn.BatchNorm2d(96),
                nn.ReLU(inplace=True),
                _ResidualUnit(96, 2),
            ),
        ]
        self.stages = nn.ModuleList(stages[: max(levels)])

    def list_first_stages(self) -> list[nn.Module]:
        return []

    def forward(self, *x: Tensor) -> list[Tensor]:
        features = self.relu(self.bn1(self.conv1(*x)))
        outputs = []
        for index, stage in enumerate(self.stages, start=1):
            features = stage(features)
            if index in self.levels:
                outputs.append(features)
        return outputs


class _ResidualUnit(nn.Module):
    """A depth-wise 3x3 and a 1x1 convolution with a residual connection."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, dilation, dilation, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.layers(x))


BACKBONES: dict[str, type[DilatedResNet50] | type[_EfficientNetLite0] | type[LightBackbone]] = {
    "resnet50": SiamBANResNet50,
    "resnet50_1x1": DilatedResNet50,
    "resnet50_os16": StridedResNet50,
    "efficientnet_lite0": DilatedEfficientNetLite0,
    "efficientnet_lite0_light": LightEfficientNetLite0,
    "light": LightBackbone,
}
