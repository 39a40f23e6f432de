"""The pieces that SPAX is built of; each takes its features' grid and level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spax_ros.network.grid import Grid, as_rows


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over images or over packed pixels alike."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes will do."""

    def as_scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """``(C,)`` each: what it does to every value after training."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale


class Conv(nn.Module):
    """Centred convolution with weight ``(out, in / groups, k, k)``; groups are 1 or all channels."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        bias: bool = True,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """Features at ``level``, or one coarser with stride 2."""
        return grid.conv(x, self.weight, self.bias, level, self.stride)

    def of_vectors(self, x: Tensor) -> Tensor:
        """What a kernel of 1x1 makes of vectors along axis 1 that belong to no pixel."""
        return F.linear(x.movedim(1, -1), self.weight[:, :, 0, 0], self.bias).movedim(-1, 1)


class ConvNorm(nn.Module):
    """Convolution and batch normalisation, with or without ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        bias: bool = False,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, stride=stride, bias=bias)
        self.norm: nn.Module = BatchNorm(outputs)
        self.relu = relu

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """As of ``Conv``."""
        x = self.norm(self.conv(x, grid, level))
        return F.relu(x) if self.relu else x

    def fold(self) -> None:
        """Put the normalisation into the convolution, for inference."""
        if not isinstance(self.norm, BatchNorm):
            return
        scale, offset = self.norm.as_scale_and_offset()
        bias = 0 if self.conv.bias is None else self.conv.bias * scale
        self.conv.bias = nn.Parameter(offset + bias)
        self.conv.weight = nn.Parameter(self.conv.weight * scale[:, None, None, None])
        self.norm = nn.Identity()


class Deconv(nn.Module):
    """Convolution, then twice as fine by a 4x4 transposed convolution, each with normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, outputs, bias=True)
        self.weight = nn.Parameter(torch.empty(outputs, outputs, 4, 4))
        self.bias: nn.Parameter | None = None
        self.norm: nn.Module = BatchNorm(outputs)
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """Features at ``level - 1``."""
        finer = grid.conv_transpose(self.conv(x, grid, level), self.weight, self.bias, level)
        return F.relu(self.norm(finer))

    def fold(self) -> None:
        """Put the normalisation into the transposed convolution, for inference."""
        if isinstance(self.norm, BatchNorm):
            scale, offset = self.norm.as_scale_and_offset()
            self.weight = nn.Parameter(self.weight * scale[None, :, None, None])
            self.bias = nn.Parameter(offset)
            self.norm = nn.Identity()


class Upsample(nn.Module):
    """Channel by channel twice as fine, bilinear before training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.weight = nn.Parameter(torch.outer(line, line).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """Features at ``level - 1``."""
        return grid.conv_transpose(x, self.weight, None, level)


class GatedUnit(nn.Module):
    """SPAX's convolutional GRU cell, with separate gates for the old and the new state.

    ``r = s(W_r [x, h])``, ``z1, z2 = s(W_z [x, h])``, ``h~ = tanh(W_h1 x + r * W_h2 h)``,
    ``h' = z1 * h~ + z2 * h``.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.conv_r = Conv(inputs + hidden, hidden)
        self.conv_z = Conv(inputs + hidden, 2 * hidden)
        self.conv_h1 = Conv(inputs, hidden)
        self.conv_h2 = Conv(hidden, hidden)
        for conv, gain in (
            (self.conv_r, 1.0),
            (self.conv_z, 1.0),
            (self.conv_h1, 5 / 3),
            (self.conv_h2, 5 / 3),
        ):
            nn.init.xavier_uniform_(conv.weight, gain=gain)

    def forward(self, x: Tensor, state: Tensor, grid: Grid, level: int) -> Tensor:
        """The new state ``h'``."""
        r, z1, z2 = self._gates(torch.cat([x, state], dim=1), grid, level).chunk(3, dim=1)
        remembered = r * self.conv_h2(state, grid, level)
        return z1 * torch.tanh(self.conv_h1(x, grid, level) + remembered) + z2 * state

    def _gates(self, both: Tensor, grid: Grid, level: int) -> Tensor:
        """All three at once: the same features seen by the same kernel size."""
        assert self.conv_r.bias is not None
        assert self.conv_z.bias is not None
        weight = torch.cat([self.conv_r.weight, self.conv_z.weight])
        bias = torch.cat([self.conv_r.bias, self.conv_z.bias])
        return torch.sigmoid(grid.conv(both, weight, bias, level))


class EdgeEnhancer(nn.Module):
    """``x + sigmoid(BN(W (x - mean3x3(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edge = ConvNorm(channels, channels, 1, relu=False)

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """Features of the same shape."""
        return x + torch.sigmoid(self.edge(x - grid.average_pool(x, level), grid, level))


class AttentionFusion(nn.Module):
    """Asymmetric interaction of SPAX-Base: earlier features of the level above weigh into this level's.

    Spatial, channel and pixel attention decide, pixel by pixel, between the two.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.down = ConvNorm(channels, channels, 5, stride=2, bias=True)
        self.spatial = Conv(2, 1, 5)
        self.squeeze = Conv(channels, channels // reduction, 1)
        self.excite = Conv(channels // reduction, channels, 1)
        self.pixel = Conv(channels, channels, 5, groups=channels)
        self.out = Conv(channels, channels, 1)

    def forward(self, x: Tensor, earlier: Tensor, grid: Grid, level: int) -> Tensor:
        """Fuse ``x`` at ``level`` with ``earlier`` at ``level - 1``."""
        earlier = self.down(earlier, grid, level - 1)
        both = x + earlier
        stats = torch.cat([both.mean(dim=1, keepdim=True), both.amax(dim=1, keepdim=True)], dim=1)
        pooled = grid.mean(both, level)
        channel = self.excite.of_vectors(F.relu(self.squeeze.of_vectors(pooled)))
        attention = self.pixel(both + (self.spatial(stats, grid, level) + channel), grid, level)
        weight = torch.sigmoid(torch.sigmoid(attention))
        return self.out(both + weight * x + (1 - weight) * earlier, grid, level)


class MaskPropagation(nn.Module):
    """Cross attention to the previous frame's features in the windows where it saw something (MP2Net).

    Args:
        channels: of the features.
        window: pixels of a window's side.
        heads: of the attention.
        threshold: a window counts if the previous frame's mask reaches this anywhere in it.
    """

    def __init__(self, channels: int, window: int = 8, heads: int = 4, threshold: float = 0.2) -> None:
        super().__init__()
        self.window, self.heads, self.threshold = window, heads, threshold
        self.q = nn.Linear(channels, channels, bias=False)
        self.kv = nn.Linear(channels, 2 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)
        self.norm = BatchNorm(channels)
        for linear in (self.q, self.kv, self.proj):
            nn.init.normal_(linear.weight, std=0.001)
        nn.init.zeros_(self.proj.bias)

    def forward(self, earlier: Tensor, x: Tensor, mask: Tensor, grid: Grid, level: int) -> Tensor:
        """Enhance ``x`` by the previous frame's features and mask (0..1, level 0) at this frame's pixels."""
        size = self.window
        weight = grid.to_windows(grid.reduce(mask, level), level, size)
        seen = weight.amax(dim=(1, 2)) >= self.threshold
        # As published: with nothing seen anywhere, the first window counts.
        seen = torch.cat([seen[:1] | ~seen.any(dim=0, keepdim=True), seen[1:]])
        before = grid.to_windows(earlier, level, size) * weight
        pixels, channels = size * size, x.shape[1]
        attended = grid.where_seen(
            seen,
            self._attend,
            grid.to_windows(x, level, size),
            before,
            operations=pixels * channels * (4 * channels + 2 * pixels),
        )
        return self.norm(grid.from_windows(attended, level, size) + x)

    def _attend(self, now: Tensor, earlier: Tensor) -> Tensor:
        _, channels, pixels = now.shape
        now, earlier = (as_rows(x.transpose(1, 2), channels) for x in (now, earlier))
        keys_values = self.kv(earlier).chunk(2, dim=-1)
        q, k, v = (self._by_head(x, pixels) for x in (self.q(now), *keys_values))
        attention = (torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5).softmax(dim=-1)
        heads = as_rows(torch.bmm(attention, v), self.heads, pixels, v.shape[-1])
        joined = self.proj(as_rows(heads.transpose(1, 2), channels))
        return as_rows(joined, pixels, channels).transpose(1, 2)

    def _by_head(self, x: Tensor, pixels: int) -> Tensor:
        """``(windows * heads, pixels, channels of a head)``."""
        width = x.shape[1] // self.heads
        return as_rows(as_rows(x, pixels, self.heads, width).transpose(1, 2), pixels, width)
