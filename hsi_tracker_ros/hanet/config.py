"""Configuration of a HA-Net: the `parameters` of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dacite

from tracking_runtime.errors import ModelError


@dataclass(frozen=True)
class SpectralConfig:
    """Configuration of the hyperspectral classification branch.

    Attributes:
        backbone: `resnet50_os16` (the paper's ResNet-50 with its authors' 1x1 shortcuts and strided stage 4),
            `resnet50_1x1` (stage 4 dilated; the whole HA-Net takes 1.2 times as long in int8 on two CPU
            cores), `resnet50` (dilated, with SiamBAN's 3x3 shortcuts), or `light`.
        levels: numbers of the backbone's stages that are correlated.
        channels: number of channels of the neck and the head.
        template_size: side of the template's cube crop in pixels.
        search_size: side of the search region's cube crop in pixels.
        wavelengths_nm: center of each band of the first convolution in nm. None: the first convolution is
            generated from the camera's wavelengths.
    """

    backbone: str = "resnet50_os16"
    levels: tuple[int, ...] = (2, 3, 4)
    channels: int = 256
    template_size: int = 127
    search_size: int = 255
    wavelengths_nm: tuple[float, ...] | None = None


@dataclass(frozen=True)
class HANetConfig:
    """Configuration of the network. Without a spectral branch the network is SiamBAN, NanoTrack or FEAR.

    Attributes:
        backbone: backbone of the RGB branch: SiamBAN on `resnet50` (the paper's), `efficientnet_lite0` or
            `efficientnet_lite0_light`, or the whole of `nanotrack_v1`, `nanotrack_v2`, `nanotrack_v3` or
            `fear_xs`.
        levels: numbers of the stages of SiamBAN's backbone that are correlated.
        channels: number of channels of SiamBAN's neck and heads.
        pixel_mean: value subtracted from BGR pixels of 0..255.
        pixel_std: divisor of the pixels after the subtraction.
        spectral: hyperspectral classification branch; None: none.
        alpha: initial weight of the RGB classification (equation 3 of the paper).
        beta: initial weight of the hyperspectral classification (equation 3).
        rgb_model: name of the model that has the weights of the RGB branch; empty: the model itself has them.
        rgb_sha256: checksum of these weights, see `compute_weights_sha256`.
        tracking: settings of the tracker (`TrackerSettings`) for this network, by name.
        color_model: name of a model that tracks color images instead of the RGB branch, which is trained
            for false color; empty: the RGB branch tracks them.
        separable_search: True if the search side of SiamBAN's heads has a 1x1 and a depth-wise 3x3
            convolution in place of each 3x3 convolution, for an eighth of its operations. The template side,
            which runs once per target, keeps its 3x3 convolutions.
    """

    backbone: str = "resnet50"
    levels: tuple[int, ...] = (2, 3, 4)
    channels: int = 256
    pixel_mean: float = 0.0
    pixel_std: float = 1.0
    spectral: SpectralConfig | None = None
    alpha: float = 1.0
    beta: float = 1.0
    rgb_model: str = ""
    rgb_sha256: str = ""
    tracking: Mapping[str, Any] = field(default_factory=dict)
    color_model: str = ""
    separable_search: bool = False

    template_size = 127
    search_size = 255

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> HANetConfig:
        """Return the configuration of a manifest's parameters.

        Raises:
            ModelError: a parameter is missing, unknown or has a wrong type.
        """
        try:
            return dacite.from_dict(cls, dict(parameters), dacite.Config(cast=[tuple], strict=True))
        except dacite.DaciteError as error:
            raise ModelError(f"the parameters are not those of a HA-Net: {error}") from error

    def to_parameters(self) -> dict[str, Any]:
        """Return the configuration as a manifest's parameters: numbers, strings and lists."""
        parameters = _convert_tuples(asdict(self))
        if not self.rgb_model:
            del parameters["rgb_model"], parameters["rgb_sha256"]
        if not self.color_model:
            del parameters["color_model"]
        if not self.separable_search:
            del parameters["separable_search"]
        return parameters


def _convert_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _convert_tuples(item) for key, item in value.items()}
    return [_convert_tuples(item) for item in value] if isinstance(value, tuple) else value


SIAMBAN_R50 = HANetConfig()

HANET_R50 = HANetConfig(spectral=SpectralConfig())

HANET_EDGE = HANetConfig(
    backbone="efficientnet_lite0",
    levels=(3, 4),
    channels=96,
    pixel_mean=127.0,
    pixel_std=128.0,
    spectral=SpectralConfig(backbone="light", levels=(2, 3), channels=64, template_size=63, search_size=127),
)

SIAMBAN_EDGE = HANetConfig(
    backbone="efficientnet_lite0_light",
    levels=(3, 4),
    channels=64,
    pixel_mean=127.0,
    pixel_std=128.0,
    separable_search=True,
)

PRESETS = {"siamban_r50": SIAMBAN_R50, "hanet_r50": HANET_R50, "hanet_edge": HANET_EDGE}
