"""SPAX: hierarchical spatio-temporal fusion for movers of a few pixels.

In each frame the features of several scales are fused; between frames, features of the same scale interact
(symmetric: gated units at two input scales and on the fused features, mask propagation) and earlier fused
features flow into the next frame's input (asymmetric). The same class runs on whole images and on active
pixels: see :mod:`spax_ros.network.grid`.
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

HEADS = {"hm": None, "wh": 2, "reg": 2, "dis": 2}
PRIOR_BIAS = -4.6  # the heat maps begin at sigmoid(-4.6) = 0.01


@dataclass(frozen=True)
class Pyramid:
    """Fused features of one frame at strides 1, 2 and 4."""

    p0: Tensor
    p1: Tensor
    p2: Tensor

    def at(self, grid: Grid, source: Grid, shift: Shift) -> Pyramid:
        """The features on ``source`` at the pixels of ``grid``; (y, x) here was at (y, x) + shift there."""
        if grid is source and not shift.any():
            return self
        levels = (self.p0, self.p1, self.p2)
        return Pyramid(*(grid.carry(x, level, source, shift) for level, x in enumerate(levels)))


@dataclass(frozen=True)
class State:
    """What a frame leaves for the next: all of it at the pixels of ``grid``.

    Attributes:
        input0: gated unit at stride 1.
        input1: gated unit at stride 2.
        fused: gated unit on the fused features.
        pyramid: fused features.
        mask: ``mask_layer`` after the sigmoid.
    """

    grid: Grid
    input0: Tensor
    input1: Tensor
    fused: Tensor
    pyramid: Pyramid
    mask: Tensor

    def at(self, grid: Grid, shift: Shift) -> State:
        """The state at the pixels of another frame; a pixel (y, x) there was at (y, x) + shift here."""
        source = self.grid
        return State(
            grid,
            grid.carry(self.input0, 0, source, shift),
            grid.carry(self.input1, 1, source, shift),
            grid.carry(self.fused, 0, source, shift),
            self.pyramid.at(grid, source, shift),
            grid.carry(self.mask, 0, source, shift),
        )

    def features(self) -> dict[str, Tensor]:
        """Its parts by name."""
        pyramid = self.pyramid
        return {
            "input0": self.input0, "input1": self.input1, "fused": self.fused,
            "p0": pyramid.p0, "p1": pyramid.p1, "p2": pyramid.p2, "mask": self.mask,
        }  # fmt: skip

    @classmethod
    def of(cls, grid: Grid, features: Mapping[str, Tensor]) -> State:
        """A state of these parts; parts that are left out have no channels."""
        like = features["input0"]
        levels = {"p0": 0, "p1": 1, "p2": 2, "mask": 0}
        nothing = {name: grid.zeros(like, level, 0) for name, level in levels.items()}
        parts = nothing | dict(features)
        pyramid = Pyramid(parts["p0"], parts["p1"], parts["p2"])
        return cls(grid, parts["input0"], parts["input1"], parts["fused"], pyramid, parts["mask"])

    def detach(self) -> State:
        """The same without its history, to cut back-propagation through time."""
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
class Step:
    """One frame's results: what the heads need, and the state for the next frame.

    Attributes:
        state: for the next frame.
        features: what the heads look at.
        mask_logits: this frame's class-agnostic heat map.
        pair: features of this frame and the last together, for the displacement head; None in the first.
    """

    state: State
    features: Tensor
    mask_logits: Tensor
    pair: Tensor | None


class SpaxNetwork(nn.Module):
    """The network of any variant; weights by name, the same on every grid."""

    def __init__(self, config: SpaxConfig) -> None:
        super().__init__()
        self.config = config
        widths, full = config.widths, config.fusion == "full"
        w0, w1 = widths[:2]
        self.stem = nn.ModuleList(
            [ConvNorm(config.input_channels, w0, config.stem_kernel, relu=False), ConvNorm(w0, w0)]
        )
        self.stem_edges = EdgeEnhancer(w0) if full else None
        self.input0 = GatedUnit(w0, w0)
        self.input1 = GatedUnit(w0, w1)
        self.asymmetric: nn.Module = AttentionFusion(w0) if full else Conv(w1, w0)
        self.backbone = Backbone(config.input_channels, widths, config.depths, config.backbone_kernel)
        self.aggregation = Aggregation(widths) if full else None
        self.inject = None if full else Conv(w1, w1)
        self.propagate = nn.ModuleList([MaskPropagation(w1), MaskPropagation(widths[2])]) if full else None
        self.up = nn.ModuleList(Deconv(widths[i + 1], widths[i]) for i in range(config.decode_from))
        self.smooth = nn.ModuleList(
            ConvNorm(widths[i], widths[i], bias=True) for i in range(config.decode_from)
        )
        self.mask_layer = Conv(w0, 1, 1)
        self.fused_edges = EdgeEnhancer(w0) if full else None
        self.fused = GatedUnit(w0, w0)
        self.project = ConvNorm(w0, w0, relu=False)
        self.pair = ConvNorm(2 * w0, w0, relu=False)
        self.heads = nn.ModuleDict(
            {
                name: Head(w0, config.head_width, config.head_depth, outputs or len(config.classes))
                for name, outputs in HEADS.items()
            }
        )
        for conv in (self.mask_layer, self.head("hm").out):
            if conv.bias is not None:
                nn.init.constant_(conv.bias, PRIOR_BIAS)

    @property
    def remembered(self) -> tuple[str, ...]:
        """Which parts of a state the next frame uses."""
        light = ("input0", "input1", "fused", "p1")
        return light if self.config.fusion == "light" else (*light, "p0", "p2", "mask")

    def head(self, name: str) -> Head:
        """One of ``HEADS``."""
        head = self.heads[name]
        assert isinstance(head, Head)
        return head

    def step(self, x: Tensor, grid: Grid, previous: State | None, known: Pyramid | None = None) -> Step:
        """One frame.

        Args:
            x: the normalised frame on ``grid``.
            grid: its pixels.
            previous: the last frame's state at these pixels (see ``State.at``); None: there is none.
            known: the frame's fused features from an earlier step, which are then not computed again.
        """
        w0, w1 = self.config.widths[:2]
        c0 = x
        for layer in self.stem:
            c0 = layer(c0, grid, 0)
        if self.stem_edges is not None:
            c0 = self.stem_edges(c0, grid, 0)
        input0 = self.input0(c0, previous.input0 if previous else grid.zeros(x, 0, w0), grid, 0)
        c1 = grid.max_pool(input0, 0, 3)
        if previous:
            c1 = self._interact(c1, previous.pyramid, grid)
        input1 = self.input1(c1, previous.input1 if previous else grid.zeros(x, 1, w1), grid, 1)
        pyramid = known or self._fuse(self.backbone(x, c0 + input0, grid), input1, previous, grid)

        mask_logits = self.mask_layer(pyramid.p0, grid, 0)
        p0 = pyramid.p0 if self.fused_edges is None else self.fused_edges(pyramid.p0, grid, 0)
        fused = self.fused(p0, previous.fused if previous else grid.zeros(x, 0, w0), grid, 0)
        pair = None
        if previous:
            pair = torch.cat([previous.fused + previous.input0, fused + input0], dim=1)
        return Step(
            state=State(grid, input0, input1, fused, pyramid, torch.sigmoid(mask_logits)),
            features=fused + self.project(p0, grid, 0),
            mask_logits=mask_logits,
            pair=pair,
        )

    def displacement(self, pair: Tensor, grid: Grid) -> Tensor:
        """The ``dis`` head's output for ``Step.pair``: where each object was in the last frame, in pixels."""
        return self.head("dis")(self.pair(pair, grid, 0), grid)

    def fold(self) -> SpaxNetwork:
        """Put every normalisation that follows a convolution into it, in place, for inference."""
        for module in self.modules():
            if isinstance(module, (ConvNorm, Deconv)):
                module.fold()
        return self.eval()

    def _interact(self, c1: Tensor, earlier: Pyramid, grid: Grid) -> Tensor:
        if isinstance(self.asymmetric, AttentionFusion):
            return self.asymmetric(c1, earlier.p0, grid, 1)
        return c1 + self.asymmetric(earlier.p1, grid, 1)

    def _fuse(self, levels: Sequence[Tensor], input1: Tensor, previous: State | None, grid: Grid) -> Pyramid:
        lateral = list(levels)
        if self.aggregation is not None:
            lateral[1] = lateral[1] + input1
            lateral = self.aggregation(lateral, grid)
        if self.propagate is not None:
            lateral[1] = self._propagate(0, lateral[1], previous, grid)
            lateral[2] = self._propagate(1, lateral[2], previous, grid)
        top = self.config.decode_from
        fused = {top: lateral[top]}
        for level in range(top - 1, -1, -1):
            merged = self.up[level](fused[level + 1], grid, level + 1) + lateral[level]
            fused[level] = self.smooth[level](merged, grid, level)
            if level == 1 and self.inject is not None:
                fused[level] = self.inject(fused[level] + input1, grid, 1)
        return Pyramid(fused[0], fused[1], fused[2])

    def _propagate(self, index: int, x: Tensor, previous: State | None, grid: Grid) -> Tensor:
        assert self.propagate is not None
        if previous is None:
            earlier, mask = torch.zeros_like(x), grid.zeros(x, 0, 1)
        else:
            earlier, mask = (previous.pyramid.p1, previous.pyramid.p2)[index], previous.mask
        return self.propagate[index](earlier, x, mask, grid, index + 1)


class Head(nn.Module):
    """3x3 convolutions with ReLU, then one value per output and pixel."""

    def __init__(self, inputs: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(Conv(inputs if i == 0 else width, width) for i in range(depth))
        self.out = Conv(width, outputs, 1)
        nn.init.normal_(self.out.weight, std=0.001)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """``outputs`` channels at level 0."""
        for conv in self.hidden:
            x = F.relu(conv(x, grid, 0))
        return self.out(x, grid, 0)

    def at(self, rows: Tensor, x: Tensor, grid: Grid) -> Tensor:
        """``(n, outputs)`` for some pixels only, by number."""
        *others, last = self.hidden
        assert isinstance(last, Conv)
        for conv in others:
            x = F.relu(conv(x, grid, 0))
        return F.linear(
            F.relu(grid.conv_at(rows, x, last.weight, last.bias)), self.out.weight[:, :, 0, 0], self.out.bias
        )
