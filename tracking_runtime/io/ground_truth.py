"""Ground truth as text files carry it, read strictly: a doubtful line is an error, never a wrong score.

Three formats are told apart by their columns, whatever separates them (commas, tabs, spaces):

* 4: x, y, width, height of one target, a line for each frame (OTB, HOT); all negative or NaN where it is
  absent.
* 8, in a file named ``groundtruth.txt``: the corners of one target, a line for each frame (VOT); its box is
  the upright one with their middle, area and proportions, as trackers are started by it in the field.
* 6 and more: frame, id, x, y, width, height, confidence, class, … of one object (MOT, SatVideoDT); frames
  count from 1, an object with confidence 0 is left out, classes count from 1.

Numbers are taken as pixels of this package's geometry, as they are written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import Made, Spool, SpooledMapping, padded
from tracking_runtime.io.table_reader import (
    Doubtful,
    Doubts,
    Malformed,
    ObjectRow,
    Row,
    check_malformed,
    read_rows,
)

FILE_NAMES = ("groundtruth_rect.txt", "groundtruth.txt", "gt.txt", "gt/gt.txt")

_CORNERS_FILE = "groundtruth.txt"
_CORNERS_COLUMNS = 8
_RECT_COLUMNS = 4
_MOT_COLUMNS = 6


@dataclass(frozen=True)
class _Object:
    frame: int
    id: int
    class_id: int
    box: tuple[float, ...]
    counts: bool = True


def find_ground_truth(folder: Path) -> Path | None:
    """The ground truth of a folder of frames: a file of one of the usual names in it, or beside it."""
    candidates = [place / name for place in (folder, folder.parent) for name in FILE_NAMES]
    return next((path for path in candidates if path.is_file()), None)


def read_ground_truth(
    path: Path, frames: int | None, *, class_names: Sequence[str] = (), malformed: Malformed = "raise"
) -> Sequence[GroundTruth | None]:
    """The truth, on disk, of each of a sequence's ``frames`` frames.

    Args:
        path: of the text file.
        frames: how many frames the sequence has; None: as many as the file says.
        class_names: of the classes that the file numbers from 1; without them all objects are of class 0.
        malformed: ``skip`` leaves out lines that cannot be believed; a frame with such a line has no truth.

    Raises:
        SourceError: a line cannot be believed; the message names the file and the line.
    """
    check_malformed(malformed)
    doubts = Doubts(path)
    lines = doubts.without_heading(read_rows(path))
    first = next(lines, None)
    if first is None:
        raise SourceError(f"{path}: no ground truth in it, only a heading")
    columns, lines = first.columns, chain([first], lines)
    if columns == _RECT_COLUMNS or (columns == _CORNERS_COLUMNS and path.name == _CORNERS_FILE):
        truth = _one_target(lines, frames, doubts)
    elif columns >= _MOT_COLUMNS:
        truth = _many_objects(lines, frames, class_names, doubts)
    else:
        raise SourceError(
            f"{path}:{first.number}: {columns} columns; known are x,y,w,h (4), corners (8, in a file "
            f"named {_CORNERS_FILE}) and frame,id,x,y,w,h,… (6 or more)"
        )
    doubts.settle(malformed)
    return truth


def _one_target(lines: Iterable[Row], frames: int | None, doubts: Doubts) -> Sequence[GroundTruth | None]:
    """One line a frame."""
    truth: Spool[GroundTruth | None] = Spool()
    surplus, count = 0, 0
    for count, line in enumerate(lines, start=1):
        if frames is None or count <= frames:
            truth.append(doubts.believed(line, _target))
        if frames is not None and count <= frames + 1:
            surplus = line.number
    if frames is None or count == frames:
        return truth
    doubts.note(surplus, f"{count} lines of ground truth for {frames} frames")
    return padded(truth, frames, None)


def _many_objects(
    lines: Iterable[Row], frames: int | None, class_names: Sequence[str], doubts: Doubts
) -> Sequence[GroundTruth | None]:
    """One line an object and frame."""
    doubtful: set[float] = set()

    def believed() -> Iterator[ObjectRow[_Object]]:
        for line in lines:
            found = doubts.believed(line, lambda values: _object(values, frames, class_names))
            if found is None:
                doubtful.add(_frame_at_least(line))
            else:
                yield ObjectRow(found.frame, found.id, line.number, found)

    known: SpooledMapping[int, GroundTruth | None] = SpooledMapping(
        (frame, None if twice else _truth([found for found in objects if found.counts]))
        for frame, objects, twice in doubts.by_frame(believed())
    )
    named = [*known, *(int(frame) for frame in doubtful if math.isfinite(frame))]
    last = max(named, default=0) if frames is None else frames
    return Made(last, lambda index: None if index + 1 in doubtful else known.get(index + 1, GroundTruth()))


def _frame_at_least(line: Row) -> float:
    """The frame of a line of which nothing else may be believed; NaN if not even that."""
    try:
        return float(line.words[0])
    except ValueError:
        return math.nan


def _truth(objects: list[_Object]) -> GroundTruth:
    return GroundTruth(
        ids=np.array([found.id for found in objects], np.int64),
        class_ids=np.array([found.class_id for found in objects], np.uint8),
        boxes=as_boxes([found.box for found in objects]),
    )


def _target(values: tuple[float, ...]) -> GroundTruth:
    """The one target of a line of rectangle or corners, if it is there."""
    if all(math.isnan(value) for value in values) or all(value < 0 for value in values):
        return GroundTruth()
    if len(values) == _CORNERS_COLUMNS:
        values = _upright(values)
    return _truth([_Object(0, 1, 0, _with_area(values))])


def _upright(corners: tuple[float, ...]) -> tuple[float, ...]:
    """The box x, y, width, height of four corners x, y in order around a target."""
    points = np.array(corners).reshape(4, 2)
    width, height = np.ptp(points, axis=0)
    sides = np.linalg.norm(points[[0, 1]] - points[[1, 2]], axis=1)
    around = width * height
    scale = math.sqrt(sides.prod() / around) if around > 0 else 1.0
    size = scale * np.array([width, height])
    return (*(points.mean(axis=0) - size / 2).tolist(), *size.tolist())


def _object(values: tuple[float, ...], frames: int | None, class_names: Sequence[str]) -> _Object:
    frame, number = values[:2]
    confidence = values[6] if len(values) > 6 else 1
    class_number = values[7] if len(values) > 7 else 1
    if not all(math.isfinite(value) for value in (frame, number, class_number)):
        raise Doubtful("frame, id or class is no number")
    if frame != int(frame) or frame < 1 or (frames is not None and frame > frames):
        raise Doubtful(f"frame {frame:g}, but frames count from 1{'' if frames is None else f' to {frames}'}")
    if number != int(number) or number < 0:
        raise Doubtful(f"id {number:g} is not a whole number from 0")
    if class_names and not 1 <= class_number <= len(class_names):
        known = ", ".join(class_names)
        raise Doubtful(f"class {class_number:g}, but the classes are 1 to {len(class_names)}: {known}")
    class_id = int(class_number) - 1 if class_names else 0
    return _Object(int(frame), int(number), class_id, _with_area(values[2:6]), counts=confidence != 0)


def _with_area(box: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(value) for value in box) or box[2] <= 0 or box[3] <= 0:
        raise Doubtful(f"no box: x, y, width, height = {', '.join(f'{value:g}' for value in box)}")
    return box
