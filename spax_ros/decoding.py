"""From heat maps to boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.grid import PackedGrid
from spax_ros.sparse.operations import TableGrid
from tracking_runtime.boxes import Boxes

MOST_PEAKS = 450
"""Of a frame (SPAX: K = 450)."""


@dataclass(frozen=True)
class Detections:
    """The objects of one frame, without identity, best first.

    Attributes:
        boxes: ``(n, 4)`` x, y, width, height in pixels.
        scores: ``(n,)`` 0..1.
        class_ids: ``(n,)``.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    class_ids: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.scores)


def no_detections() -> Detections:
    """What is seen in a frame where nothing moves."""
    return Detections(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.uint8))


@dataclass(frozen=True)
class Peaks:
    """Where a heat map is the largest of its 3x3 active pixels, best first.

    Attributes:
        scores: ``(k,)`` 0..1; 0 where there are fewer peaks.
        classes: ``(k,)`` the likeliest class there.
        rows: ``(k,)`` of the features.
        sizes: ``(k, 2)`` width and height in pixels.
        offsets: ``(k, 2)`` x, y of the object's centre from the pixel's corner.
    """

    scores: Tensor
    classes: Tensor
    rows: Tensor
    sizes: Tensor
    offsets: Tensor

    def best(self, most: int) -> Peaks:
        """No more than so many."""
        return Peaks(
            *(values[:most] for values in (self.scores, self.classes, self.rows, self.sizes, self.offsets))
        )


def best_peaks(network: SpaxNetwork, features: Tensor, grid: TableGrid, active: Tensor, most: int) -> Peaks:
    """The best peaks of a frame, a constant number of them. Size and offset are computed there alone.

    Args:
        network: what made the features.
        features: ``(rows, C)`` as of ``Step.features``.
        grid: their pixels.
        active: ``(rows,)`` 1 for active pixels, 0 for the others.
        most: peaks kept; fewer if there are fewer rows.
    """
    logits, classes = network.head("hm")(features, grid).max(dim=1)
    scores = torch.sigmoid(logits) * active
    scores = scores * (scores >= grid.largest_around(scores)).to(scores.dtype)
    best, rows = torch.topk(scores, min(most, grid.rows(0)))
    sizes, offsets = (network.head(name).at(rows, features, grid) for name in ("wh", "reg"))
    return Peaks(best, classes.index_select(0, rows), rows, sizes, offsets)


def peaks_to_detections(peaks: Peaks, grid: PackedGrid, least_score: float) -> Detections:
    """The boxes of the peaks of an image that score high enough."""
    scores = peaks.scores.numpy()
    good = np.flatnonzero(scores >= max(least_score, np.finfo(np.float32).tiny))
    rows, columns = grid.levels[0].position(peaks.rows.numpy()[good])
    sizes = np.maximum(peaks.sizes.numpy()[good].astype(np.float64), 1.0)
    centres = np.stack([columns, rows], axis=1) + peaks.offsets.numpy()[good]
    return Detections(
        boxes=np.concatenate([centres - sizes / 2, sizes], axis=1),
        scores=scores[good].astype(np.float32),
        class_ids=peaks.classes.numpy()[good].astype(np.uint8),
    )
