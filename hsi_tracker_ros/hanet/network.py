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
from hsi_tracker_ros.hanet.nanotrack import NanoTrack
from hsi_tracker_ros.hanet.neck import Neck
from hsi_tracker_ros.hanet.rgb_branch import SIAMBAN_GRID, RgbBranch
from hsi_tracker_ros.hanet.spectral_stem import ConditionedStem, log_reflectance

NANOTRACK = {f"nanotrack_v{version}": version for version in (1, 2, 3)}


class Responses(NamedTuple):
    """Response maps of one template, ``(batch, 2 or 4, size, size)``: R_cls, R_HSI, their fusion, R_reg."""

    rgb: Tensor
    hsi: Tensor
    fused: Tensor
    loc: Tensor


class SiamBAN(RgbBranch):
    """SiamBAN's network; for ``resnet50`` its state_dict has the official keys."""

    def __init__(self, config: HANetConfig) -> None:
        super().__init__()
        self.backbone = BACKBONES[config.backbone](plain_stem(3), config.levels)
        self.neck = Neck(config.levels, self.backbone.level_channels, config.channels)
        self.head = BoxHead(config.levels, config.channels)
        self.grid = SIAMBAN_GRID
        self._mean, self._std = config.pixel_mean, config.pixel_std

    def features(self, image: Tensor) -> list[Tensor]:
        return self.neck(self.backbone((image - self._mean) / self._std))

    def classification_kernels(self, template: Sequence[Tensor]) -> Tensor:
        return self.head.classification_kernels(template)

    def regression_kernels(self, template: Sequence[Tensor]) -> Tensor:
        return self.head.regression_kernels(template)

    def classify(self, search: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        return self.head.classify(search, templates)

    def regress(self, search: Sequence[Tensor], kernels: Tensor) -> Tensor:
        return self.head.regress(search, kernels)


def rgb_branch(config: HANetConfig) -> RgbBranch:
    """The RGB branch that a configuration names.

    Raises:
        KeyError: there is none of that name.
    """
    if config.backbone in NANOTRACK:
        return NanoTrack(NANOTRACK[config.backbone])
    return SiamBAN(config)


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


class SiameseNetwork(nn.Module):
    """An RGB branch alone, on pictures or false colour, split into a template and a search side.

    Both sides take one crop of each target per input of the network. A template is a tuple of kernels, each
    ``(batch, ...)``: those of R_cls, those of R_reg, then those of any further branch that classifies. An
    online template has all but those of R_reg.

    Attributes:
        config: what it is built from.
        crop_names: of the inputs.
        kernel_names: of a template's kernels.
    """

    crop_names: tuple[str, ...] = ("image",)
    kernel_names: tuple[str, ...] = ("cls", "loc")

    def __init__(self, config: HANetConfig) -> None:
        super().__init__()
        self.config = config
        self.rgb = rgb_branch(config)

    def crop_sizes(self, side: str) -> tuple[int, ...]:
        """Pixels along the side of each input's crop, of the ``template`` or the ``search`` side."""
        return (getattr(self.config, f"{side}_size"),)

    def encode_template(self, *crops: Tensor) -> tuple[Tensor, ...]:
        """Kernels of templates, BGR ``(batch, 3, 127, 127)`` first."""
        z = self.rgb.features(crops[0])
        return self.rgb.classification_kernels(z), self.rgb.regression_kernels(z)

    def search(
        self, crops: Sequence[Tensor], template: Sequence[Tensor], online: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Target logits and boxes in search crops, for the first and the online template.

        Args:
            crops: one tensor per input, BGR ``(batch, 3, 255, 255)`` first.
            template: of the first frame.
            online: the online template (paper, section 2.3).

        Returns:
            By how many logits target exceeds background, ``(batch, size, size)``, for the first and for the
            online template; distances to the box's sides ``(batch, 4, size, size)`` by the first template.
        """
        x = self.rgb.features(crops[0])
        first, newer = self._target_logits(self.rgb.classify(x, [template[0], online[0]]))
        return first, newer, self.rgb.regress(x, template[1])

    @staticmethod
    def _target_logits(maps: Sequence[Tensor]) -> list[Tensor]:
        return [logits[:, 1] - logits[:, 0] for logits in maps]


class HANet(SiameseNetwork):
    """HA-Net (paper, figure 1): an RGB branch on false colour, the hyperspectral classifier, their fusion."""

    crop_names = ("image", "cube")
    kernel_names = ("cls", "loc", "hsi")

    def __init__(self, config: HANetConfig) -> None:
        if config.spectral is None:
            raise ValueError("a HA-Net has a spectral branch; without one it is a SiameseNetwork")
        super().__init__(config)
        self.spectral = SpectralBranch(config.spectral)
        self.alpha = nn.Parameter(torch.tensor(config.alpha))
        self.beta = nn.Parameter(torch.tensor(config.beta))
        self._same_grid = self.rgb.grid == SIAMBAN_GRID
        self.register_buffer("_resampling", self.rgb.grid.interpolation(SIAMBAN_GRID), persistent=False)

    def crop_sizes(self, side: str) -> tuple[int, ...]:
        return (*super().crop_sizes(side), getattr(self.config.spectral, f"{side}_size"))

    def rgb_alone(self) -> SiameseNetwork:
        """The RGB branch by itself, with the same weights."""
        alone = SiameseNetwork(replace(self.config, spectral=None, tracking={}))
        alone.rgb.load_state_dict(self.rgb.state_dict())
        return alone.train(self.training)

    def encode_template(self, *crops: Tensor) -> tuple[Tensor, ...]:
        """Kernels of templates: BGR ``(batch, 3, 127, 127)``, the same place in the cube, and its bands."""
        image, *cube = crops
        spectral_z = self.spectral.features(*cube)
        return *super().encode_template(image), self.spectral.head.classification_kernels(spectral_z)

    def _classify_spectra(self, features: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        """R_HSI for each of several templates, where the RGB branch has its responses."""
        maps = self.spectral.head.classify(features, templates)
        if self._same_grid:
            return maps
        rows = self.get_buffer("_resampling")
        return [torch.matmul(torch.matmul(rows, each), rows.T) for each in maps]

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
        cls, loc, kernels = self.encode_template(template_image, template_cube, *wavelengths_nm)
        x = self.rgb.features(search_image)
        (rgb,) = self.rgb.classify(x, [cls])
        (hsi,) = self._classify_spectra(self.spectral.features(search_cube, *wavelengths_nm), [kernels])
        return Responses(rgb, hsi, self.fuse(rgb, hsi), self.rgb.regress(x, loc))

    def search(
        self, crops: Sequence[Tensor], template: Sequence[Tensor], online: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As of the RGB branch alone, with fused logits; the second crop is the cube's."""
        image, cube = crops
        x, spectral_x = self.rgb.features(image), self.spectral.features(cube)
        rgb = self.rgb.classify(x, [template[0], online[0]])
        hsi = self._classify_spectra(spectral_x, [template[2], online[1]])
        first, newer = self._target_logits([self.fuse(*maps) for maps in zip(rgb, hsi, strict=True)])
        return first, newer, self.rgb.regress(x, template[1])

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
