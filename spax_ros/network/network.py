"""SPAX: hierarchical spatio-temporal fusion for moving objects of a few pixels.

In each frame the features of several scales are fused. Between frames, features of the same scale interact
(symmetric): gated units at two input scales and on the fused features, and mask propagation. Fused features
of the previous frame are also an input of the next one (asymmetric). The same class runs on whole images and
on active pixels; see `spax_ros.network.grid`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spax_ros.network.backbone import Aggregation, Backbone
from spax_ros.network.config import SpaxConfig
from spax_ros.network.grid import Grid, Shift
from spax_ros.network.layers import (
    AttentionFusion,
    Conv,
    ConvNorm,
    Deconv,
    EdgeEnhancer,
    GatedUnit,
    MaskPropagation,
)

HEADS = {"hm": None, "wh": 2, "reg": 2, "dis": 2}  # channels of each head; None: one per class
PRIOR_BIAS = -4.6  # initial bias of the heat maps, sigmoid(-4.6) = 0.01


@dataclass(frozen=True)
class Pyramid:
    """Fused features of one frame at strides 1, 2 and 4."""

    p0: Tensor
    p1: Tensor
    p2: Tensor

    def warp_to(self, grid: Grid, source: Grid, shift: Shift) -> Pyramid:
        """Return the features on `source` at the pixels of `grid`; see `Grid.warp`."""
        if grid is source and not shift.any():
            return self
        levels = (self.p0, self.p1, self.p2)
        return Pyramid(*(grid.warp(x, level, source, shift) for level, x in enumerate(levels)))


@dataclass(frozen=True)
class NetworkState:
    """Recurrent state that one frame passes to the next.

    Attributes:
        grid: pixels of the frame.
        input0: output of the gated unit at stride 1.
        input1: output of the gated unit at stride 2.
        fused: output of the gated unit on the fused features.
        pyramid: fused features.
        mask: class-agnostic heat map, 0 to 1.
    """

    grid: Grid
    input0: Tensor
    input1: Tensor
    fused: Tensor
    pyramid: Pyramid
    mask: Tensor

    def warp_to(self, grid: Grid, shift: Shift) -> NetworkState:
        """Return the state at the pixels of a later frame; see `Grid.warp`."""
        source = self.grid
        return NetworkState(
            grid,
            grid.warp(self.input0, 0, source, shift),
            grid.warp(self.input1, 1, source, shift),
            grid.warp(self.fused, 0, source, shift),
            self.pyramid.warp_to(grid, source, shift),
            grid.warp(self.mask, 0, source, shift),
        )

    def to_features(self) -> dict[str, Tensor]:
        """Return the features by name."""
        pyramid = self.pyramid
        return {
            "input0": self.input0, "input1": self.input1, "fused": self.fused,
            "p0": pyramid.p0, "p1": pyramid.p1, "p2": pyramid.p2, "mask": self.mask,
        }  # fmt: skip

    @classmethod
    def from_features(cls, grid: Grid, features: Mapping[str, Tensor]) -> NetworkState:
        """Make a state of named features; features that are missing have no channels."""
        like = features["input0"]
        levels = {"p0": 0, "p1": 1, "p2": 2, "mask": 0}
        empty = {name: grid.zeros(like, level, 0) for name, level in levels.items()}
        all_features = empty | dict(features)
        pyramid = Pyramid(all_features["p0"], all_features["p1"], all_features["p2"])
        return cls(
            grid,
            all_features["input0"],
            all_features["input1"],
            all_features["fused"],
            pyramid,
            all_features["mask"],
        )

    def detach(self) -> NetworkState:
        """Return the state without its gradient history, to truncate back-propagation through time."""
        pyramid = Pyramid(self.pyramid.p0.detach(), self.pyramid.p1.detach(), self.pyramid.p2.detach())
        return replace(
            self,
            input0=self.input0.detach(),
            input1=self.input1.detach(),
            fused=self.fused.detach(),
            pyramid=pyramid,
            mask=self.mask.detach(),
        )


@dataclass(frozen=True)
class StepOutput:
    """Output of the network for one frame.

    Attributes:
        state: state for the next frame.
        features: input of the heads.
        mask_logits: class-agnostic heat map before the sigmoid.
        pair: features of this frame and the last, for the displacement head; None in the first frame.
    """

    state: NetworkState
    features: Tensor
    mask_logits: Tensor
    pair: Tensor | None


class SpaxNetwork(nn.Module):
    """SPAX network of any variant; the same weights run on every grid.

    Args:
        config: structure and widths.
    """

    def __init__(self, config: SpaxConfig) -> None:
        super().__init__()
        self.config = config
        # The order of creation determines the random initial weights of a seed.
        self._build_recurrent_branch(config)
        self._build_backbone(config)
        self._build_decoder(config)
        self._build_heads(config)
        # Convolutions that `spax_ros.sparse.fusion` makes of several.
        self.joint_entry: nn.Module | None = None
        self.joint_output: nn.Module | None = None

    def _build_recurrent_branch(self, config: SpaxConfig) -> None:
        w0, w1 = config.widths[:2]
        is_full = config.fusion == "full"
        self.stem = nn.ModuleList(
            [ConvNorm(config.input_channels, w0, config.stem_kernel, relu=False), ConvNorm(w0, w0)]
        )
        self.stem_edges = EdgeEnhancer(w0) if is_full else None
        self.input0 = GatedUnit(w0, w0)
        self.input1 = GatedUnit(w0, w1)
        self.asymmetric: nn.Module = AttentionFusion(w0) if is_full else Conv(w1, w0)

    def _build_backbone(self, config: SpaxConfig) -> None:
        widths = config.widths
        w1, w2 = widths[1:3]
        is_full = config.fusion == "full"
        self.backbone = Backbone(config.input_channels, widths, config.depths, config.backbone_kernel)
        self.aggregation = Aggregation(widths) if is_full else None
        self.inject = None if is_full else Conv(w1, w1)
        self.propagate = nn.ModuleList([MaskPropagation(w1), MaskPropagation(w2)]) if is_full else None

    def _build_decoder(self, config: SpaxConfig) -> None:
        widths = config.widths
        w0 = widths[0]
        self.up = nn.ModuleList(Deconv(widths[i + 1], widths[i]) for i in range(config.decode_from))
        self.smooth = nn.ModuleList(
            ConvNorm(widths[i], widths[i], bias=True) for i in range(config.decode_from)
        )
        self.mask_layer = Conv(w0, 1, 1)
        self.fused_edges = EdgeEnhancer(w0) if config.fusion == "full" else None
        self.fused = GatedUnit(w0, w0)
        self.project = ConvNorm(w0, w0, relu=False)
        self.pair = ConvNorm(2 * w0, w0, relu=False)

    def _build_heads(self, config: SpaxConfig) -> None:
        self.heads = nn.ModuleDict(
            {
                name: Head(
                    config.widths[0], config.head_width, config.head_depth, outputs or len(config.classes)
                )
                for name, outputs in HEADS.items()
            }
        )
        for conv in (self.mask_layer, self.head("hm").out):
            if conv.bias is not None:
                nn.init.constant_(conv.bias, PRIOR_BIAS)

    @property
    def carried_features(self) -> tuple[str, ...]:
        """Names of the state's features that the next frame uses."""
        light = ("input0", "input1", "fused", "p1")
        return light if self.config.fusion == "light" else (*light, "p0", "p2", "mask")

    def head(self, name: str) -> Head:
        """Return a head by its name in `HEADS`."""
        head = self.heads[name]
        assert isinstance(head, Head)
        return head

    def step(
        self, x: Tensor, grid: Grid, previous: NetworkState | None, known_pyramid: Pyramid | None = None
    ) -> StepOutput:
        """Run the network on one frame.

        Args:
            x: frame as network input, on `grid`.
            grid: pixels of the frame.
            previous: state of the last frame at these pixels (`NetworkState.warp_to`); None: the first frame.
            known_pyramid: fused features of the frame from an earlier step; None: they are computed.
        """
        # Step 1: recurrent branch at strides 1 and 2.
        w0, w1 = self.config.widths[:2]
        c0, base = self._convolve_frame(x, grid)
        c0 = self.stem[1](c0, grid, 0)
        if self.stem_edges is not None:
            c0 = self.stem_edges(c0, grid, 0)
        input0 = self.input0(c0, previous.input0 if previous else grid.zeros(x, 0, w0), grid, 0)
        c1 = grid.max_pool(input0, 0, 3)
        if previous:
            c1 = self._interact(c1, previous.pyramid, grid)
        input1 = self.input1(c1, previous.input1 if previous else grid.zeros(x, 1, w1), grid, 1)

        # Step 2: backbone and fusion of scales.
        pyramid = known_pyramid or self._fuse(
            self.backbone(x, c0 + input0, grid, base), input1, previous, grid
        )

        # Step 3: mask and recurrent unit on the fused features.
        mask_logits = self.mask_layer(pyramid.p0, grid, 0)
        p0 = pyramid.p0 if self.fused_edges is None else self.fused_edges(pyramid.p0, grid, 0)
        fused, projected = self._remember(p0, previous.fused if previous else grid.zeros(x, 0, w0), grid)
        pair = None
        if previous:
            pair = torch.cat([previous.fused + previous.input0, fused + input0], dim=1)
        return StepOutput(
            state=NetworkState(grid, input0, input1, fused, pyramid, torch.sigmoid(mask_logits)),
            features=fused + projected,
            mask_logits=mask_logits,
            pair=pair,
        )

    def displacement(self, pair: Tensor, grid: Grid) -> Tensor:
        """Return the displacement of each object to the last frame, in pixels, from `StepOutput.pair`."""
        return self.head("dis")(self.pair(pair, grid, 0), grid)

    def fold(self) -> SpaxNetwork:
        """Fold every normalization into its convolution, in place, for inference."""
        for module in self.modules():
            if isinstance(module, (ConvNorm, Deconv)):
                module.fold()
        return self.eval()

    def _convolve_frame(self, x: Tensor, grid: Grid) -> tuple[Tensor, Tensor | None]:
        """Return the first features of the recurrent branch, and those of the backbone if both are one."""
        if self.joint_entry is None:
            return self.stem[0](x, grid, 0), None
        return self.joint_entry(x, grid)

    def _remember(self, p0: Tensor, state: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return the new state of the fused features, and their projection."""
        if self.joint_output is None:
            return self.fused(p0, state, grid, 0), self.project(p0, grid, 0)
        return self.joint_output(p0, state, grid)

    def _interact(self, c1: Tensor, earlier: Pyramid, grid: Grid) -> Tensor:
        """Return the features `c1` with those of the last frame: the asymmetric interaction."""
        if isinstance(self.asymmetric, AttentionFusion):
            return self.asymmetric(c1, earlier.p0, grid, 1)
        return c1 + self.asymmetric(earlier.p1, grid, 1)

    def _fuse(
        self, levels: Sequence[Tensor], input1: Tensor, previous: NetworkState | None, grid: Grid
    ) -> Pyramid:
        lateral = list(levels)
        if self.aggregation is not None:
            lateral[1] = lateral[1] + input1
            lateral = self.aggregation(lateral, grid)
        if self.propagate is not None:
            lateral[1] = self._propagate(0, lateral[1], previous, grid)
            lateral[2] = self._propagate(1, lateral[2], previous, grid)
        coarsest = self.config.decode_from
        fused = {coarsest: lateral[coarsest]}
        for level in range(coarsest - 1, -1, -1):
            merged = self.up[level](fused[level + 1], grid, level + 1) + lateral[level]
            fused[level] = self.smooth[level](merged, grid, level)
            if level == 1 and self.inject is not None:
                fused[level] = self.inject(fused[level] + input1, grid, 1)
        return Pyramid(fused[0], fused[1], fused[2])

    def _propagate(self, index: int, x: Tensor, previous: NetworkState | None, grid: Grid) -> Tensor:
        assert self.propagate is not None
        if previous is None:
            earlier, mask = torch.zeros_like(x), grid.zeros(x, 0, 1)
        else:
            earlier, mask = (previous.pyramid.p1, previous.pyramid.p2)[index], previous.mask
        return self.propagate[index](earlier, x, mask, grid, index + 1)


class Head(nn.Module):
    """3x3 convolutions with ReLU and a 1x1 convolution.

    Args:
        inputs: channels of the features.
        width: channels of the 3x3 convolutions.
        depth: number of 3x3 convolutions.
        outputs: channels of the output.
    """

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(Conv(inputs if i == 0 else width, width) for i in range(depth))
        self.out = Conv(width, outputs, 1)
        nn.init.normal_(self.out.weight, std=0.001)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return the output at every pixel of level 0."""
        for conv in self.hidden:
            x = F.relu(conv(x, grid, 0))
        return self.out(x, grid, 0)

    def compute_at(self, rows: Tensor, x: Tensor, grid: Grid) -> Tensor:
        """Return the output ``(n, outputs)`` at some pixels only, given by row."""
        *first, last = self.hidden
        assert isinstance(last, Conv)
        for conv in first:
            x = F.relu(conv(x, grid, 0))
        return F.linear(
            F.relu(grid.conv_at(rows, x, last.weight, last.bias)), self.out.weight[:, :, 0, 0], self.out.bias
        )
