"""HA-Net as a whole: SiamBAN on false colour, the hyperspectral classifier, and their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.backbones import BACKBONES, plain_stem
from hsi_tracker_ros.hanet.config import HANetConfig, SpectralConfig
from hsi_tracker_ros.hanet.head import BoxHead, ClassificationHead
from hsi_tracker_ros.hanet.neck import Neck
from hsi_tracker_ros.hanet.spectral import ConditionedStem, log_reflectance


class Template(NamedTuple):
    """What is kept of a template: kernels ``(batch, levels, channels, 5, 5)`` of each head."""

    cls: Tensor
    loc: Tensor
    hsi: Tensor


class Responses(NamedTuple):
    """Response maps of one template, ``(batch, 2 or 4, 25, 25)``: R_cls, R_HSI, their fusion, R_reg."""

    rgb: Tensor
    hsi: Tensor
    fused: Tensor
    loc: Tensor


class SiamBAN(nn.Module):
    """The RGB branch; for ``resnet50`` its state_dict has the official keys."""

    def __init__(self, config: HANetConfig) -> None:
        super().__init__()
        self.backbone = BACKBONES[config.backbone](plain_stem(3), config.levels)
        self.neck = Neck(config.levels, self.backbone.level_channels, config.channels)
        self.head = BoxHead(config.levels, config.channels)
        self._mean, self._std = config.pixel_mean, config.pixel_std

    def features(self, image: Tensor) -> list[Tensor]:
        """Neck features of BGR images ``(batch, 3, size, size)``, 0..255."""
        return self.neck(self.backbone((image - self._mean) / self._std))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """``cls`` logits and ``loc`` distances of BGR crops of 127 and 255 pixels."""
        z, x = self.features(template), self.features(search)
        (cls,) = self.head.classify(x, [self.head.classification_kernels(z)])
        return cls, self.head.regress(x, self.head.regression_kernels(z))


class SpectralBranch(nn.Module):
    """The hyperspectral classifier (paper, section 2.2): all bands, classification only."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        bands = config.wavelengths_nm
        stem = ConditionedStem if bands is None else plain_stem(len(bands))
        self.backbone = BACKBONES[config.backbone](stem, config.levels)
        self.neck = Neck(config.levels, self.backbone.level_channels, config.channels)
        self.head = ClassificationHead(config.levels, config.channels)

    def features(self, cube: Tensor, *wavelengths_nm: Tensor) -> list[Tensor]:
        """Neck features of cubes relative to their frame's mean.

        Args:
            cube: ``(batch, bands, size, size)``.
            wavelengths_nm: ``(batch, bands)``, unless the bands are baked in.
        """
        return self.neck(self.backbone(log_reflectance(cube), *wavelengths_nm))


class HANet(nn.Module):
    """HA-Net (paper, figure 1), split into a template and a search side, batched over targets."""

    def __init__(self, config: HANetConfig) -> None:
        super().__init__()
        if config.spectral is None:
            raise ValueError("a HA-Net has a spectral branch; without one it is a SiamBAN")
        self.config = config
        self.rgb = SiamBAN(config)
        self.spectral = SpectralBranch(config.spectral)
        self.alpha = nn.Parameter(torch.tensor(config.alpha))
        self.beta = nn.Parameter(torch.tensor(config.beta))

    def encode_template(self, image: Tensor, cube: Tensor, *wavelengths_nm: Tensor) -> Template:
        """Kernels of templates: BGR ``(batch, 3, 127, 127)`` and the same place in the cube."""
        z, spectral_z = self.rgb.features(image), self.spectral.features(cube, *wavelengths_nm)
        return Template(
            self.rgb.head.classification_kernels(z),
            self.rgb.head.regression_kernels(z),
            self.spectral.head.classification_kernels(spectral_z),
        )

    def fuse(self, rgb: Tensor, hsi: Tensor) -> Tensor:
        """Equation 3, on logits: ``alpha R_cls + beta R_HSI``."""
        return self.alpha * rgb + self.beta * hsi

    def forward(
        self,
        template_image: Tensor,
        template_cube: Tensor,
        search_image: Tensor,
        search_cube: Tensor,
        *wavelengths_nm: Tensor,
    ) -> Responses:
        """Every response map of pairs of crops: what training needs."""
        template = self.encode_template(template_image, template_cube, *wavelengths_nm)
        x = self.rgb.features(search_image)
        (rgb,) = self.rgb.head.classify(x, [template.cls])
        spectral_x = self.spectral.features(search_cube, *wavelengths_nm)
        (hsi,) = self.spectral.head.classify(spectral_x, [template.hsi])
        return Responses(rgb, hsi, self.fuse(rgb, hsi), self.rgb.head.regress(x, template.loc))

    def search(
        self, image: Tensor, cube: Tensor, template: Template, online_cls: Tensor, online_hsi: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Target logits and boxes in search crops, for the first and the online template.

        Args:
            image: BGR ``(batch, 3, 255, 255)``.
            cube: the same places in the cube.
            template: of the first frame.
            online_cls: ``cls`` kernels of the online template (paper, section 2.3).
            online_hsi: its ``hsi`` kernels.

        Returns:
            By how many fused logits target exceeds background, ``(batch, 25, 25)``, for the first and for the
            online template; distances to the box's sides ``(batch, 4, 25, 25)`` by the first template.
        """
        x, spectral_x = self.rgb.features(image), self.spectral.features(cube)
        rgb = self.rgb.head.classify(x, [template.cls, online_cls])
        hsi = self.spectral.head.classify(spectral_x, [template.hsi, online_hsi])
        fused = [self.fuse(*maps) for maps in zip(rgb, hsi, strict=True)]
        first, online = (logits[:, 1] - logits[:, 0] for logits in fused)
        return first, online, self.rgb.head.regress(x, template.loc)

    def bake(self, wavelengths_nm: Sequence[float]) -> HANet:
        """This network for one camera: its first spectral convolution plain, over these bands.

        Raises:
            ValueError: the bands of this network are already fixed.
        """
        spectral = self.config.spectral
        stem = self.spectral.backbone.conv1
        if spectral is None or not isinstance(stem, ConditionedStem):
            raise ValueError("the bands of this network are already fixed")
        bands = tuple(float(value) for value in wavelengths_nm)
        baked = HANet(replace(self.config, spectral=replace(spectral, wavelengths_nm=bands)))
        weights = self.state_dict()
        del weights["spectral.backbone.conv1.convolution.weight"]
        weights["spectral.backbone.conv1.weight"] = stem.baked_weight(bands)
        baked.load_state_dict(weights)
        return baked.train(self.training)
