"""Losses of SPAX: focal loss of CornerNet on heat maps, L1 on sizes, offsets and displacements."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch.nn.functional as F
from torch import Tensor

_MIN_OBJECTS = 1e-4  # added to the number of values, which may be 0


@dataclass(frozen=True)
class Losses:
    """Parts of the loss, before they are weighted. The field names are keys of the history.

    Attributes:
        heat: focal loss of the heat maps of the classes.
        size: L1 loss of width and height.
        offset: L1 loss of the center's offset from its pixel.
        displacement: L1 loss of the displacement since the previous frame.
        mask: focal loss of the heat map of all classes together.
    """

    heat: Tensor
    size: Tensor
    offset: Tensor
    displacement: Tensor
    mask: Tensor

    def sum_weighted(self, size_weight: float) -> Tensor:
        """Return the sum of the parts.

        Args:
            size_weight: weight of the size loss; the other parts have weight 1.
        """
        return self.heat + size_weight * self.size + self.offset + self.displacement + self.mask


LOSS_NAMES = tuple(field.name for field in fields(Losses))
"""Names of the parts of the loss, in the order of the fields of `Losses`."""


def compute_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return CornerNet's focal loss (alpha 2, beta 4), divided by the number of peaks.

    Args:
        logits: predicted logits of a heat map.
        target: true heat map of the same shape, 0 to 1; 1 at the peaks.
    """
    is_peak = target.eq(1)
    log_positive = F.logsigmoid(logits)
    log_negative = F.logsigmoid(-logits)
    positive = log_positive.exp()
    peak_terms = (log_positive * (1 - positive) ** 2)[is_peak].sum()
    background_terms = (log_negative * positive**2 * (1 - target) ** 4)[~is_peak].sum()
    return -(peak_terms + background_terms) / is_peak.sum().clamp(min=1)


def compute_l1_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error of the values whose target is not NaN; 0 without such values."""
    is_known = target.isfinite()
    return (predicted - target)[is_known].abs().sum() / (is_known.sum() + _MIN_OBJECTS)
