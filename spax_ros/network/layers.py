"""Layers of SPAX. Each takes features with their grid and level."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spax_ros.network.grid import Grid, view_as_rows


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization of images or of rows of pixels."""

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept any number of axes."""

    def compute_scale_and_offset(self) -> tuple[Tensor, Tensor]:
        """Return scale and offset ``(C,)`` of the normalization after training."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale


class Conv(nn.Module):
    """Centered convolution with weight ``(out, in / groups, k, k)``; groups are 1 or all channels."""

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
        """Return features at `level` with stride 1, one level coarser with stride 2."""
        return grid.conv(x, self.weight, self.bias, level, self.stride)

    def apply_to_vectors(self, x: Tensor) -> Tensor:
        """Apply a 1x1 kernel to vectors along axis 1 that belong to no pixel."""
        return F.linear(x.movedim(1, -1), self.weight[:, :, 0, 0], self.bias).movedim(-1, 1)


class ConvNorm(nn.Module):
    """Convolution and batch normalization, with or without ReLU."""

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
        """Return features at `level` with stride 1, one level coarser with stride 2."""
        x = self.norm(self.conv(x, grid, level))
        return F.relu(x) if self.relu else x

    def fold(self) -> None:
        """Fold the normalization into the convolution, for inference."""
        if not isinstance(self.norm, BatchNorm):
            return
        scale, offset = self.norm.compute_scale_and_offset()
        bias = 0 if self.conv.bias is None else self.conv.bias * scale
        self.conv.bias = nn.Parameter(offset + bias)
        self.conv.weight = nn.Parameter(self.conv.weight * scale[:, None, None, None])
        self.norm = nn.Identity()


class Deconv(nn.Module):
    """Convolution and 4x4 transposed convolution of stride 2, each with normalization and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, outputs, bias=True)
        self.weight = nn.Parameter(torch.empty(outputs, outputs, 4, 4))
        self.bias: nn.Parameter | None = None
        self.norm: nn.Module = BatchNorm(outputs)
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """Return features at ``level - 1``."""
        finer = grid.conv_transpose(self.conv(x, grid, level), self.weight, self.bias, level)
        return F.relu(self.norm(finer))

    def fold(self) -> None:
        """Fold the normalization into the transposed convolution, for inference."""
        if isinstance(self.norm, BatchNorm):
            scale, offset = self.norm.compute_scale_and_offset()
            self.weight = nn.Parameter(self.weight * scale[None, :, None, None])
            self.bias = nn.Parameter(offset)
            self.norm = nn.Identity()


class Upsample(nn.Module):
    """Depthwise upsampling by 2, bilinear before training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        bilinear = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.weight = nn.Parameter(torch.outer(bilinear, bilinear).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """Return features at ``level - 1``."""
        return grid.conv_transpose(x, self.weight, None, level)


class GatedUnit(nn.Module):
    """Convolutional GRU cell of SPAX, with separate gates for the previous and the new state.

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
        """Return the new state ``h'``."""
        r, z1, z2 = self._compute_gates(torch.cat([x, state], dim=1), grid, level).chunk(3, dim=1)
        gated = r * self.conv_h2(state, grid, level)
        return z1 * torch.tanh(self.conv_h1(x, grid, level) + gated) + z2 * state

    def _compute_gates(self, x_and_state: Tensor, grid: Grid, level: int) -> Tensor:
        """Compute all three gates with one convolution."""
        assert self.conv_r.bias is not None
        assert self.conv_z.bias is not None
        weight = torch.cat([self.conv_r.weight, self.conv_z.weight])
        bias = torch.cat([self.conv_r.bias, self.conv_z.bias])
        return torch.sigmoid(grid.conv(x_and_state, weight, bias, level))


class EdgeEnhancer(nn.Module):
    """Edge enhancement: ``x + sigmoid(BN(W (x - mean3x3(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edge = ConvNorm(channels, channels, 1, relu=False)

    def forward(self, x: Tensor, grid: Grid, level: int) -> Tensor:
        """Return features of the same shape."""
        return x + torch.sigmoid(self.edge(x - grid.average_pool(x, level), grid, level))


class AttentionFusion(nn.Module):
    """Asymmetric interaction of SPAX-Base: fuses features with finer ones of the previous frame.

    Spatial, channel and pixel attention weigh the two in each pixel.

    Args:
        channels: channels of the features.
        reduction: factor by which the channel attention reduces the channels.
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
        """Fuse `x` at `level` with `earlier` at ``level - 1``."""
        earlier = self.down(earlier, grid, level - 1)
        total = x + earlier
        stats = torch.cat([total.mean(dim=1, keepdim=True), total.amax(dim=1, keepdim=True)], dim=1)
        pooled = grid.mean(total, level)
        channel = self.excite.apply_to_vectors(F.relu(self.squeeze.apply_to_vectors(pooled)))
        attention = self.pixel(total + (self.spatial(stats, grid, level) + channel), grid, level)
        weight = torch.sigmoid(torch.sigmoid(attention))
        return self.out(total + weight * x + (1 - weight) * earlier, grid, level)


class MaskPropagation(nn.Module):
    """Cross attention to the previous frame's features, in windows that contained an object (MP2Net).

    Args:
        channels: channels of the features.
        window: side of a window in pixels.
        heads: heads of the attention.
        threshold: value that the previous frame's mask must reach in a window for its attention.
    """

    def __init__(self, channels: int, window: int = 8, heads: int = 4, threshold: float = 0.2) -> None:
        super().__init__()
        self.window = window
        self.heads = heads
        self.threshold = threshold
        self.q = nn.Linear(channels, channels, bias=False)
        self.kv = nn.Linear(channels, 2 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)
        self.norm = BatchNorm(channels)
        for linear in (self.q, self.kv, self.proj):
            nn.init.normal_(linear.weight, std=0.001)
        nn.init.zeros_(self.proj.bias)

    def forward(self, earlier: Tensor, x: Tensor, mask: Tensor, grid: Grid, level: int) -> Tensor:
        """Enhance `x` by the previous frame's features, at this frame's pixels.

        Args:
            earlier: features of the previous frame.
            x: features of this frame.
            mask: mask of the previous frame at level 0, 0 to 1.
            grid: pixels of this frame.
            level: level of the features.
        """
        size = self.window
        weight = grid.to_windows(grid.downsample(mask, level), level, size)
        is_attended = weight.amax(dim=(1, 2)) >= self.threshold
        # As published, the first window is attended if no other is.
        is_attended = torch.cat([is_attended[:1] | ~is_attended.any(dim=0, keepdim=True), is_attended[1:]])
        earlier_windows = grid.to_windows(earlier, level, size) * weight
        pixels, channels = size * size, x.shape[1]
        attended = grid.apply_where(
            is_attended,
            self._attend,
            grid.to_windows(x, level, size),
            earlier_windows,
            operations=pixels * channels * (4 * channels + 2 * pixels),
        )
        return self.norm(grid.from_windows(attended, level, size) + x)

    def _attend(self, x: Tensor, earlier: Tensor) -> Tensor:
        """Return the attention of the windows `x` to the windows `earlier`, ``(windows, C, pixels)`` each."""
        _, channels, pixels = x.shape
        x, earlier = (view_as_rows(windows.transpose(1, 2), channels) for windows in (x, earlier))
        keys_values = self.kv(earlier).chunk(2, dim=-1)
        q, k, v = (self._split_heads(vectors, pixels) for vectors in (self.q(x), *keys_values))
        attention = (torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5).softmax(dim=-1)
        heads = view_as_rows(torch.bmm(attention, v), self.heads, pixels, v.shape[-1])
        projected = self.proj(view_as_rows(heads.transpose(1, 2), channels))
        return view_as_rows(projected, pixels, channels).transpose(1, 2)

    def _split_heads(self, vectors: Tensor, pixels: int) -> Tensor:
        """Return the vectors by head, ``(windows * heads, pixels, channels of a head)``."""
        width = vectors.shape[1] // self.heads
        return view_as_rows(view_as_rows(vectors, pixels, self.heads, width).transpose(1, 2), pixels, width)
