"""FEAR-XS as an RGB branch.

V. Borsuk et al.: "FEAR: Fast, Efficient, Accurate and Robust Visual Tracker", ECCV 2022. An FBNet-C of stride
16 up to its fourth stage. Each of the 64 template features is correlated with the search features, and the
responses are processed beside the search features themselves. Batch normalization is part of the
convolutions, as in the published Core ML model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.backbones import Backbone
from hsi_tracker_ros.hanet.crops import CropGeometry
from hsi_tracker_ros.hanet.rgb_branch import ResponseGrid, RgbBranch

FEAR_GEOMETRY = CropGeometry(128, 256, context=0.0, template_scale=1.4, search_scale=5.0, stretches=True)
"""Crops of FEAR: 0.2 sizes of the box around a template, 2 sizes around the box of a search region."""

_TEMPLATE_FEATURES = 64  # 8 x 8
_CHANNELS = 256
_TOWER_LAYERS = 2
# ImageNet's mean and deviation of blue, green and red, 0 to 255
_PIXEL_MEAN = (103.53, 116.28, 123.675)
_PIXEL_DEVIATION = (57.375, 57.12, 58.395)


class FbnetBlock(nn.Module):
    """Inverted residual: expand, depth-wise convolution, project; not expanded if `width` is `inputs`."""

    def __init__(self, inputs: int, width: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        expand: list[nn.Module] = []
        if width != inputs:
            expand = [nn.Conv2d(inputs, width, 1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(
            *expand,
            nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.is_residual else self.layers(x)


class FbnetBackbone(Backbone):
    """FBNet-C up to its 112 channels, and FEAR's projection to 256: stride 16."""

    # width, outputs, kernel, stride
    BLOCKS = (
        (16, 16, 3, 1),
        (96, 24, 3, 2),
        (24, 24, 3, 1),
        (24, 24, 3, 1),
        (144, 32, 5, 2),
        (96, 32, 5, 1),
        (192, 32, 5, 1),
        (192, 32, 3, 1),
        (192, 64, 5, 2),
        (192, 64, 5, 1),
        (384, 64, 5, 1),
        (384, 64, 5, 1),
        (384, 112, 5, 1),
        (672, 112, 5, 1),
        (672, 112, 5, 1),
        (336, 112, 5, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(inplace=True)]
        channels = 16
        for width, outputs, kernel, stride in self.BLOCKS:
            layers.append(FbnetBlock(channels, width, outputs, kernel, stride))
            channels = outputs
        layers.append(nn.Conv2d(channels, _CHANNELS, 1))
        self.layers = nn.Sequential(*layers)

    def list_first_stages(self) -> list[nn.Module]:
        return [self.layers[:5]]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.layers(x)]


class FearHead(nn.Module):
    """Responses of search features to a template, for classification or for regression.

    Args:
        outputs: number of channels of the responses.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.encode = _make_layer(_CHANNELS, has_bias=False)
        self.mix = _make_layer(_CHANNELS + _TEMPLATE_FEATURES)
        self.tower = nn.Sequential(*(_make_layer(_CHANNELS) for _ in range(_TOWER_LAYERS)))
        self.predict = nn.Sequential(_make_depthwise(_CHANNELS), nn.Conv2d(_CHANNELS, outputs, 1))

    def forward(self, search: Tensor, kernels: Tensor) -> Tensor:
        """Return the responses `(batch, outputs, 16, 16)`.

        Args:
            search: features of the search crop, `(batch, 256, 16, 16)`.
            kernels: template features, `(batch, 256, 64)`.
        """
        encoded = self.encode(search)
        batch, _, height, width = encoded.shape
        responses = torch.matmul(kernels.transpose(1, 2), encoded.flatten(2))
        both = torch.cat([encoded, responses.view(batch, _TEMPLATE_FEATURES, height, width)], dim=1)
        return self.predict(self.tower(self.mix(both)))


class FearXs(RgbBranch):
    """FEAR-XS, without its dual-template update. The template features are the kernels of both heads."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = FbnetBackbone()
        self.cls_head = FearHead(1)
        self.box_head = FearHead(4)
        self.grid = ResponseGrid(16, 16)
        self.geometry = FEAR_GEOMETRY
        for name, values in (("_mean", _PIXEL_MEAN), ("_deviation", _PIXEL_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def features(self, image: Tensor) -> list[Tensor]:
        return self.backbone((image - self.get_buffer("_mean")) / self.get_buffer("_deviation"))

    def classification_kernels(self, template: Sequence[Tensor]) -> Tensor:
        return template[0].flatten(2)

    def regression_kernels(self, template: Sequence[Tensor]) -> Tensor:
        return template[0].flatten(2)

    def classify(self, search: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        logits = [self.cls_head(search[0], kernels) for kernels in templates]
        return [torch.cat([torch.zeros_like(target), target], dim=1) for target in logits]

    def regress(self, search: Sequence[Tensor], kernels: Tensor) -> Tensor:
        return torch.exp(self.box_head(search[0], kernels))


def _make_depthwise(channels: int, *, has_bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=has_bias)


def _make_layer(inputs: int, *, has_bias: bool = True) -> nn.Sequential:
    """Return a separable convolution to 256 channels; `has_bias`: of its depth-wise part."""
    return nn.Sequential(
        _make_depthwise(inputs, has_bias=has_bias), nn.Conv2d(inputs, _CHANNELS, 1), nn.ReLU(inplace=True)
    )
