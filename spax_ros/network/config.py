"""What a SPAX network is built from; the manifest of a model carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import dacite

from tracking_runtime.errors import ModelError

SATVIDEODT_CLASSES = ("car", "airplane", "ship", "train")
SATMTB_CLASSES = ("car", "airplane", "ship")


@dataclass(frozen=True)
class SpaxConfig:
    """Structure and widths of a network; the defaults are SPAX-Base for SatVideoDT.

    Attributes:
        classes: what it tells apart, by class id.
        inputs: ``bgr``: the frame; ``gray_residual``: its brightness and how far that is from the background.
        fusion: ``full`` (Base: aggregation, mask propagation, attention) or ``light``.
        widths: channels at strides 1, 2, 4, ...
        depths: depth of the backbone's tree at each stride; the first two levels are plain convolutions.
        decode_from: level at which the way back up begins: 3 for SatVideoDT, 4 for SatMTB.
        head_width: channels inside the heads.
        head_depth: 3x3 convolutions in each head.
        stem_kernel: of the first convolution of the recurrent branch.
        backbone_kernel: of the first convolution of the backbone.
        memory: ``carried``: the state goes from frame to frame. ``window``: as published, the gated units run
            over the last ``window`` frames at every step; only for weights that were trained so.
        window: frames seen at once with the memory ``window``.
    """

    classes: tuple[str, ...] = SATVIDEODT_CLASSES
    inputs: Literal["bgr", "gray_residual"] = "bgr"
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
            raise ValueError(f"{len(self.widths)} widths but {len(self.depths)} depths")
        if not 2 <= self.decode_from < len(self.widths):
            raise ValueError(
                f"decode_from is {self.decode_from}, widths has levels 0 to {len(self.widths) - 1}"
            )

    @property
    def input_channels(self) -> int:
        """Channels of a frame as the network takes it."""
        return 3 if self.inputs == "bgr" else 2

    @property
    def levels(self) -> int:
        """Resolutions that the network works at: strides 1, 2, ..., ``2 ** (levels - 1)``."""
        return len(self.widths)

    @property
    def multiple(self) -> int:
        """Height and width are multiples of this: whole pixels at every level, whole attention windows."""
        attention = 8 * 4 if self.fusion == "full" else 1
        return max(2 ** (self.levels - 1), attention)

    def as_parameters(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> SpaxConfig:
        """Read what a manifest says.

        Raises:
            ModelError: a field is unknown, of the wrong type, or does not fit the others.
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
