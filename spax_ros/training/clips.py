"""Training clips of SPAX on disk: the active pixels of each frame as network input, and the ground truth."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.errors import SourceError
from tracking_runtime.files import atomic_write
from tracking_runtime.frames import GroundTruth


@dataclass(frozen=True)
class ClipFrame:
    """Active pixels and ground truth of one frame.

    Attributes:
        pixels: flat indices of the active pixels, (n,).
        inputs: network input of the active pixels, (n, channels) float16.
        shift: position of the image's center in the previous frame minus that in this frame, (2,): y, x.
        truth: objects of the frame.
    """

    pixels: NDArray[np.int32]
    inputs: NDArray[np.float16]
    shift: NDArray[np.float64]
    truth: GroundTruth


@dataclass(frozen=True)
class PreparedFrame:
    """A frame of a clip with the size of its image.

    Attributes:
        size: height and width of the image.
        frame: active pixels and ground truth.
        has_truth: False if the objects of the frame are unknown.
    """

    size: tuple[int, int]
    frame: ClipFrame
    has_truth: bool = True


@dataclass(frozen=True)
class Clip:
    """A sequence that is prepared for training.

    Attributes:
        height: height of the images in pixels.
        width: width of the images in pixels.
        frames: frames in the order of time.
    """

    height: int
    width: int
    frames: tuple[ClipFrame, ...]

    @classmethod
    def from_frames(cls, frames: Sequence[PreparedFrame]) -> Clip:
        """Return a clip of prepared frames, which must have the same size."""
        height, width = frames[0].size
        return cls(height, width, tuple(prepared.frame for prepared in frames))

    def save(self, path: Path) -> None:
        """Write the clip to one file. Its folder must exist."""
        frames = self.frames
        columns: dict[str, list[NDArray[Any]]] = {
            "pixels": [frame.pixels for frame in frames],
            "inputs": [frame.inputs for frame in frames],
            "ids": [frame.truth.ids for frame in frames],
            "class_ids": [frame.truth.class_ids for frame in frames],
            "boxes": [frame.truth.boxes for frame in frames],
        }
        arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
        arrays["pixel_counts"] = np.array([len(frame.pixels) for frame in frames])
        arrays["truth_counts"] = np.array([len(frame.truth.ids) for frame in frames])
        arrays["shifts"] = np.stack([frame.shift for frame in frames])
        arrays["size"] = np.array([self.height, self.width])
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Clip:
        """Read a clip that was written by `save`. A damaged file raises the errors of `numpy.load`."""
        with np.load(path) as file:
            arrays = dict(file)
        pixel_limits = np.cumsum(arrays["pixel_counts"])[:-1]
        object_limits = np.cumsum(arrays["truth_counts"])[:-1]
        pixel_columns = [np.split(arrays[name], pixel_limits) for name in ("pixels", "inputs")]
        truth_columns = [np.split(arrays[name], object_limits) for name in ("ids", "class_ids", "boxes")]
        frames = tuple(
            ClipFrame(pixels, inputs, shift, GroundTruth(ids, class_ids, boxes))
            for pixels, inputs, shift, ids, class_ids, boxes in zip(
                *pixel_columns, arrays["shifts"], *truth_columns, strict=True
            )
        )
        height, width = (int(side) for side in arrays["size"])
        return cls(height, width, frames)


class ClipPool:
    """The clips of a folder. Rare classes are drawn more often than their number of objects suggests.

    Attributes:
        paths: files of the clips.

    Args:
        folder: folder of the clips.

    Raises:
        SourceError: the folder contains no clips.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.npz"))
        if not self.paths:
            raise SourceError(
                f"{folder} contains no prepared clips; make some with `rstrack train spax --clips {folder}`"
            )
        object_counts: Counter[int] = Counter()
        self._paths_by_class: dict[int, list[Path]] = defaultdict(list)
        for path in self.paths:
            with np.load(path) as file:
                clip_counts = Counter(file["class_ids"].tolist())
            object_counts += clip_counts
            for class_id in clip_counts:
                self._paths_by_class[class_id].append(path)
        self._class_ids = sorted(object_counts)
        weights = np.sqrt([object_counts[class_id] for class_id in self._class_ids])
        self._class_probabilities = weights / weights.sum()

    def draw_clip(self, rng: np.random.Generator) -> tuple[Clip, int | None]:
        """Draw a class, in proportion to the square root of its number of objects, and a clip that shows it.

        Args:
            rng: random number generator.

        Returns:
            The clip and the class; None instead of the class if no clip of the pool shows an object.
        """
        if not self._class_ids:
            return Clip.load(self.paths[rng.integers(len(self.paths))]), None
        class_id = int(rng.choice(self._class_ids, p=self._class_probabilities))
        paths = self._paths_by_class[class_id]
        return Clip.load(paths[rng.integers(len(paths))]), class_id


def find_box_slices(box: NDArray[np.float64], height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of an image's pixels that a box touches.

    Args:
        box: box in pixels, (4,): x, y, width, height.
        height: height of the image.
        width: width of the image.
    """
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.ceil(box[:2] + box[2:]).astype(int)
    rows = slice(max(top, 0), min(max(bottom, 0), height))
    columns = slice(max(left, 0), min(max(right, 0), width))
    return rows, columns
