"""What HA-Net is trained towards: labels and losses of SiamBAN (Chen et al., 2020, sections 3.3 and 3.4).

Boxes here are left, top, right, bottom in pixels of the search crop, as the regression has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from hsi_tracker_ros.hanet.network import Responses
from hsi_tracker_ros.hanet.rgb_branch import SIAMBAN_GRID, ResponseGrid

IGNORED, NEGATIVE, POSITIVE = -1, 0, 1


@lru_cache(maxsize=4)
def response_points(search_size: int, grid: ResponseGrid = SIAMBAN_GRID) -> Tensor:
    """``(2, size, size)`` x and y of each response of a grid in pixels of the search crop."""
    offsets = grid.offsets() + search_size / 2
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    return torch.stack([x, y])


def label_points(
    boxes: Tensor,
    paired: Tensor,
    search_size: int,
    unpaired_outside: int = IGNORED,
    grid: ResponseGrid = SIAMBAN_GRID,
) -> Tensor:
    """What each point of the response map should be called.

    Positive inside the ellipse of a quarter of the box's width and height, negative outside that of a half,
    ignored between. Where the template shows something else, all points inside the small ellipse are negative
    and the rest are called ``unpaired_outside``.

    Args:
        boxes: ``(batch, 4)``.
        paired: ``(batch,)`` bool, False where template and search show different targets.
        search_size: side of the search crop.
        unpaired_outside: ``IGNORED`` as in SiamBAN, or ``NEGATIVE``.
        grid: where the responses lie.

    Returns:
        ``(batch, size, size)`` int64 of ``IGNORED``, ``NEGATIVE``, ``POSITIVE``.
    """
    x, y = response_points(search_size, grid)
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(1))
    dx, dy = (x - (left + right) / 2) / (right - left), (y - (top + bottom) / 2) / (bottom - top)
    radius = dx**2 + dy**2
    labels = torch.full(radius.shape, IGNORED)
    labels[radius > 1 / 4] = NEGATIVE
    labels[radius < 1 / 16] = POSITIVE
    other = torch.where(labels == POSITIVE, NEGATIVE, unpaired_outside)
    return torch.where(paired[:, None, None], labels, other)


@dataclass(frozen=True)
class Sampling:
    """How many points of a pair count.

    Attributes:
        positives: at most.
        negatives: at most.
        negatives_unpaired: at most, where the template shows something else.
        hard_share: of the negatives, those that the network is most wrong about; SiamBAN draws all at random.
        unpaired_outside: what points off the object are where the template shows something else; ``NEGATIVE``
            teaches that a target can be absent, so that the score tells when it is lost.
    """

    positives: int = 16
    negatives: int = 48
    negatives_unpaired: int = 16
    hard_share: float = 0.0
    unpaired_outside: int = IGNORED


def sample_points(
    labels: Tensor, wrongness: Tensor, sampling: Sampling, generator: torch.Generator
) -> Tensor:
    """Labels with all but the sampled points ignored.

    Args:
        labels: ``(batch, size, size)`` of ``label_points``.
        wrongness: of the same shape, larger where the network is more wrong.
        sampling: how many.
        generator: of the draw.
    """
    flat, wrong = labels.flatten(1), wrongness.detach().flatten(1)
    chance = torch.rand(flat.shape, generator=generator)
    kept = torch.full_like(flat, IGNORED)
    for row, (label, target) in enumerate(zip(flat, kept, strict=True)):
        positives = (label == POSITIVE).nonzero()[:, 0]
        negatives = (label == NEGATIVE).nonzero()[:, 0]
        target[positives[chance[row, positives].argsort()[: sampling.positives]]] = POSITIVE
        count = sampling.negatives if len(positives) else sampling.negatives_unpaired
        hard = negatives[wrong[row, negatives].argsort(descending=True)[: int(count * sampling.hard_share)]]
        chance[row, hard] = torch.inf
        target[hard] = NEGATIVE
        drawn = negatives[chance[row, negatives].argsort()[: count - len(hard)]]
        target[drawn] = NEGATIVE
    return kept.view_as(labels)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Half the mean negative log-likelihood of the positive points, half that of the negative ones."""
    loss = functional.cross_entropy(logits, labels.clamp(min=0), reduction="none")
    halves = [loss[labels == value].mean() for value in (POSITIVE, NEGATIVE) if (labels == value).any()]
    return torch.stack(halves).sum() / 2


def regression_loss(
    distances: Tensor, boxes: Tensor, labels: Tensor, search_size: int, grid: ResponseGrid = SIAMBAN_GRID
) -> Tensor:
    """One minus the overlap of the boxes seen from the positive points: 1 - (I + 1) / (U + 1)."""
    x, y = response_points(search_size, grid)
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(1))
    target = torch.stack([x - left, y - top, right - x, bottom - y], 1)
    chosen = (labels == POSITIVE)[:, None].expand_as(target)
    if not chosen.any():
        return distances.sum() * 0
    wanted, given = target.transpose(0, 1)[:, chosen[:, 0]], distances.transpose(0, 1)[:, chosen[:, 0]]
    sides = torch.minimum(wanted, given)
    intersection = (sides[0] + sides[2]) * (sides[1] + sides[3])
    union = sum((box[0] + box[2]) * (box[1] + box[3]) for box in (wanted, given)) - intersection
    return (1 - (intersection + 1) / (union + 1)).mean()


def total_loss(
    responses: Responses,
    boxes: Tensor,
    paired: Tensor,
    search_size: int,
    sampling: Sampling,
    generator: torch.Generator,
    grid: ResponseGrid = SIAMBAN_GRID,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch and its parts.

    The fused response is what the tracker uses, so it leads; each branch also learns on its own, so that
    neither leans on the other and either can be used alone.
    """
    labels = label_points(boxes, paired, search_size, sampling.unpaired_outside, grid)
    maps = {"fused": responses.fused, "rgb": responses.rgb, "hsi": responses.hsi}
    losses = {}
    for name, logits in maps.items():
        sampled = sample_points(labels, logits[:, 1] - logits[:, 0], sampling, generator)
        losses[name] = classification_loss(logits, sampled)
    positives = sample_points(labels, responses.fused[:, 1], sampling, generator)
    losses["box"] = regression_loss(responses.loc, boxes, positives, search_size, grid)
    loss = losses["fused"] + 0.5 * losses["rgb"] + 0.5 * losses["hsi"] + losses["box"]
    return loss, {name: float(value.detach()) for name, value in losses.items()}
