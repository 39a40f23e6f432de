"""Configuration of a SPAX network, as in a model's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import dacite

from spax_ros.preprocessing import NUM_CHANNELS, InputKind
from tracking_runtime.errors import ModelError

SATVIDEODT_CLASSES = ("car", "airplane", "ship", "train")
SATMTB_CLASSES = ("car", "airplane", "ship")

_ATTENTION_MULTIPLE = 8 * 4  # windows of 8 pixels at stride 4


@dataclass(frozen=True)
class SpaxConfig:
    """Structure and widths of a network; the defaults are SPAX-Base for SatVideoDT.

    Attributes:
        classes: names of the classes, by class id.
        inputs: channels of a frame. ``bgr``: blue, green, red. ``gray_residual``: gray level and difference
            from the background. ``gray_residual_velocity``: the same with the accumulated motion, which none
            of the published variants has.
        fusion: ``full`` (Base: aggregation, mask propagation, attention) or ``light``.
        widths: channels at strides 1, 2, 4, ...
        depths: depth of the backbone's tree at each stride; the first two levels are plain convolutions.
        decode_from: level at which upsampling begins: 3 for SatVideoDT, 4 for SatMTB.
        head_width: channels inside the heads.
        head_depth: 3x3 convolutions in each head.
        stem_kernel: kernel size of the first convolution of the recurrent branch.
        backbone_kernel: kernel size of the first convolution of the backbone.
        memory: ``carried``: each frame's state is the next frame's input. ``window``: as published, the gated
            units run over the last `window` frames in every step. The weights must be trained with it.
        window: frames in the window of the memory ``window``.
    """

    classes: tuple[str, ...] = SATVIDEODT_CLASSES
    inputs: InputKind = "bgr"
    fusion: Literal["full", "light"] = "full"
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    depths: tuple[int, ...] = (1, 1, 1, 2, 2)
    decode_from: int = 3
    head_width: int = 128
    head_depth: int = 1
    stem_kernel: int = 5
    backbone_kernel: int = 7
    memory: Literal["carried", "window"] = "carried"
    window: int = 5

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.depths):
            raise ValueError(
                f"widths and depths must have one entry per level: got {len(self.widths)} widths, "
                f"{len(self.depths)} depths"
            )
        if not 2 <= self.decode_from < len(self.widths):
            raise ValueError(
                f"decode_from must be a level from 2 to {len(self.widths) - 1}: got {self.decode_from}"
            )

    @property
    def input_channels(self) -> int:
        """Channels of a frame as network input."""
        return NUM_CHANNELS[self.inputs]

    @property
    def num_levels(self) -> int:
        """Number of resolutions: strides 1, 2, ..., ``2 ** (num_levels - 1)``."""
        return len(self.widths)

    @property
    def size_multiple(self) -> int:
        """Number that height and width must be multiples of: whole pixels and windows at every level."""
        attention_multiple = _ATTENTION_MULTIPLE if self.fusion == "full" else 1
        return max(2 ** (self.num_levels - 1), attention_multiple)

    def to_parameters(self) -> dict[str, Any]:
        """Return the parameters for a manifest."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> SpaxConfig:
        """Read the parameters of a manifest.

        Raises:
            ModelError: a parameter is unknown, of the wrong type, or contradicts another.
        """
        try:
            return dacite.from_dict(cls, parameters, dacite.Config(cast=[tuple], strict=True))
        except (dacite.DaciteError, ValueError, TypeError) as error:
            raise ModelError(f"the parameters do not describe a SPAX network: {error}") from error


VARIANTS: dict[str, SpaxConfig] = {
    "base_satvideodt": SpaxConfig(),
    "light_satvideodt": SpaxConfig(fusion="light", widths=(16, 32, 64, 128), depths=(1, 1, 1, 2)),
    "base_satmtb": SpaxConfig(classes=SATMTB_CLASSES, decode_from=4, head_depth=2),
    "light_satmtb": SpaxConfig(classes=SATMTB_CLASSES, fusion="light", decode_from=4, head_depth=2),
    "light": SpaxConfig(
        inputs="gray_residual", fusion="light", widths=(16, 32, 64, 128), depths=(1, 1, 1, 2)
    ),
    "small": SpaxConfig(
        inputs="gray_residual",
        fusion="light",
        widths=(8, 16, 24, 32),
        depths=(1, 1, 1, 1),
        head_width=24,
        stem_kernel=3,
        backbone_kernel=3,
    ),
}
