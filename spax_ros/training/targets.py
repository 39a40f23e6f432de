"""Training targets of SPAX: heat maps, sizes, offsets and displacements at active pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spax_ros.sparse.grid import SparseGrid
from spax_ros.training.clips import find_box_slices
from spax_ros.training.crops import CropFrame
from tracking_runtime.boxes import Boxes, compute_centers
from tracking_runtime.frames import GroundTruth


@dataclass(frozen=True)
class FrameTargets:
    """Training targets of one frame of a batch.

    Attributes:
        heat: heat map at the active pixels, (rows, classes), 0 to 1; 1 at the pixels of the objects.
        rows: rows of the objects' pixels, (objects,): the center's pixel, or the nearest active one.
        sizes: width and height of the objects in pixels, (objects, 2).
        offsets: x and y of the center from the corner of the object's pixel, (objects, 2).
        displacements: x and y of the center since the previous frame, (objects, 2); NaN if the object is new.
    """

    heat: Tensor
    rows: Tensor
    sizes: Tensor
    offsets: Tensor
    displacements: Tensor


def compute_targets(
    frames: Sequence[CropFrame],
    previous_frames: Sequence[CropFrame] | None,
    grid: SparseGrid,
    num_classes: int,
    min_radius: int,
) -> FrameTargets:
    """Return the targets of one frame of each crop of a batch. Objects without an active pixel are left out.

    Args:
        frames: frame of each crop.
        previous_frames: previous frame of each crop; None in the first frame.
        grid: grid of the frames' active pixels.
        num_classes: number of classes of the network.
        min_radius: minimum radius of the heat map's peaks in pixels.
    """
    level = grid.levels[0]
    heat_maps = []
    rows = []
    sizes = []
    offsets = []
    displacements = []
    for index, frame in enumerate(frames):
        boxes = frame.truth.boxes
        centers = compute_centers(boxes)
        pixels = find_peak_pixels(boxes, frame.mask)
        heat_maps.append(
            draw_heat_map(
                pixels, boxes[:, 2:], frame.truth.class_ids, num_classes, len(frame.mask), min_radius
            )
        )
        object_rows = level.find_rows(np.full(len(pixels), index), pixels[:, 1], pixels[:, 0])
        is_active = object_rows < level.num_rows
        previous_truth = None if previous_frames is None else previous_frames[index].truth
        rows.append(object_rows[is_active])
        sizes.append(boxes[is_active, 2:])
        offsets.append((centers - pixels)[is_active])
        displacements.append((centers - _find_previous_centers(frame.truth, previous_truth))[is_active])
    return FrameTargets(
        heat=grid.pack(torch.from_numpy(np.stack(heat_maps))),
        rows=level.to_tensor(np.concatenate(rows)),
        sizes=level.to_tensor(np.concatenate(sizes)).float(),
        offsets=level.to_tensor(np.concatenate(offsets)).float(),
        displacements=level.to_tensor(np.concatenate(displacements)).float(),
    )


def _find_previous_centers(truth: GroundTruth, previous_truth: GroundTruth | None) -> NDArray[np.float64]:
    """Return each object's center in the previous frame, (objects, 2); NaN if the object is new."""
    centers = np.full((len(truth.ids), 2), np.nan)
    if previous_truth is None:
        return centers
    index_by_id = {object_id: index for index, object_id in enumerate(previous_truth.ids.tolist())}
    for row, object_id in enumerate(truth.ids.tolist()):
        if object_id in index_by_id:
            centers[row] = compute_centers(previous_truth.boxes[index_by_id[object_id]])[0]
    return centers


def find_peak_pixels(boxes: Boxes, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the pixel of each object's peak, (objects, 2): column and row.

    The peak is at the active pixel of the box that is nearest to its center. A box without active pixels has
    the peak at its center.

    Args:
        boxes: boxes of the objects, (objects, 4).
        mask: active pixels, (height, width).
    """
    pixels = compute_centers(boxes).astype(np.int64)
    for pixel, box in zip(pixels, boxes, strict=True):
        rows, columns = find_box_slices(box, *mask.shape)
        active_pixels = np.argwhere(mask[rows, columns])[:, ::-1] + [columns.start, rows.start]
        if len(active_pixels):
            squared_distances = np.square(active_pixels - pixel).sum(axis=1)
            pixel[:] = active_pixels[squared_distances.argmin()]
    return pixels


def draw_heat_map(
    pixels: NDArray[np.int64],
    sizes: NDArray[np.float64],
    class_ids: NDArray[np.uint8],
    num_classes: int,
    size: int,
    min_radius: int,
) -> NDArray[np.float32]:
    """Draw a Gaussian peak of height 1 at each object's pixel.

    Args:
        pixels: column and row of the objects' pixels, (objects, 2).
        sizes: width and height of the objects in pixels, (objects, 2).
        class_ids: class of each object, (objects,).
        num_classes: number of classes.
        size: side of the map in pixels.
        min_radius: minimum radius of the peaks in pixels.

    Returns:
        Heat map of each class, (num_classes, size, size).
    """
    heat_map = np.zeros((num_classes, size, size), np.float32)
    for (column, row), (width, height), class_id in zip(pixels, sizes, class_ids, strict=True):
        radius = max(min_radius, int(compute_gaussian_radius(width, height)))
        deviation = (2 * radius + 1) / 6
        rows = slice(max(row - radius, 0), min(row + radius + 1, size))
        columns = slice(max(column - radius, 0), min(column + radius + 1, size))
        dy, dx = np.ogrid[rows, columns]
        peak = np.exp(-((dy - row) ** 2 + (dx - column) ** 2) / (2 * deviation**2))
        window = heat_map[class_id, rows, columns]
        np.maximum(window, peak, out=window)
    return heat_map


def compute_gaussian_radius(width: float, height: float, min_overlap: float = 0.7) -> float:
    """Return the radius of an object's peak, as in CenterNet.

    Args:
        width: width of the object's box in pixels.
        height: height of the object's box in pixels.
        min_overlap: IoU between the box and its copy, shifted by the radius. Higher gives sharper peaks.
    """
    total = 2 * min_overlap * (width + height)
    discriminant = total**2 + 16 * min_overlap * (1 - min_overlap) * width * height
    return float((np.sqrt(discriminant) - total) / 2)
