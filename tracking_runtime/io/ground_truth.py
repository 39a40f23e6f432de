"""Ground truth from text files. An invalid row is an error, so that no score is wrong silently.

The number of columns decides between three formats. Commas, semicolons, tabs or spaces separate the columns.

* 4 columns: x, y, width, height of one target, one line per frame (OTB, HOT). All negative or NaN: absent.
* 8 columns in a file named `groundtruth.txt`: the corners of one target, one line per frame (VOT). The box is
  the upright one with their center, area and aspect ratio, with which the field initializes trackers.
* 6 or more columns: frame, id, x, y, width, height, confidence, class, … of one object (MOT, SatVideoDT).
  Frames and classes are numbered from 1. Objects with confidence 0 are left out.

Numbers are taken as pixels of `tracking_runtime.boxes` without conversion.
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
from tracking_runtime.io.disk_list import DiskDict, DiskList, LazySequence, pad_sequence
from tracking_runtime.io.table_reader import (
    InvalidRowError,
    ObjectRow,
    OnInvalidRow,
    Row,
    RowErrors,
    check_on_invalid_row,
    read_rows,
)

GROUND_TRUTH_FILE_NAMES = ("groundtruth_rect.txt", "groundtruth.txt", "gt.txt", "gt/gt.txt")

_CORNERS_FILE = "groundtruth.txt"
_CORNERS_COLUMNS = 8
_BOX_COLUMNS = 4
_MIN_MOT_COLUMNS = 6


@dataclass(frozen=True)
class _AnnotatedObject:
    frame: int
    id: int
    class_id: int
    box: tuple[float, ...]
    is_scored: bool = True


def find_ground_truth(folder: Path) -> Path | None:
    """Find the ground truth of a folder of frames, in the folder or in its parent; None if no file exists."""
    candidates = [place / name for place in (folder, folder.parent) for name in GROUND_TRUTH_FILE_NAMES]
    return next((path for path in candidates if path.is_file()), None)


def read_ground_truth(
    path: Path,
    num_frames: int | None,
    *,
    class_names: Sequence[str] = (),
    on_invalid_row: OnInvalidRow = "raise",
) -> Sequence[GroundTruth | None]:
    """Read the ground truth of each frame of a sequence into a list on disk.

    Args:
        path: text file.
        num_frames: number of frames of the sequence. None: as many as the file has.
        class_names: names of the classes that the file numbers from 1. Empty: all objects get class 0.
        on_invalid_row: `skip` leaves out invalid rows. A frame with an invalid row has no ground truth: None.

    Raises:
        SourceError: a row is invalid; the message names file and line.
    """
    check_on_invalid_row(on_invalid_row)
    errors = RowErrors(path)
    rows = errors.skip_header(read_rows(path))
    first = next(rows, None)
    if first is None:
        raise SourceError(f"{path} must contain ground truth: got only a header")
    num_columns = first.num_columns
    rows = chain([first], rows)
    if num_columns == _BOX_COLUMNS or (num_columns == _CORNERS_COLUMNS and path.name == _CORNERS_FILE):
        truth = _read_single_target(rows, num_frames, errors)
    elif num_columns >= _MIN_MOT_COLUMNS:
        truth = _read_objects(rows, num_frames, class_names, errors)
    else:
        raise SourceError(
            f"{path}:{first.line_number}: {num_columns} columns, expected x,y,w,h (4), corners (8, in a file "
            f"named {_CORNERS_FILE}) or frame,id,x,y,w,h,… (6 or more)"
        )
    errors.raise_if_any(on_invalid_row)
    return truth


def _read_single_target(
    rows: Iterable[Row], num_frames: int | None, errors: RowErrors
) -> Sequence[GroundTruth | None]:
    """Read a file with one row per frame."""
    truth: DiskList[GroundTruth | None] = DiskList()
    num_rows = 0
    last_line_number = 0  # of the last row that belongs to a frame, or of the first surplus row
    for num_rows, row in enumerate(rows, start=1):
        if num_frames is None or num_rows <= num_frames:
            truth.append(errors.parse(row, _parse_target))
        if num_frames is not None and num_rows <= num_frames + 1:
            last_line_number = row.line_number
    if num_frames is None or num_rows == num_frames:
        return truth
    errors.add(last_line_number, f"{num_rows} lines of ground truth for {num_frames} frames")
    return pad_sequence(truth, num_frames, None)


def _read_objects(
    rows: Iterable[Row], num_frames: int | None, class_names: Sequence[str], errors: RowErrors
) -> Sequence[GroundTruth | None]:
    """Read a file with one row per object and frame."""
    invalid_frames: set[float] = set()

    def parse_rows() -> Iterator[ObjectRow[_AnnotatedObject]]:
        for row in rows:
            parsed = errors.parse(row, lambda values: _parse_object(values, num_frames, class_names))
            if parsed is None:
                invalid_frames.add(_parse_frame_number(row))
            else:
                yield ObjectRow(parsed.frame, parsed.id, row.line_number, parsed)

    truth_by_frame: DiskDict[int, GroundTruth | None] = DiskDict(
        (frame, None if has_duplicates else _make_ground_truth([item for item in objects if item.is_scored]))
        for frame, objects, has_duplicates in errors.group_by_frame(parse_rows())
    )
    if num_frames is None:
        finite_frames = (int(frame) for frame in invalid_frames if math.isfinite(frame))
        num_frames = max([*truth_by_frame, *finite_frames], default=0)
    return LazySequence(
        num_frames,
        lambda index: None if index + 1 in invalid_frames else truth_by_frame.get(index + 1, GroundTruth()),
    )


def _parse_frame_number(row: Row) -> float:
    """Parse only the frame number of an invalid row; NaN if it is not a number."""
    try:
        return float(row.words[0])
    except ValueError:
        return math.nan


def _make_ground_truth(objects: list[_AnnotatedObject]) -> GroundTruth:
    return GroundTruth(
        ids=np.array([item.id for item in objects], np.int64),
        class_ids=np.array([item.class_id for item in objects], np.uint8),
        boxes=as_boxes([item.box for item in objects]),
    )


def _parse_target(values: tuple[float, ...]) -> GroundTruth:
    """Parse a row of a box or of corners; return an empty ground truth if the target is absent."""
    if all(math.isnan(value) for value in values) or all(value < 0 for value in values):
        return GroundTruth()
    if len(values) == _CORNERS_COLUMNS:
        values = _compute_upright_box(values)
    return _make_ground_truth([_AnnotatedObject(0, 1, 0, _check_box(values))])


def _compute_upright_box(corners: tuple[float, ...]) -> tuple[float, ...]:
    """Return the upright box x, y, width, height with the area of the polygon.

    Args:
        corners: x, y of four corners in order around the target.
    """
    points = np.array(corners).reshape(4, 2)
    width, height = np.ptp(points, axis=0)
    side_lengths = np.linalg.norm(points[[0, 1]] - points[[1, 2]], axis=1)
    bounding_area = width * height
    scale = math.sqrt(side_lengths.prod() / bounding_area) if bounding_area > 0 else 1.0
    size = scale * np.array([width, height])
    return (*(points.mean(axis=0) - size / 2).tolist(), *size.tolist())


def _parse_object(
    values: tuple[float, ...], num_frames: int | None, class_names: Sequence[str]
) -> _AnnotatedObject:
    frame, object_id = values[:2]
    confidence = values[6] if len(values) > 6 else 1
    class_number = values[7] if len(values) > 7 else 1
    if not all(math.isfinite(value) for value in (frame, object_id, class_number)):
        raise InvalidRowError("frame, id and class must be finite numbers")
    if frame != int(frame) or frame < 1 or (num_frames is not None and frame > num_frames):
        last = "" if num_frames is None else f" to {num_frames}"
        raise InvalidRowError(f"frame {frame:g}, but frames count from 1{last}")
    if object_id != int(object_id) or object_id < 0:
        raise InvalidRowError(f"id {object_id:g} is not a whole number from 0")
    if class_names and not 1 <= class_number <= len(class_names):
        names = ", ".join(class_names)
        raise InvalidRowError(f"class {class_number:g}, but the classes are 1 to {len(class_names)}: {names}")
    class_id = int(class_number) - 1 if class_names else 0
    box = _check_box(values[2:6])
    return _AnnotatedObject(int(frame), int(object_id), class_id, box, is_scored=confidence != 0)


def _check_box(box: tuple[float, ...]) -> tuple[float, ...]:
    """Return the box, or raise InvalidRowError unless its values are finite and its area is positive."""
    if not all(math.isfinite(value) for value in box) or box[2] <= 0 or box[3] <= 0:
        values = ", ".join(f"{value:g}" for value in box)
        raise InvalidRowError(f"box must be finite with a positive width and height: got {values}")
    return box
