"""First convolution for any camera, and the log reflectance of cubes.

Radial functions over 400-1000 nm resample each spectrum by the center wavelengths of the camera's bands. The
kernels of the convolution belong to these functions, not to bands. Both steps are linear, so that they are
one plain convolution for a fixed camera (`bake_weight`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SHORTEST_NM, LONGEST_NM, SPACING_NM = 400.0, 1000.0, 20.0
LOG_OFFSET = 0.05  # added to reflectances before the logarithm


def compute_spectral_basis(wavelengths_nm: Tensor) -> Tensor:
    """Return the weights of a camera's bands in each radial function, `(..., functions, bands)`.

    Each function is the weighted mean of the bands around its center, and fades to zero without bands. Bands
    of wavelength 0 are padding without weight.

    Args:
        wavelengths_nm: centers of the bands in nm, `(..., bands)`.
    """
    count = round((LONGEST_NM - SHORTEST_NM) / SPACING_NM) + 1
    centers = torch.linspace(SHORTEST_NM, LONGEST_NM, count, device=wavelengths_nm.device)
    distance = (wavelengths_nm[..., None, :] - centers[:, None]) / SPACING_NM
    weight = torch.exp(-0.5 * distance**2)
    return weight / (weight.sum(dim=-1, keepdim=True) + 0.1)


def compute_log_reflectance(cube: Tensor) -> Tensor:
    """Return the logarithm of bands relative to their frame's mean, in the same shape.

    A change of the illumination becomes a sum.

    Args:
        cube: bands divided by their mean over the frame, (batch, bands, H, W); clipped to 0..20.
    """
    return torch.log(cube.clamp(0.0, 20.0) + LOG_OFFSET)


class ConditionedStem(nn.Module):
    """First convolution for bands that each call describes."""

    def __init__(self, out_channels: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__()
        functions = round((LONGEST_NM - SHORTEST_NM) / SPACING_NM) + 1
        self.convolution = nn.Conv2d(functions, out_channels, kernel_size, stride, padding, bias=False)

    def forward(self, cube: Tensor, wavelengths_nm: Tensor) -> Tensor:
        """Return the features of cubes `(batch, bands, height, width)` with bands at `(batch, bands)` nm."""
        return self.convolution(torch.einsum("brn,bnhw->brhw", compute_spectral_basis(wavelengths_nm), cube))

    def bake_weight(self, wavelengths_nm: Sequence[float]) -> Tensor:
        """Return the weight of the equivalent plain convolution, (channels, bands, kernel, kernel).

        Args:
            wavelengths_nm: center of each band in nanometers.
        """
        basis = compute_spectral_basis(torch.tensor(wavelengths_nm, dtype=torch.float32))
        return torch.einsum("orhw,rn->onhw", self.convolution.weight.detach(), basis)
