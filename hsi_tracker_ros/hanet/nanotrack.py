"""NanoTrack, versions 1 to 3 (HonglinChu, SiamTrackers), as an RGB branch.

A MobileNetV3 of stride 16. Template and search features are correlated pixel by pixel (each of the 64
template pixels is a kernel of size 1), in version 3 also channel by channel. The state_dict has the official
keys, without `neck`, which the official network does not use.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsi_tracker_ros.hanet.backbones import Backbone
from hsi_tracker_ros.hanet.head import correlate
from hsi_tracker_ros.hanet.rgb_branch import ResponseGrid, RgbBranch

TEMPLATE_PIXELS = 64
_TEMPLATE_MIDDLE = slice(2, 6)


class SqueezeExcite(nn.Module):
    """Weights for the channels, computed from their means over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, (channels // 4 + 4) // 8 * 8)
        self.fc = nn.Sequential(
            nn.Linear(channels, squeezed),
            nn.ReLU(inplace=True),
            nn.Linear(squeezed, channels),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean(dim=(2, 3)))[..., None, None]


class MobileBlock(nn.Module):
    """MobileNetV3's block: expand, depth-wise, squeeze and excite, project."""

    def __init__(
        self, inputs: int, width: int, outputs: int, kernel: int, stride: int, *, excite: bool, hard: bool
    ) -> None:
        super().__init__()

        def activation() -> nn.Module:
            return nn.Hardswish() if hard else nn.ReLU(inplace=True)

        attention = SqueezeExcite(width) if excite else nn.Identity()
        depthwise: list[nn.Module] = [
            nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False),
            nn.BatchNorm2d(width),
        ]
        project: list[nn.Module] = [nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        if inputs == width:
            layers: list[nn.Module] = [*depthwise, activation(), attention, *project]
        else:
            expand: list[nn.Module] = [
                nn.Conv2d(inputs, width, 1, bias=False),
                nn.BatchNorm2d(width),
                activation(),
            ]
            layers = [*expand, *depthwise, attention, activation(), *project]
        self.conv = nn.Sequential(*layers)
        self.identity = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.identity else self.conv(x)


class MobileBackbone(Backbone):
    """MobileNetV3-Small with stride 16: 127 pixels give 8 features, 255 give 16."""

    # width, outputs, kernel, stride, squeeze and excite, hard swish
    BLOCKS = (
        (16, 16, 3, 2, True, False),
        (72, 24, 3, 2, False, False),
        (88, 24, 3, 1, False, False),
        (96, 40, 5, 2, True, True),
        (240, 40, 5, 1, True, True),
        (240, 40, 5, 1, True, True),
        (120, 48, 5, 1, True, True),
        (144, 48, 5, 1, True, True),
        (288, 96, 5, 1, True, True),
    )

    def __init__(self, blocks: int) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        layers: list[nn.Module] = [stem]
        channels = 16
        for width, outputs, kernel, stride, excite, hard in self.BLOCKS[:blocks]:
            layers.append(MobileBlock(channels, width, outputs, kernel, stride, excite=excite, hard=hard))
            channels = outputs
        self.features = nn.Sequential(*layers)

    def list_first_stages(self) -> list[nn.Module]:
        return [self.features[:4]]

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.features(x)]


class ChannelAttention(nn.Module):
    """Weights for the template's pixels, computed from their mean responses."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(TEMPLATE_PIXELS, TEMPLATE_PIXELS, 1)
        self.fc2 = nn.Conv2d(TEMPLATE_PIXELS, TEMPLATE_PIXELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(functional.relu(self.fc1(mean))))


class PixelCorrelation(nn.Module):
    """Weighted responses of each template pixel at each search pixel, `(batch, 64, 16, 16)` (version 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.CA_layer = ChannelAttention()

    def kernels(self, template: Tensor) -> Tensor:
        """Return kernels `(batch, channels, 64)` of features `(batch, channels, 8, 8)`."""
        return template.flatten(2)

    def forward(self, search: Tensor, kernels: Tensor) -> Tensor:
        batch, _, height, width = search.shape
        responses = torch.matmul(kernels.transpose(1, 2), search.flatten(2))
        return self.CA_layer(responses.view(batch, TEMPLATE_PIXELS, height, width))


class AdaptedPixelCorrelation(PixelCorrelation):
    """Pixel correlation after a convolution of both sides (version 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_kernel, self.conv_search = _make_adapter(channels), _make_adapter(channels)

    def kernels(self, template: Tensor) -> Tensor:
        return super().kernels(self.conv_kernel(template))

    def forward(self, search: Tensor, kernels: Tensor) -> Tensor:
        return super().forward(self.conv_search(search), kernels)


class SmoothedPixelCorrelation(AdaptedPixelCorrelation):
    """Adapted pixel correlation with smoothed responses, `(batch, 64, 15, 15)` (version 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv = nn.Sequential(
            nn.Conv2d(TEMPLATE_PIXELS, TEMPLATE_PIXELS, 2, groups=TEMPLATE_PIXELS, bias=False),
            nn.BatchNorm2d(TEMPLATE_PIXELS),
            nn.ReLU6(inplace=True),
            nn.Conv2d(TEMPLATE_PIXELS, TEMPLATE_PIXELS, 1),
            nn.BatchNorm2d(TEMPLATE_PIXELS),
        )

    def forward(self, search: Tensor, kernels: Tensor) -> Tensor:
        return self.conv(super().forward(search, kernels))


class DepthwiseCorrelation(nn.Module):
    """Channel-wise correlation of version 3: the template's central 4 x 4 features, the search features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_kernel, self.conv_search = _make_adapter(channels), _make_adapter(channels)

    def kernels(self, template: Tensor) -> Tensor:
        """Return kernels `(batch, channels, 16)` of features `(batch, channels, 8, 8)`."""
        return self.conv_kernel(template[..., _TEMPLATE_MIDDLE, _TEMPLATE_MIDDLE]).flatten(2)

    def forward(self, search: Tensor, kernels: Tensor) -> Tensor:
        padded = functional.pad(self.conv_search(search), (1, 1, 1, 1))
        return correlate(padded, kernels.unflatten(2, (4, 4)))


class HeadV1(nn.Module):
    """Head with one correlation for classification and regression."""

    grid = ResponseGrid(16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.corr_pw = PixelCorrelation()
        self.cls_tower = _make_tower((64, 128, 128, 128), (5, 5, 3))
        self.bbox_tower = _make_tower((64, 96, 96, 96, 96), (3, 3, 5, 5))
        self.cls_logits, self.bbox_pred = _make_output_layer(128, 2), _make_output_layer(96, 4)

    def classification_kernels(self, template: Tensor) -> Tensor:
        return self.corr_pw.kernels(template)

    def regression_kernels(self, template: Tensor) -> Tensor:
        return self.corr_pw.kernels(template)

    def classify(self, search: Tensor, kernels: Tensor) -> Tensor:
        return self.cls_logits(self.cls_tower(self.corr_pw(search, kernels)))

    def regress(self, search: Tensor, kernels: Tensor) -> Tensor:
        return torch.exp(self.bbox_pred(self.bbox_tower(self.corr_pw(search, kernels))))


class HeadV2(nn.Module):
    """Head with one correlation for classification and one for regression."""

    grid = ResponseGrid(16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.corr_pw_cls, self.corr_pw_reg = AdaptedPixelCorrelation(48), AdaptedPixelCorrelation(48)
        channels = (64, *[96] * 6)
        self.cls_pw_tower, self.bbox_pw_tower = (
            _make_tower(channels, (3,) * 6),
            _make_tower(channels, (3,) * 6),
        )
        self.cls_pred, self.bbox_pred = _make_output_layer(96, 2), _make_output_layer(96, 4)

    def classification_kernels(self, template: Tensor) -> Tensor:
        return self.corr_pw_cls.kernels(template)

    def regression_kernels(self, template: Tensor) -> Tensor:
        return self.corr_pw_reg.kernels(template)

    def classify(self, search: Tensor, kernels: Tensor) -> Tensor:
        return self.cls_pred(self.cls_pw_tower(self.corr_pw_cls(search, kernels)))

    def regress(self, search: Tensor, kernels: Tensor) -> Tensor:
        return torch.exp(self.bbox_pred(self.bbox_pw_tower(self.corr_pw_reg(search, kernels))))


class HeadV3(nn.Module):
    """Head with a pixel-wise and a channel-wise correlation each for classification and regression."""

    grid = ResponseGrid(15, 16)

    def __init__(self) -> None:
        super().__init__()
        self.corr_pw_cls, self.corr_dw_cls = SmoothedPixelCorrelation(96), DepthwiseCorrelation(96)
        self.corr_pw_reg, self.corr_dw_reg = SmoothedPixelCorrelation(96), DepthwiseCorrelation(96)
        self.down_cls, self.down_reg = (
            _make_output_layer(96 + TEMPLATE_PIXELS, 96),
            _make_output_layer(96 + TEMPLATE_PIXELS, 96),
        )
        self.cls_tower, self.bbox_tower = _make_linear_tower(96, 6), _make_linear_tower(96, 6)
        self.cls_logits, self.bbox_pred = _make_output_layer(96, 2), _make_output_layer(96, 4)

    def classification_kernels(self, template: Tensor) -> Tensor:
        return torch.cat([self.corr_pw_cls.kernels(template), self.corr_dw_cls.kernels(template)], dim=2)

    def regression_kernels(self, template: Tensor) -> Tensor:
        return torch.cat([self.corr_pw_reg.kernels(template), self.corr_dw_reg.kernels(template)], dim=2)

    def classify(self, search: Tensor, kernels: Tensor) -> Tensor:
        pixels, middle = kernels[..., :TEMPLATE_PIXELS], kernels[..., TEMPLATE_PIXELS:]
        both = torch.cat([self.corr_pw_cls(search, pixels), self.corr_dw_cls(search, middle)], dim=1)
        return self.cls_logits(self.cls_tower(self.down_cls(both)))

    def regress(self, search: Tensor, kernels: Tensor) -> Tensor:
        pixels, middle = kernels[..., :TEMPLATE_PIXELS], kernels[..., TEMPLATE_PIXELS:]
        both = torch.cat([self.corr_pw_reg(search, pixels), self.corr_dw_reg(search, middle)], dim=1)
        return torch.exp(self.bbox_pred(self.bbox_tower(self.down_reg(both))))


_VERSIONS: dict[int, tuple[int, type[HeadV1] | type[HeadV2] | type[HeadV3]]] = {
    1: (8, HeadV1),
    2: (8, HeadV2),
    3: (9, HeadV3),
}


class NanoTrack(RgbBranch):
    """NanoTrack: backbone and head.

    Args:
        version: 1, 2 or 3.
    """

    def __init__(self, version: int) -> None:
        super().__init__()
        blocks, head = _VERSIONS[version]
        self.backbone = MobileBackbone(blocks)
        self.ban_head = head()
        self.grid = head.grid

    def features(self, image: Tensor) -> list[Tensor]:
        return self.backbone(image)

    def classification_kernels(self, template: Sequence[Tensor]) -> Tensor:
        return self.ban_head.classification_kernels(template[0])

    def regression_kernels(self, template: Sequence[Tensor]) -> Tensor:
        return self.ban_head.regression_kernels(template[0])

    def classify(self, search: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        return [self.ban_head.classify(search[0], kernels) for kernels in templates]

    def regress(self, search: Sequence[Tensor], kernels: Tensor) -> Tensor:
        return self.ban_head.regress(search[0], kernels)


def _make_adapter(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))


def _make_output_layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1))


def _make_tower(channels: Sequence[int], kernels: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs, kernel in zip(channels[:-1], channels[1:], kernels, strict=True):
        layers += [
            nn.Conv2d(inputs, inputs, kernel, 1, kernel // 2, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        ]
    return nn.Sequential(*layers)


def _make_linear_tower(channels: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [
            nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
    return nn.Sequential(*layers)
