"""Decoding of heat maps to detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.network.network import SpaxNetwork
from spax_ros.sparse.grid import SparseGrid
from spax_ros.sparse.operations import TableGrid
from tracking_runtime.boxes import Boxes

MAX_PEAKS = 450  # peaks of a frame (SPAX: K = 450)


@dataclass(frozen=True)
class Detections:
    """Detections of one frame, best first.

    Attributes:
        boxes: boxes ``(n, 4)``: x, y, width, height in pixels.
        scores: scores ``(n,)``, 0 to 1.
        class_ids: class ids ``(n,)``.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    class_ids: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.scores)


def make_empty_detections() -> Detections:
    """Return the detections of a frame without objects."""
    return Detections(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.uint8))


@dataclass(frozen=True)
class Peaks:
    """Local maxima of a heat map among 3x3 active pixels, best first.

    Attributes:
        scores: scores ``(k,)``, 0 to 1; 0 for the missing ones if there are fewer than k peaks.
        classes: most probable class ``(k,)``.
        rows: rows ``(k,)`` of the features.
        sizes: width and height ``(k, 2)`` in pixels.
        offsets: x, y ``(k, 2)`` of the object's center from the pixel's corner.
    """

    scores: Tensor
    classes: Tensor
    rows: Tensor
    sizes: Tensor
    offsets: Tensor

    def keep_best(self, max_peaks: int) -> Peaks:
        """Return the best peaks, at most `max_peaks`."""
        fields = (self.scores, self.classes, self.rows, self.sizes, self.offsets)
        return Peaks(*(values[:max_peaks] for values in fields))


def find_peaks(
    network: SpaxNetwork, features: Tensor, grid: TableGrid, active: Tensor, max_peaks: int
) -> Peaks:
    """Find the best peaks of a frame. Their number is constant, for static shapes.

    Size and offset are computed at the peaks only.

    Args:
        network: network that computed the features.
        features: features ``(rows, C)`` of `StepOutput.features`.
        grid: pixels of the frame.
        active: activity of the rows, ``(rows,)``: 1 for active pixels, 0 for all others.
        max_peaks: number of peaks; fewer if there are fewer rows.
    """
    logits = network.head("hm")(features, grid)
    scores = torch.sigmoid(logits.amax(dim=1)) * active
    scores = scores * (scores >= grid.max_pool_3x3(scores)).to(scores.dtype)
    best, rows = torch.topk(scores, min(max_peaks, grid.num_rows(0)))
    sizes, offsets = (network.head(name).compute_at(rows, features, grid) for name in ("wh", "reg"))
    return Peaks(best, logits.index_select(0, rows).argmax(dim=1), rows, sizes, offsets)


def decode_peaks(peaks: Peaks, grid: SparseGrid, min_score: float) -> Detections:
    """Return the detections of an image's peaks that score at least `min_score`."""
    scores = peaks.scores.numpy()
    selected = np.flatnonzero(scores >= max(min_score, np.finfo(np.float32).tiny))
    y, x = grid.levels[0].find_positions(peaks.rows.numpy()[selected])
    sizes = np.maximum(peaks.sizes.numpy()[selected].astype(np.float64), 1.0)
    centers = np.stack([x, y], axis=1) + peaks.offsets.numpy()[selected]
    return Detections(
        boxes=np.concatenate([centers - sizes / 2, sizes], axis=1),
        scores=scores[selected].astype(np.float32),
        class_ids=peaks.classes.numpy()[selected].astype(np.uint8),
    )
