"""What a HA-Net is built from: the ``parameters`` of its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dacite

from tracking_runtime.errors import ModelError


@dataclass(frozen=True)
class SpectralConfig:
    """The hyperspectral classification branch.

    Attributes:
        backbone: ``resnet50_os16`` (the paper's ResNet-50 with the 1x1 shortcuts of its authors, stage 4
            strided as theirs), ``resnet50_1x1`` (stage 4 dilated instead: on two CPU cores the whole HA-Net
            takes 1.2 times as long in int8), ``resnet50`` (dilated, with SiamBAN's 3x3 shortcuts) or
            ``light``.
        levels: stages of the backbone that are correlated.
        channels: of the neck and the head.
        template_size: side of the square cube crop around the template, in pixels.
        search_size: side of the square cube crop around the search area, in pixels.
        wavelengths_nm: centre of each band of the first convolution; None: the first convolution is made
            from the camera's wavelengths, whatever they are.
    """

    backbone: str = "resnet50_os16"
    levels: tuple[int, ...] = (2, 3, 4)
    channels: int = 256
    template_size: int = 127
    search_size: int = 255
    wavelengths_nm: tuple[float, ...] | None = None


@dataclass(frozen=True)
class HANetConfig:
    """The whole network. Without a spectral branch it is an RGB tracker: SiamBAN or NanoTrack.

    Attributes:
        backbone: of the RGB branch: SiamBAN on ``resnet50`` (the paper's) or ``efficientnet_lite0``, or all
            of ``nanotrack_v1``, ``nanotrack_v2`` or ``nanotrack_v3``.
        levels: stages of SiamBAN's backbone that are correlated.
        channels: of SiamBAN's neck and heads.
        pixel_mean: subtracted from BGR pixels of 0..255.
        pixel_std: what they are divided by after that.
        spectral: the hyperspectral classification branch, if there is one.
        alpha: initial weight of the RGB classification in eq. 3 of the paper.
        beta: initial weight of the hyperspectral classification in eq. 3.
        tracking: settings of the tracker (``TrackerSettings``) that this network was tuned with, by name.
    """

    backbone: str = "resnet50"
    levels: tuple[int, ...] = (2, 3, 4)
    channels: int = 256
    pixel_mean: float = 0.0
    pixel_std: float = 1.0
    spectral: SpectralConfig | None = None
    alpha: float = 1.0
    beta: float = 1.0
    tracking: Mapping[str, float] = field(default_factory=dict)

    template_size = 127
    search_size = 255

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> HANetConfig:
        """The configuration that a manifest holds.

        Raises:
            ModelError: a parameter is missing, unknown or of the wrong type.
        """
        try:
            return dacite.from_dict(cls, dict(parameters), dacite.Config(cast=[tuple], strict=True))
        except dacite.DaciteError as error:
            raise ModelError(f"not the parameters of a HA-Net: {error}") from error

    def to_parameters(self) -> dict[str, Any]:
        """The configuration as a manifest holds it: numbers, strings and lists."""
        return _lists(asdict(self))


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


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

PRESETS = {"siamban_r50": SIAMBAN_R50, "hanet_r50": HANET_R50, "hanet_edge": HANET_EDGE}
