"""From heat maps to boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spax_ros.network.network import SpaxNetwork, Step
from spax_ros.packed.grid import PackedGrid
from tracking_runtime.geometry import Boxes


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


def decode(
    network: SpaxNetwork, step: Step, grid: PackedGrid, *, most: int, least_score: float
) -> Detections:
    """The peaks of a frame's heat map and the boxes there.

    A peak is the largest of its 3x3 active pixels and has the class that is likeliest there. Size and offset
    are computed at the peaks alone.

    Args:
        network: what made the step.
        step: of one image.
        grid: its pixels.
        most: peaks kept at most.
        least_score: below which nothing is a peak.
    """
    if grid.count(0) == 0:
        return no_detections()
    logits, classes = network.head("hm")(step.features, grid).max(dim=1)
    scores = torch.sigmoid(logits)
    active = torch.from_numpy(grid.active)
    around = grid.largest_around(scores)[active]
    found = torch.nonzero((scores[active] >= least_score) & (scores[active] >= around))[:, 0]
    found = found[torch.argsort(scores[active[found]], descending=True, stable=True)[:most]]
    peaks = active[found]
    sizes = network.head("wh").at(peaks, step.features, grid).double().numpy()
    offsets = network.head("reg").at(peaks, step.features, grid).double().numpy()
    rows, columns = (places[found.numpy()] for places in grid.positions)
    sizes = np.maximum(sizes, 1.0)
    centres = np.stack([columns, rows], axis=1) + offsets
    return Detections(
        boxes=np.concatenate([centres - sizes / 2, sizes], axis=1),
        scores=scores[peaks].numpy().astype(np.float32),
        class_ids=classes[peaks].numpy().astype(np.uint8),
    )
