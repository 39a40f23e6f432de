"""The networks: SiamBAN, the hyperspectral classifier, and HA-Net, their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hsi_tracker_ros.hanet.backbones import BACKBONES, make_plain_stem
from hsi_tracker_ros.hanet.config import HANetConfig, SpectralConfig
from hsi_tracker_ros.hanet.fear import FearXs
from hsi_tracker_ros.hanet.head import BoxHead, ClassificationHead
from hsi_tracker_ros.hanet.nanotrack import NanoTrack
from hsi_tracker_ros.hanet.neck import Neck
from hsi_tracker_ros.hanet.rgb_branch import SIAMBAN_GRID, RgbBranch
from hsi_tracker_ros.hanet.spectral_stem import ConditionedStem, compute_log_reflectance

NANOTRACK = {f"nanotrack_v{version}": version for version in (1, 2, 3)}
FEAR_XS = "fear_xs"


class Responses(NamedTuple):
    """Response maps of one template, `(batch, 2 or 4, size, size)`: R_cls, R_HSI, their fusion, R_reg."""

    rgb: Tensor
    hsi: Tensor
    fused: Tensor
    loc: Tensor


class SiamBAN(RgbBranch):
    """SiamBAN. With the backbone `resnet50` its state_dict has the official keys."""

    def __init__(self, config: HANetConfig) -> None:
        super().__init__()
        self.backbone = BACKBONES[config.backbone](make_plain_stem(3), config.levels)
        self.neck = Neck(config.levels, self.backbone.level_channels, config.channels)
        self.head = BoxHead(config.levels, config.channels, separable_search=config.separable_search)
        self.grid = SIAMBAN_GRID
        self._mean = config.pixel_mean
        self._std = config.pixel_std

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


def make_rgb_branch(config: HANetConfig) -> RgbBranch:
    """Return the RGB branch of a configuration.

    Raises:
        KeyError: the backbone is unknown.
    """
    if config.backbone in NANOTRACK:
        return NanoTrack(NANOTRACK[config.backbone])
    if config.backbone == FEAR_XS:
        return FearXs()
    return SiamBAN(config)


class SpectralBranch(nn.Module):
    """The hyperspectral classifier (paper, section 2.2): all bands, classification only."""

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        bands = config.wavelengths_nm
        stem = ConditionedStem if bands is None else make_plain_stem(len(bands))
        self.backbone = BACKBONES[config.backbone](stem, config.levels)
        self.neck = Neck(config.levels, self.backbone.level_channels, config.channels)
        self.head = ClassificationHead(config.levels, config.channels)

    def features(self, cube: Tensor, *wavelengths_nm: Tensor) -> list[Tensor]:
        """Return the neck features of cubes relative to their frame's mean.

        Args:
            cube: the cube crops, `(batch, bands, size, size)`.
            wavelengths_nm: centers of the bands in nm, `(batch, bands)`; none for fixed bands.
        """
        return self.neck(self.backbone(compute_log_reflectance(cube), *wavelengths_nm))


class SiameseNetwork(nn.Module):
    """An RGB branch on color images or false color, split into a template and a search side.

    Both sides take one crop per target and input. A template is a tuple of kernels `(batch, ...)`: of R_cls,
    of R_reg, then of further classifying branches. An online template has no kernels of R_reg.

    Attributes:
        config: configuration of the network.
        crop_names: names of the inputs.
        kernel_names: names of a template's kernels.
    """

    crop_names: tuple[str, ...] = ("image",)
    kernel_names: tuple[str, ...] = ("cls", "loc")

    def __init__(self, config: HANetConfig) -> None:
        super().__init__()
        self.config = config
        self.rgb = make_rgb_branch(config)

    def crop_sizes(self, side: str) -> tuple[int, ...]:
        """Return the side in pixels of each input's crop, for `side` `template` or `search`."""
        return (getattr(self.rgb.geometry, f"{side}_size"),)

    def encode_template(self, *crops: Tensor) -> tuple[Tensor, ...]:
        """Return the kernels of templates, from crops with BGR `(batch, 3, 127, 127)` first."""
        z = self.rgb.features(crops[0])
        return self.rgb.classification_kernels(z), self.rgb.regression_kernels(z)

    def search(
        self, crops: Sequence[Tensor], template: Sequence[Tensor], online: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return target logits and box distances of search crops, for the first and the online template.

        Args:
            crops: one tensor per input, BGR `(batch, 3, 255, 255)` first.
            template: kernels of the first template.
            online: kernels of the online template (paper, section 2.3).

        Returns:
            Logits of target minus background `(batch, size, size)` for the first and for the online template,
            and distances to the sides of the box `(batch, 4, size, size)` for the first template.
        """
        x = self.rgb.features(crops[0])
        first, newer = self._target_logits(self.rgb.classify(x, [template[0], online[0]]))
        return first, newer, self.rgb.regress(x, template[1])

    @staticmethod
    def _target_logits(maps: Sequence[Tensor]) -> list[Tensor]:
        return [logits[:, 1] - logits[:, 0] for logits in maps]


class HANet(SiameseNetwork):
    """HA-Net (paper, figure 1): an RGB branch on false color, a spectral branch, and their fusion.

    Args:
        config: configuration with a spectral branch.

    Raises:
        ValueError: the configuration has no spectral branch.
    """

    crop_names = ("image", "cube")
    kernel_names = ("cls", "loc", "hsi")

    def __init__(self, config: HANetConfig) -> None:
        if config.spectral is None:
            raise ValueError("a HANet needs config.spectral: use SiameseNetwork without a spectral branch")
        super().__init__(config)
        self.spectral = SpectralBranch(config.spectral)
        self.alpha = nn.Parameter(torch.tensor(config.alpha))
        self.beta = nn.Parameter(torch.tensor(config.beta))
        self._is_same_grid = self.rgb.grid == SIAMBAN_GRID
        self.register_buffer(
            "_resampling", self.rgb.grid.compute_interpolation(SIAMBAN_GRID), persistent=False
        )

    def crop_sizes(self, side: str) -> tuple[int, ...]:
        return (*super().crop_sizes(side), getattr(self.config.spectral, f"{side}_size"))

    def extract_rgb_network(self) -> SiameseNetwork:
        """Return the RGB branch as a network of its own, with the same weights."""
        config = replace(self.config, spectral=None, tracking={}, color_model="", rgb_model="", rgb_sha256="")
        alone = SiameseNetwork(config)
        alone.rgb.load_state_dict(self.rgb.state_dict())
        return alone.train(self.training)

    def encode_template(self, *crops: Tensor) -> tuple[Tensor, ...]:
        """Return the kernels of templates.

        Args:
            crops: BGR crops `(batch, 3, 127, 127)`, cube crops, and the wavelengths of a network for any
                camera.
        """
        image, *cube = crops
        spectral_z = self.spectral.features(*cube)
        return *super().encode_template(image), self.spectral.head.classification_kernels(spectral_z)

    def _classify_spectra(self, features: Sequence[Tensor], templates: Sequence[Tensor]) -> list[Tensor]:
        """Return R_HSI for each template, interpolated to the grid of the RGB branch."""
        maps = self.spectral.head.classify(features, templates)
        if self._is_same_grid:
            return maps
        rows = self.get_buffer("_resampling")
        return [torch.matmul(torch.matmul(rows, each), rows.T) for each in maps]

    def fuse(self, rgb: Tensor, hsi: Tensor) -> Tensor:
        """Return `alpha R_cls + beta R_HSI`, equation 3 on logits (batch, 2, size, size)."""
        return self.alpha * rgb + self.beta * hsi

    def forward(
        self,
        template_image: Tensor,
        template_cube: Tensor,
        search_image: Tensor,
        search_cube: Tensor,
        *wavelengths_nm: Tensor,
    ) -> Responses:
        """Return all response maps of pairs of crops, for training."""
        cls, loc, kernels = self.encode_template(template_image, template_cube, *wavelengths_nm)
        x = self.rgb.features(search_image)
        (rgb,) = self.rgb.classify(x, [cls])
        (hsi,) = self._classify_spectra(self.spectral.features(search_cube, *wavelengths_nm), [kernels])
        return Responses(rgb, hsi, self.fuse(rgb, hsi), self.rgb.regress(x, loc))

    def search(
        self, crops: Sequence[Tensor], template: Sequence[Tensor], online: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Search for the target in crops of both branches.

        Args:
            crops: search crops of the image and of the cube.
            template: features of the first template.
            online: features of the online template.

        Returns:
            fused logits of the target by the first and by the online template, and distances from each point
            to the sides of the box in pixels of the search crop.
        """
        image, cube = crops
        x, spectral_x = self.rgb.features(image), self.spectral.features(cube)
        rgb = self.rgb.classify(x, [template[0], online[0]])
        hsi = self._classify_spectra(spectral_x, [template[2], online[1]])
        first, newer = self._target_logits([self.fuse(*maps) for maps in zip(rgb, hsi, strict=True)])
        return first, newer, self.rgb.regress(x, template[1])

    def bake(self, wavelengths_nm: Sequence[float]) -> HANet:
        """Return the network with a plain first spectral convolution over these bands.

        Raises:
            ValueError: the bands of the network are fixed already.
        """
        spectral = self.config.spectral
        stem = self.spectral.backbone.conv1
        if spectral is None or not isinstance(stem, ConditionedStem):
            raise ValueError("the bands of this network are fixed already")
        bands = tuple(float(value) for value in wavelengths_nm)
        baked = HANet(replace(self.config, spectral=replace(spectral, wavelengths_nm=bands)))
        weights = self.state_dict()
        del weights["spectral.backbone.conv1.convolution.weight"]
        weights["spectral.backbone.conv1.weight"] = stem.bake_weight(bands)
        baked.load_state_dict(weights)
        return baked.train(self.training)
