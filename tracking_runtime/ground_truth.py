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
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.geometry import as_boxes
from tracking_runtime.rows import Doubtful, Doubts, Malformed, Row, check_malformed, read_rows

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
) -> list[GroundTruth | None]:
    """The truth of each of a sequence's ``frames`` frames.

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
    if not lines:
        raise SourceError(f"{path}: no ground truth in it, only a heading")
    columns = lines[0].columns
    if columns == _RECT_COLUMNS or (columns == _CORNERS_COLUMNS and path.name == _CORNERS_FILE):
        truth = _one_target(lines, len(lines) if frames is None else frames, doubts)
    elif columns >= _MOT_COLUMNS:
        last = _last_frame(lines) if frames is None else frames
        truth = _many_objects(lines, last, class_names, doubts)
    else:
        raise SourceError(
            f"{path}:{lines[0].number}: {columns} columns; known are x,y,w,h (4), corners (8, in a file "
            f"named {_CORNERS_FILE}) and frame,id,x,y,w,h,… (6 or more)"
        )
    doubts.settle(malformed)
    return truth


def _one_target(lines: list[Row], frames: int, doubts: Doubts) -> list[GroundTruth | None]:
    """One line a frame."""
    if len(lines) != frames:
        surplus = lines[min(frames, len(lines) - 1)]
        doubts.note(surplus, f"{len(lines)} lines of ground truth for {frames} frames")
    truth = [doubts.believed(line, _target) for line in lines[:frames]]
    return truth + [None] * (frames - len(truth))


def _many_objects(
    lines: list[Row], frames: int, class_names: Sequence[str], doubts: Doubts
) -> list[GroundTruth | None]:
    """One line an object and frame."""
    objects: dict[int, dict[int, _Object]] = defaultdict(dict)
    doubtful_frames = set()
    for line in lines:
        found = doubts.believed(line, lambda values: _object(values, frames, class_names))
        if found is None:
            doubtful_frames.add(_frame_at_least(line))
        elif found.id in objects[found.frame]:
            doubts.note(line, f"object {found.id} is in frame {found.frame} twice")
            doubtful_frames.add(found.frame)
        else:
            objects[found.frame][found.id] = found
    return [
        None if frame in doubtful_frames else _truth([o for o in objects[frame].values() if o.counts])
        for frame in range(1, frames + 1)
    ]


def _last_frame(lines: list[Row]) -> int:
    """The largest frame number that any line names."""
    named = [_frame_at_least(line) for line in lines]
    return int(max((frame for frame in named if math.isfinite(frame)), default=0))


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


def _object(values: tuple[float, ...], frames: int, class_names: Sequence[str]) -> _Object:
    frame, number = values[:2]
    confidence = values[6] if len(values) > 6 else 1
    class_number = values[7] if len(values) > 7 else 1
    if not all(math.isfinite(value) for value in (frame, number, class_number)):
        raise Doubtful("frame, id or class is no number")
    if frame != int(frame) or not 1 <= frame <= frames:
        raise Doubtful(f"frame {frame:g}, but frames count from 1 to {frames}")
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
