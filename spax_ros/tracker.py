"""Following every moving object of satellite video: mask, packed network, peaks, association."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks
from spax_ros.decoding import MOST_PEAKS, Detections, no_detections, peaks_to_detections
from spax_ros.inference import PyTorchRunner, Runner, open_runner
from spax_ros.motion.background import IDENTITY
from spax_ros.motion.mask import MotionFrame, MotionMask, MotionSettings
from spax_ros.network.config import SpaxConfig
from spax_ros.network.grid import Grid, Shift, shift_at
from spax_ros.preprocessing import Inputs, as_uint8, brightness, white_level
from spax_ros.sparse.grid import TILE, PackedGrid
from spax_ros.sparse.tile_budget import MOST_TILES, active_tiles, bucket, strongest_tiles
from spax_ros.weights import SpaxModel, load_spax
from tracking_runtime.engines import EngineSettings
from tracking_runtime.errors import FrameRefusedError, ModelError
from tracking_runtime.timing import StageTimes

SIZE_TOLERANCE_PX = 8
DEEPEST_EASING = 3
LEAST_RANGE = 4  # of brightness in an image, 0..255, below which nothing is to be seen in it


@dataclass(frozen=True)
class TrackerSettings:
    """How frames become tracks.

    Attributes:
        motion: how the mask of active pixels is made.
        association: how detections become tracks.
        overlap: IoU from which the weaker of two detections is the same object seen twice.
        most_detections: per frame, of ``MOST_PEAKS``.
        least_score: detections below it are not reported.
        most_tiles: of 8 x 8 pixels that the network may be given; where more move, those of most energy.
    """

    motion: MotionSettings = field(default_factory=MotionSettings)
    association: AssociationSettings = field(
        default_factory=lambda: AssociationSettings(
            low_score=0.2, new_score=0.35, certain_score=0.4, least_speed=0.2, classes_apart=False
        )
    )
    overlap: float = 0.4
    most_detections: int = MOST_PEAKS
    least_score: float = 0.1
    most_tiles: int = MOST_TILES


class SpaxTracker:
    """Tracks a stream of images of one size.

    Args:
        model: its network.
        settings: how frames become tracks.
        times: to count the stages' durations in.
        runner: of the model's network; None: PyTorch.

    After every frame ``detections``, ``motion_mask``, ``active_share``, ``saturated``, ``camera_motion`` and
    ``operations`` (pairs of a multiplication and an addition in the network; 0 where an engine ran it) say
    how it went, and ``remark`` what is wrong with the images, if anything.
    """

    def __init__(
        self,
        model: SpaxModel,
        settings: TrackerSettings | None = None,
        times: StageTimes | None = None,
        runner: Runner | None = None,
    ) -> None:
        self.model, self.runner = model, runner or PyTorchRunner(model.network)
        self._settings = settings or TrackerSettings()
        self._times = times or StageTimes()
        self.deepest_easing, self.size_tolerance_px = DEEPEST_EASING, SIZE_TOLERANCE_PX
        self._easing = 0
        self._motion = MotionMask(self._settings.motion)
        self._association = GaussianTracker(self._settings.association)
        self.reset()

    @property
    def engine(self) -> str:
        """What runs the network."""
        return self.runner.description

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the class ids."""
        return self.model.config.classes

    @property
    def times(self) -> StageTimes:
        """Durations of the stages mask, engine, peaks and associate."""
        return self._times

    def reset(self) -> None:
        """Forget everything seen; the next frame may have another size."""
        self._motion.reset()
        self._association.reset()
        self._stream = self.runner.stream()
        self._heat: NDArray[np.float32] | None = None
        self._white: float | None = None
        self._size: tuple[int, int] | None = None
        self.detections: Detections = no_detections()
        self.motion_mask: NDArray[np.bool_] = np.zeros((0, 0), bool)
        self.active_share = 0.0
        self.saturated = False
        self.camera_motion = IDENTITY
        self.operations = 0
        self.remark = ""
        self._previous: NDArray[np.uint8] | None = None

    def ease(self, level: int) -> None:
        """Give the network less to do: of the tiles with active pixels, 1 in 2^level, those of most energy.

        Args:
            level: 0: all of them, to ``deepest_easing``.
        """
        self._easing = level

    def take_over(self, other: SpaxTracker) -> None:
        """Go on with the tracks and the background of another tracker; what its network remembers is lost.

        Raises:
            ModelError: the other knows other classes.
        """
        if other.class_names != self.class_names:
            raise ModelError(f"it knows {self.class_names}, the other model {other.class_names}")
        self.reset()
        self._motion, self._association = other._motion, other._association
        self._heat, self._white, self._size = other._heat, other._white, other._size
        self._previous, self.detections = other._previous, other.detections

    def track(self, image: NDArray[Any], stamp_ns: int) -> Tracks:
        """Every track after this frame of which anything is inside the image, as far as it is.

        Args:
            image: ``(H, W)`` or ``(H, W, 3)`` in the order blue, green, red; uint8, or uint16, which is
                scaled by the range of bits that the stream's first frame uses.
            stamp_ns: when it was taken, in nanoseconds.

        Raises:
            FrameRefused: it is no such image, or of another size than the frames before (``reset`` first). A
                few rows or columns more or less, as stabilised video has them, are cut off or filled up.
        """
        white = self._white or white_level(image)
        image = as_uint8(image, white)
        image = image if self._size is None else resized(image, *self._size)
        self._size, self._white = (image.shape[0], image.shape[1]), white

        gray = brightness(image)
        with self._times.stage("mask"):
            surely = self.detections.scores >= self._settings.association.new_score
            motion = self._motion.update(gray, self._heat, self.detections.boxes[surely])
            active = active_tiles(motion.mask, TILE)
            mask = self._within_room(motion, active)
        self.camera_motion = motion.transform
        self.motion_mask, self.active_share = mask, np.count_nonzero(mask) / mask.size
        self.saturated = motion.saturated or active > self._settings.most_tiles
        self.remark = remark_on(gray, self._previous, saturated=self.saturated)
        self._previous = gray
        found = self._detect(image, motion.residual, mask, motion.transform)
        self.detections = found = strongest(found, self._settings.overlap)
        with self._times.stage("associate"):
            tracks = self._association.update(
                found.boxes, found.scores, found.class_ids, stamp_ns, camera_motion=motion.transform
            )
            return tracks.within(image.shape[1], image.shape[0])

    def _within_room(self, motion: MotionFrame, active: int) -> NDArray[np.bool_]:
        """The mask, or its strongest tiles where there are more than the largest bucket or easing leaves."""
        room = min(self._settings.most_tiles, -(-active >> self._easing))
        if active <= room:
            return motion.mask
        energy = motion.residual if self._heat is None else motion.residual + 100 * self._heat
        return strongest_tiles(motion.mask, energy, TILE, room)

    @torch.inference_mode()
    def _detect(
        self,
        image: NDArray[np.uint8],
        residual: NDArray[np.float32],
        mask: NDArray[np.bool_],
        transform: NDArray[np.float64],
    ) -> Detections:
        settings = self._settings
        with self._times.stage("engine"):
            height, width = mask.shape
            grid = packed_grid(mask, self.model.config, self._stream.room)
            frame = partial(packed_frame, self.model.inputs, image, residual)
            seen = self._stream.see(frame, grid, shift_at(transform, height, width)[None])
        with self._times.stage("peaks"):
            self._heat = np.zeros(mask.shape, np.float32)
            self._heat[grid.positions] = seen.mask[:, 0].numpy()[grid.active]
            best = seen.peaks.best(settings.most_detections)
            found = peaks_to_detections(best, grid, settings.least_score)
        self.operations = grid.operations
        return found


def remark_on(gray: NDArray[np.uint8], previous: NDArray[np.uint8] | None, *, saturated: bool) -> str:
    """What is wrong with an image, for people; empty if nothing is."""
    if int(gray.max()) - int(gray.min()) < LEAST_RANGE:
        return "the image is of one brightness: lens covered, or sensor over- or underexposed?"
    if previous is not None and np.array_equal(gray, previous):
        return "the image is the one before: camera frozen?"
    if saturated:
        return "more moves than may be active, the strongest is kept: clouds, a flash, a turning platform?"
    return ""


def strongest(detections: Detections, overlap: float) -> Detections:
    """The detections without the weaker ones of those that overlap: a large object has several peaks."""
    boxes, scores = detections.boxes, detections.scores
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, overlap), np.int64).reshape(-1)
    return Detections(boxes[kept], scores[kept], detections.class_ids[kept])


def packed_grid(
    mask: NDArray[np.bool_], config: SpaxConfig, room: Callable[[int], int] = bucket
) -> PackedGrid:
    """The active pixels of an image ``(H, W)`` of any size, in tiles, with room as of ``PackedGrid``."""
    multiple = max(config.multiple, TILE)
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % multiple), (0, -width % multiple)))
    return PackedGrid(padded[None], config.levels, TILE, room)


def packed_frame(
    inputs: Inputs, image: NDArray[np.uint8], residual: NDArray[np.float32], grid: Grid, shift: Shift
) -> torch.Tensor:
    """``(N, C)`` of a frame at the pixels of a grid, as of ``spax_ros.network.memory.FrameAt``."""
    assert isinstance(grid, PackedGrid)
    height, width = residual.shape
    rows, columns = (places + step for places, step in zip(grid.positions, shift[0], strict=True))
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    x = inputs.channels(image, residual, np.where(inside, rows * width + columns, 0))
    x[~inside] = 0
    return grid.spread(torch.from_numpy(x))


def resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """An image cut, or continued at its right and lower border, to a size that differs by a few pixels.

    Raises:
        FrameRefused: it differs by more.
    """
    more_rows, more_columns = height - image.shape[0], width - image.shape[1]
    if max(abs(more_rows), abs(more_columns)) > SIZE_TOLERANCE_PX:
        raise FrameRefusedError(
            f"image of {image.shape[1]} x {image.shape[0]} pixels after images of {width} x {height}: "
            "reset the tracker for a stream of another size"
        )
    border = [(0, max(more_rows, 0)), (0, max(more_columns, 0)), (0, 0)][: image.ndim]
    return np.pad(image, border, mode="edge")[:height, :width] if more_rows or more_columns else image


def load_tracker(
    name_or_path: str | Path,
    engine: str = "auto",
    settings: TrackerSettings | None = None,
    times: StageTimes | None = None,
    *,
    engine_settings: EngineSettings | None = None,
    executor: Executor | None = None,
) -> SpaxTracker:
    """A tracker with a model given by name or path.

    Args:
        name_or_path: as of ``tracking_runtime.models.manifest.find_model``.
        engine: name of an engine, or ``auto``.
        settings: of the tracker.
        times: to count the stages' durations in.
        engine_settings: precision and threads; ``engine`` goes before what it says.
        executor: in which engines are made while frames go on, as of ``spax_ros.inference.EngineRunner``.

    Raises:
        ModelError: the model cannot be loaded, or only runs on PyTorch.
        EngineError: there is no such engine, or it does not work here.
    """
    model = load_spax(name_or_path)
    asked = replace(engine_settings or EngineSettings(), engine=engine)
    return SpaxTracker(model, settings, times, open_runner(model, asked, executor))
