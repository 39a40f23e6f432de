"""Labels, point sampling and losses of SiamBAN (Chen et al., 2020, sections 3.3 and 3.4).

Boxes are given by their sides, (left, top, right, bottom) in pixels of the search crop.
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
"""Labels of a point of the response map."""

_BRANCH_WEIGHT = 0.5  # weight of each branch's classification loss; the fused response has 1
_POSITIVE_RADIUS = 1 / 4  # radii of SiamBAN's ellipses, in fractions of the box's width and height
_NEGATIVE_RADIUS = 1 / 2


@dataclass(frozen=True)
class SamplingSettings:
    """Numbers of points of a pair that contribute to the loss.

    Attributes:
        positives: maximum number of positive points.
        negatives: maximum number of negative points.
        negatives_unpaired: maximum number of negative points if the template shows another object.
        hard_share: fraction of the negative points that are those with the highest error; the others are
            drawn at random. 0 draws all at random, as SiamBAN does.
        unpaired_outside: label of the points outside the object if the template shows another object.
            `NEGATIVE` teaches the network that a target can be absent, so that its score drops when the
            target is lost.
    """

    positives: int = 16
    negatives: int = 48
    negatives_unpaired: int = 16
    hard_share: float = 0.0
    unpaired_outside: int = IGNORED


@lru_cache(maxsize=4)
def compute_response_points(search_size: int, grid: ResponseGrid = SIAMBAN_GRID) -> Tensor:
    """Return x and y of each response of a grid in pixels of the search crop, (2, size, size)."""
    offsets = grid.compute_offsets() + search_size / 2
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    return torch.stack([x, y])


def label_points(
    boxes: Tensor,
    is_paired: Tensor,
    search_size: int,
    unpaired_outside: int = IGNORED,
    grid: ResponseGrid = SIAMBAN_GRID,
) -> Tensor:
    """Label each point of the response map.

    A point is positive inside the ellipse with a quarter of the box's width and height as radii. A point is
    negative outside the ellipse with half of them. Points in between are ignored. If the template shows
    another object, the points inside the small ellipse are negative and all others are `unpaired_outside`.

    Args:
        boxes: box of the object in each search crop, (batch, 4).
        is_paired: True if template and search crop show the same object, (batch,) bool.
        search_size: side of the search crop in pixels.
        unpaired_outside: `IGNORED` as in SiamBAN, or `NEGATIVE`.
        grid: positions of the responses.

    Returns:
        Labels `IGNORED`, `NEGATIVE` or `POSITIVE`, (batch, size, size) int64.
    """
    x, y = compute_response_points(search_size, grid)
    left, top, right, bottom = _split_sides(boxes)
    dx = (x - (left + right) / 2) / (right - left)
    dy = (y - (top + bottom) / 2) / (bottom - top)
    squared_radius = dx**2 + dy**2
    paired_labels = torch.full(squared_radius.shape, IGNORED)
    paired_labels[squared_radius > _NEGATIVE_RADIUS**2] = NEGATIVE
    paired_labels[squared_radius < _POSITIVE_RADIUS**2] = POSITIVE
    unpaired_labels = torch.where(paired_labels == POSITIVE, NEGATIVE, unpaired_outside)
    return torch.where(is_paired[:, None, None], paired_labels, unpaired_labels)


def sample_points(
    labels: Tensor, errors: Tensor, settings: SamplingSettings, generator: torch.Generator
) -> Tensor:
    """Draw the points that contribute to the loss. Return the labels, `IGNORED` for all other points.

    Args:
        labels: labels by `label_points`, (batch, size, size).
        errors: error of the network at each point if it were negative, of the same shape.
        settings: numbers of points.
        generator: random number generator.
    """
    flat_labels = labels.flatten(1)
    flat_errors = errors.detach().flatten(1)
    ranks = torch.rand(flat_labels.shape, generator=generator)
    sampled = torch.full_like(flat_labels, IGNORED)
    for item, item_labels in enumerate(flat_labels):
        positives = (item_labels == POSITIVE).nonzero()[:, 0]
        negatives = (item_labels == NEGATIVE).nonzero()[:, 0]
        sampled[item, _take_lowest(positives, ranks[item], settings.positives)] = POSITIVE

        num_negatives = settings.negatives if len(positives) else settings.negatives_unpaired
        num_hard = int(num_negatives * settings.hard_share)
        hard = negatives[flat_errors[item, negatives].argsort(descending=True)[:num_hard]]
        sampled[item, hard] = NEGATIVE
        ranks[item, hard] = torch.inf  # drawn already
        sampled[item, _take_lowest(negatives, ranks[item], num_negatives - len(hard))] = NEGATIVE
    return sampled.view_as(labels)


def _take_lowest(points: Tensor, ranks: Tensor, count: int) -> Tensor:
    return points[ranks[points].argsort()[:count]]


def compute_classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return half the mean cross-entropy of the positive points plus half that of the negative points.

    Args:
        logits: logits of background and target, (batch, 2, size, size).
        labels: POSITIVE, NEGATIVE or ignored (below 0), (batch, size, size).

    Returns:
        loss without axes.
    """
    loss = functional.cross_entropy(logits, labels.clamp(min=0), reduction="none")
    class_means = [loss[labels == label].mean() for label in (POSITIVE, NEGATIVE) if (labels == label).any()]
    return torch.stack(class_means).sum() / 2


def compute_box_loss(
    distances: Tensor, boxes: Tensor, labels: Tensor, search_size: int, grid: ResponseGrid = SIAMBAN_GRID
) -> Tensor:
    """Return the mean IoU loss of the positive points, 1 - (intersection + 1) / (union + 1).

    Args:
        distances: predicted distances from each point to the sides of the box, (batch, 4, size, size).
        boxes: true boxes, (batch, 4).
        labels: labels of the points, (batch, size, size).
        search_size: side of the search crop in pixels.
        grid: positions of the responses.
    """
    x, y = compute_response_points(search_size, grid)
    left, top, right, bottom = _split_sides(boxes)
    true_distances = torch.stack([x - left, y - top, right - x, bottom - y], 1)
    is_positive = labels == POSITIVE
    if not is_positive.any():
        return distances.sum() * 0
    true = true_distances.transpose(0, 1)[:, is_positive]
    predicted = distances.transpose(0, 1)[:, is_positive]
    overlap = torch.minimum(true, predicted)
    intersection = (overlap[0] + overlap[2]) * (overlap[1] + overlap[3])
    areas = [(sides[0] + sides[2]) * (sides[1] + sides[3]) for sides in (true, predicted)]
    union = sum(areas) - intersection
    return (1 - (intersection + 1) / (union + 1)).mean()


def _split_sides(boxes: Tensor) -> tuple[Tensor, ...]:
    """Return left, top, right and bottom of boxes (batch, 4), each (batch, 1, 1)."""
    return tuple(side[:, None, None] for side in boxes.unbind(1))


def compute_loss(
    responses: Responses,
    boxes: Tensor,
    is_paired: Tensor,
    search_size: int,
    settings: SamplingSettings,
    generator: torch.Generator,
    grid: ResponseGrid = SIAMBAN_GRID,
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a batch, and its parts: `fused`, `rgb`, `hsi`, `box`.

    The tracker uses the fused response, which therefore has the highest weight. Each branch has a loss of its
    own, so that it learns without the other branch and can be used alone.

    Args:
        responses: responses of the network to the batch.
        boxes: box of the object in each search crop, (batch, 4).
        is_paired: True if template and search crop show the same object, (batch,) bool.
        search_size: side of the search crop in pixels.
        settings: numbers of points.
        generator: random number generator.
        grid: positions of the responses.
    """
    labels = label_points(boxes, is_paired, search_size, settings.unpaired_outside, grid)
    logits_by_name = {"fused": responses.fused, "rgb": responses.rgb, "hsi": responses.hsi}
    losses = {}
    for name, logits in logits_by_name.items():
        sampled = sample_points(labels, logits[:, 1] - logits[:, 0], settings, generator)
        losses[name] = compute_classification_loss(logits, sampled)
    sampled = sample_points(labels, responses.fused[:, 1], settings, generator)
    losses["box"] = compute_box_loss(responses.loc, boxes, sampled, search_size, grid)
    loss = losses["fused"] + _BRANCH_WEIGHT * losses["rgb"] + _BRANCH_WEIGHT * losses["hsi"] + losses["box"]
    return loss, {name: float(value.detach()) for name, value in losses.items()}
