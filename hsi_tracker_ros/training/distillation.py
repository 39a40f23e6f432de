"""Loss of a network against the responses and boxes of a teacher, which may have another response grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hsi_tracker_ros.hanet.rgb_branch import ResponseGrid

_MAX_CERTAINTY = 8.0  # logits; beyond, a teacher's certainty teaches no more
_RESPONDING = 0.1  # teacher's probability from which a point counts as part of an object
_BOX_RESPONDING = 0.3  # teacher's probability from which its box at a point is learned
_MIN_DISTANCE_PX = 1.0  # shorter distances count as this where logarithms are compared


def interpolate_responses(
    logits: Tensor, distances: Tensor, source: ResponseGrid, grid: ResponseGrid
) -> tuple[Tensor, Tensor]:
    """Interpolate the outputs of a network to another grid.

    Args:
        logits: logits of background and target, (batch, 2, source size, source size).
        distances: left, top, right, bottom distances of each point in search pixels, (batch, 4, source size,
            source size).
        source: grid of these outputs.
        grid: grid to interpolate to.

    Returns:
        Logits of target minus background (batch, size, size), and distances from the points of `grid` to the
        same boxes (batch, 4, size, size). Both are constant beyond the source's grid.
    """
    matrix = grid.compute_interpolation(source)
    x, y = _list_points(source)
    left, top, right, bottom = distances.unbind(1)
    edges = torch.stack([x - left, y - top, x + right, y + bottom], dim=1)
    left, top, right, bottom = (matrix @ edges @ matrix.T).unbind(1)
    x, y = _list_points(grid)
    boxes = torch.stack([x - left, y - top, right - x, bottom - y], dim=1)
    return matrix @ (logits[:, 1] - logits[:, 0]) @ matrix.T, boxes


def _list_points(grid: ResponseGrid) -> tuple[Tensor, Tensor]:
    """Return x and y of the points of a grid from its center, (size, size) each."""
    offsets = grid.compute_offsets()
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    return x, y


def compute_teacher_loss(
    logits: Tensor, distances: Tensor, certainty: Tensor, wanted: Tensor, search_size: int
) -> Tensor:
    """Return the loss of responses and boxes against a teacher's.

    Responses are compared by the cross-entropy of the target's probability; points that respond and points
    that do not have half of the weight each. Boxes are compared by the logarithm of their distances, where
    the teacher responds.

    Args:
        logits: logits of background and target, (batch, 2, size, size).
        distances: distances to the sides of the box in search pixels, (batch, 4, size, size).
        certainty: logits of target minus background of the teacher, (batch, size, size).
        wanted: distances of the teacher, (batch, 4, size, size).
        search_size: side of the search crop in pixels, the longest distance that is compared.
    """
    probability = torch.sigmoid(certainty.clamp(-_MAX_CERTAINTY, _MAX_CERTAINTY))
    errors = functional.binary_cross_entropy_with_logits(
        logits[:, 1] - logits[:, 0], probability, reduction="none"
    )
    is_responding = probability > _RESPONDING
    parts = [errors[mask].mean() for mask in (is_responding, ~is_responding) if mask.any()]
    loss = torch.stack(parts).mean()
    has_box = probability > _BOX_RESPONDING
    if not has_box.any():
        return loss
    ratios = distances.clamp(min=_MIN_DISTANCE_PX) / wanted.clamp(_MIN_DISTANCE_PX, search_size)
    return loss + ratios.log().abs().mean(dim=1)[has_box].mean()
