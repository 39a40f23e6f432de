"""A first convolution that fits any camera, and what a cube is before it.

A camera's bands enter by their centre wavelengths: smooth radial functions over 400-1000 nm resample each
spectrum, and the convolution's kernels belong to these functions, not to bands. Both are linear, so for one
camera they are one plain convolution (``bake``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SHORTEST_NM, LONGEST_NM, SPACING_NM = 400.0, 1000.0, 20.0
DARKEST = 0.05


def spectral_basis(wavelengths_nm: Tensor) -> Tensor:
    """How a camera's bands make up each radial function: ``(..., functions, bands)`` of ``(..., bands)``.

    Each function is the weighted mean of the bands around its centre, and fades to zero where the camera has
    none. Bands of wavelength 0 are padding and have no weight.
    """
    count = round((LONGEST_NM - SHORTEST_NM) / SPACING_NM) + 1
    centres = torch.linspace(SHORTEST_NM, LONGEST_NM, count, device=wavelengths_nm.device)
    distance = (wavelengths_nm[..., None, :] - centres[:, None]) / SPACING_NM
    weight = torch.exp(-0.5 * distance**2)
    return weight / (weight.sum(dim=-1, keepdim=True) + 0.1)


def log_reflectance(cube: Tensor) -> Tensor:
    """Bands relative to their mean over the frame, as logarithms: light and shade become additive."""
    return torch.log(cube.clamp(0.0, 20.0) + DARKEST)


class ConditionedStem(nn.Module):
    """The first convolution, for bands that each call describes."""

    def __init__(self, out_channels: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__()
        functions = round((LONGEST_NM - SHORTEST_NM) / SPACING_NM) + 1
        self.convolution = nn.Conv2d(functions, out_channels, kernel_size, stride, padding, bias=False)

    def forward(self, cube: Tensor, wavelengths_nm: Tensor) -> Tensor:
        """Features of cubes ``(batch, bands, height, width)`` whose bands lie at ``(batch, bands)`` nm."""
        return self.convolution(torch.einsum("brn,bnhw->brhw", spectral_basis(wavelengths_nm), cube))

    def baked_weight(self, wavelengths_nm: Sequence[float]) -> Tensor:
        """The weight of the plain convolution over these bands that does the same."""
        basis = spectral_basis(torch.tensor(wavelengths_nm, dtype=torch.float32))
        return torch.einsum("orhw,rn->onhw", self.convolution.weight.detach(), basis)
