"""Ground truth from text files. An invalid row is an error, so that no score is wrong silently.

The number of columns decides between three formats. Commas, semicolons, tabs or spaces separate the columns.

* 4 columns: x, y, width, height of one target, one line per frame (OTB, HOT). All negative, zero or NaN:
  absent.
* 8 columns in a file named `groundtruth.txt`: the corners of one target, one line per frame (VOT). The box is
  the upright one with their center, area and aspect ratio, with which the field initializes trackers.
* 6 or more columns: frame, id, x, y, width, height, confidence, class, … of one object (MOT, SatVideoDT).
  Classes are numbered from 1, frames from 1 or as the images. Objects with confidence 0 are left out.

Numbers are taken as pixels of `tracking_runtime.boxes` without conversion.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from tracking_runtime.boxes import as_boxes
from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import DiskDict, DiskList, LazySequence, pad_sequence
from tracking_runtime.io.frame_numbers import (
    COUNTS_FROM_ZERO,
    FrameNumbers,
    choose_frame_numbers,
    find_last_frame_from_zero,
)
from tracking_runtime.io.image_file import find_video_folder
from tracking_runtime.io.notes import add_note
from tracking_runtime.io.table_reader import (
    MAX_COORDINATE_PX,
    MAX_FRAME_NUMBER,
    TABLE_SUFFIXES,
    InvalidRowError,
    ObjectRow,
    OnInvalidRow,
    Row,
    RowErrors,
    check_box,
    check_on_invalid_row,
    check_whole_number,
    read_frame_rows,
    read_rows,
)

OnInvalidTruth = Literal["raise", "skip", "ignore"]
"""Policy for invalid rows and files of ground truth, see `read_source_truth`."""

GROUND_TRUTH_FILE_NAMES = tuple(
    f"{stem}{suffix}" for stem in ("groundtruth_rect", "groundtruth", "gt") for suffix in TABLE_SUFFIXES
)
"""Usual names of ground-truth files, in lower case, by preference. Files may have any letter case."""

_NO_TRUTH = "none"  # option of sources
_TRUTH_FOLDER = "gt"
_CORNERS_STEM = "groundtruth"
_CORNERS_COLUMNS = 8
_BOX_COLUMNS = 4
_MIN_MOT_COLUMNS = 6
_MAX_NAMED_FRAMES = 5  # frames without an image that a note names


@dataclass(frozen=True)
class _AnnotatedObject:
    frame: int
    id: int
    class_id: int
    box: tuple[float, ...]
    is_scored: bool = True


def find_ground_truth(folder: Path) -> Path | None:
    """Find the ground truth of a folder of frames; None if no file exists.

    The file is in the folder, or beside a folder with a usual name of images, as `img`. A file beside a
    folder with another name is told and not taken, because it may belong to something else.
    """
    found = find_truth_file(folder)
    if found is not None:
        return found
    beside = find_truth_file(Path(os.path.abspath(folder)).parent)
    if beside is None or find_video_folder(folder) is not None:
        return beside
    add_note(
        f"{beside} is not taken as ground truth, because it may belong to another folder than {folder}; "
        "state truth=PATH, or move it into the folder"
    )
    return None


def find_stated_truth(text: str) -> Path | None:
    """Return the file that the option `truth` of a source states; None for `none`.

    Raises:
        SourceError: the file does not exist.
    """
    if text == _NO_TRUTH:
        return None
    path = Path(os.path.expanduser(text))  # Path.expanduser refuses `~x`
    if not path.is_file():
        raise SourceError(f"no ground truth at {path}: check the path, or write truth={_NO_TRUTH}")
    return path


def find_truth_file(folder: Path) -> Path | None:
    """Find a file with a usual name of ground truth in a folder, or in `gt` in it; None if none exists.

    Names are compared without case, and hidden files are left out.
    """
    if not folder.is_dir():
        return None
    paths = list_visible(folder)
    subfolders = [path for path in paths if path.name.casefold() == _TRUTH_FOLDER and path.is_dir()]
    for place in (paths, *(list_visible(subfolder) for subfolder in subfolders)):
        by_name = {path.name.casefold(): path for path in reversed(place) if path.is_file()}
        for name in GROUND_TRUTH_FILE_NAMES:
            if name in by_name:
                return by_name[name]
    return None


def is_truth_name(path: Path) -> bool:
    """Return whether a file has a usual name of ground truth."""
    return path.name.casefold() in GROUND_TRUTH_FILE_NAMES


def read_ground_truth(
    path: Path,
    num_frames: int | None,
    *,
    class_names: Sequence[str] = (),
    on_invalid_row: OnInvalidRow = "raise",
    image_numbers: Sequence[int] | None = None,
) -> Sequence[GroundTruth | None]:
    """Read the ground truth of each frame of a sequence into a list on disk.

    Args:
        path: text file.
        num_frames: number of frames of the sequence. None: as many as the file has.
        class_names: names of the classes that the file numbers from 1. Empty: all objects get class 0.
        on_invalid_row: `skip` leaves out invalid rows. A frame with an invalid row has no ground truth: None.
        image_numbers: numbers in the names of the images, see `read_image_numbers`. The file may number its
            frames by them. None: from 1.

    Raises:
        SourceError: a row is invalid; the message names file and line. Or it cannot be told which frames the
            rows belong to.
    """
    check_on_invalid_row(on_invalid_row)
    errors = RowErrors(path)
    rows = errors.skip_header(read_rows(path))
    first = next(rows, None)
    if first is None:
        raise SourceError(f"{path} must contain ground truth: got only a header")
    num_columns = first.num_columns
    is_corners = num_columns == _CORNERS_COLUMNS and path.stem.casefold() == _CORNERS_STEM
    if num_columns == _BOX_COLUMNS or is_corners:
        errors = RowErrors(path)
        frame_rows = errors.skip_header(read_frame_rows(path, num_frames))
        truth = _read_single_target(frame_rows, num_frames, errors, image_numbers)
    elif num_columns >= _MIN_MOT_COLUMNS:
        rows = chain([first], rows)
        if num_frames is None or not image_numbers or list(image_numbers) == [*range(1, num_frames + 1)]:
            numbers = _count_frames(path, num_frames)
        else:
            numbers = choose_frame_numbers(image_numbers, num_frames, _read_frame_numbers(path), path)
        truth = _read_objects(rows, numbers, class_names, errors)
    else:
        raise SourceError(
            f"{path}:{first.line_number}: {num_columns} columns, expected x,y,w,h (4), corners (8, in a file "
            f"named {_CORNERS_STEM}.txt) or frame,id,x,y,w,h,… (6 or more)"
        )
    errors.raise_if_any(on_invalid_row)
    return truth


def read_source_truth(
    path: Path,
    num_frames: int,
    *,
    class_names: Sequence[str] = (),
    policy: OnInvalidTruth = "raise",
    image_numbers: Sequence[int] | None = None,
) -> Sequence[GroundTruth | None]:
    """Read the ground truth of each frame of a source, as `read_ground_truth` does.

    Args:
        path: text file.
        num_frames: number of frames of the source.
        class_names: names of the classes that the file numbers from 1.
        policy: policy for invalid rows, as in `read_ground_truth`. `ignore` also takes a file that cannot be
            read as none, with a note.
        image_numbers: numbers in the names of the images.

    Raises:
        SourceError: as in `read_ground_truth`.
    """
    try:
        return read_ground_truth(
            path,
            num_frames,
            class_names=class_names,
            on_invalid_row="skip" if policy == "ignore" else policy,
            image_numbers=image_numbers,
        )
    except SourceError as error:
        if policy != "ignore":
            raise
        add_note(f"no ground truth: {error}")
        return [None] * num_frames


def _read_single_target(
    rows: Iterable[Row],
    num_frames: int | None,
    errors: RowErrors,
    image_numbers: Sequence[int] | None,
) -> Sequence[GroundTruth | None]:
    """Read a file with one row per frame."""
    max_rows = num_frames
    span = image_numbers[-1] - image_numbers[0] + 1 if image_numbers else None
    if num_frames is not None and span is not None and num_frames < span <= MAX_FRAME_NUMBER:
        max_rows = span  # some images may be missing, but not their rows
    truth: DiskList[GroundTruth | None] = DiskList()
    line_numbers: list[int] = []  # of the rows around the last frame
    num_rows = 0
    for num_rows, row in enumerate(rows, start=1):
        if max_rows is None or num_rows <= max_rows:
            truth.append(errors.parse(row, _parse_target))
        if num_frames is not None and num_rows <= num_frames + 1:
            line_numbers = [row.line_number]
    if num_frames is None or num_rows == num_frames:
        return truth
    if image_numbers and num_rows == span:
        first = image_numbers[0]
        add_note(
            f"{errors.path}: {num_rows} lines for {num_frames} images, whose names skip "
            f"{num_rows - num_frames} numbers; paired by number"
        )
        return LazySequence(num_frames, lambda index: truth[image_numbers[index] - first])
    errors.add(
        line_numbers[0] if line_numbers else 0, f"{num_rows} lines of ground truth for {num_frames} frames"
    )
    return pad_sequence(truth[:num_frames], num_frames, None)


def _count_frames(path: Path, num_frames: int | None) -> FrameNumbers | None:
    """Return the numbers of the frames of a file that counts them; None: from 1 to the largest in the file.

    Args:
        path: file with one row per object and frame.
        num_frames: number of frames; None: unknown.
    """
    last = find_last_frame_from_zero(read_rows(path), num_frames)
    if last is not None:
        add_note(f"{path}: {COUNTS_FROM_ZERO}")
        return FrameNumbers(range((last + 1) if num_frames is None else num_frames))
    return None if num_frames is None else FrameNumbers(range(1, num_frames + 1))


def _read_frame_numbers(path: Path) -> set[int]:
    """Read the frame numbers of a file with one row per object and frame. Other rows are left out."""
    numbers = (_parse_frame_number(row) for row in read_rows(path))
    return {int(number) for number in numbers if abs(number) <= MAX_FRAME_NUMBER and number == int(number)}


def _read_objects(
    rows: Iterable[Row], numbers: FrameNumbers | None, class_names: Sequence[str], errors: RowErrors
) -> Sequence[GroundTruth | None]:
    """Read a file with one row per object and frame.

    Args:
        rows: rows of the file.
        numbers: numbers of the frames; None: from 1 to the largest in the file.
        class_names: names of the classes.
        errors: receives the errors.
    """
    invalid_frames: set[float] = set()
    num_without_image = 0
    numbers_without_image: set[int] = set()

    def parse_rows() -> Iterator[ObjectRow[_AnnotatedObject]]:
        nonlocal num_without_image
        for row in rows:
            parsed = errors.parse(row, lambda values: _parse_object(values, numbers, class_names))
            if parsed is None:
                invalid_frames.add(_parse_frame_number(row))
            elif numbers is not None and numbers.find_index(parsed.frame) is None:
                num_without_image += 1
                numbers_without_image.add(parsed.frame)
            else:
                yield ObjectRow(parsed.frame, parsed.id, row.line_number, parsed)

    truth_by_frame: DiskDict[int, GroundTruth | None] = DiskDict(
        (frame, None if has_duplicates else _make_ground_truth([item for item in objects if item.is_scored]))
        for frame, objects, has_duplicates in errors.group_by_frame(parse_rows())
    )
    if num_without_image:
        missing = ", ".join(map(str, sorted(numbers_without_image)[:_MAX_NAMED_FRAMES]))
        add_note(
            f"{errors.path}: {num_without_image} rows left out, because {len(numbers_without_image)} frames "
            f"have no image: {missing}{', …' if len(numbers_without_image) > _MAX_NAMED_FRAMES else ''}"
        )
    if numbers is None:
        finite_frames = (int(frame) for frame in invalid_frames if abs(frame) <= MAX_FRAME_NUMBER)
        numbers = FrameNumbers(range(1, max([*truth_by_frame, *finite_frames], default=0) + 1))
    frame_numbers = numbers.numbers
    return LazySequence(
        len(frame_numbers),
        lambda index: (
            None
            if frame_numbers[index] in invalid_frames
            else truth_by_frame.get(frame_numbers[index], GroundTruth())
        ),
    )


def _parse_frame_number(row: Row) -> float:
    """Parse only the frame number of an invalid row; NaN if it is not a number."""
    try:
        return float(row.words[0])
    except (ValueError, IndexError):
        return math.nan


def _make_ground_truth(objects: list[_AnnotatedObject]) -> GroundTruth:
    return GroundTruth(
        ids=np.array([item.id for item in objects], np.int64),
        class_ids=np.array([item.class_id for item in objects], np.uint8),
        boxes=as_boxes([item.box for item in objects]),
    )


def _parse_target(values: tuple[float, ...]) -> GroundTruth:
    """Parse a row of a box or of corners; return an empty ground truth if the target is absent."""
    if all(math.isnan(value) for value in values) or all(value < 0 for value in values) or not any(values):
        return GroundTruth()
    if len(values) == _CORNERS_COLUMNS:
        if not all(abs(value) <= MAX_COORDINATE_PX for value in values):
            raise InvalidRowError(f"corners must be finite, up to {MAX_COORDINATE_PX} px: got {values}")
        values = _compute_upright_box(values)
    return _make_ground_truth([_AnnotatedObject(0, 1, 0, check_box(values))])


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
    values: tuple[float, ...], numbers: FrameNumbers | None, class_names: Sequence[str]
) -> _AnnotatedObject:
    frame, object_id = values[:2]
    confidence = values[6] if len(values) > 6 else 1
    class_number = values[7] if len(values) > 7 else 1
    if not all(math.isfinite(value) for value in (frame, object_id, class_number, confidence)):
        raise InvalidRowError("frame, id, confidence and class must be finite numbers")
    _check_frame_number(frame, numbers)
    check_whole_number(object_id, "id")
    if class_names and not (1 <= class_number <= len(class_names) and class_number == int(class_number)):
        names = ", ".join(class_names)
        raise InvalidRowError(f"class {class_number:g}, but the classes are 1 to {len(class_names)}: {names}")
    class_id = int(class_number) - 1 if class_names else 0
    box = check_box(values[2:6])
    return _AnnotatedObject(int(frame), int(object_id), class_id, box, is_scored=confidence != 0)


def _check_frame_number(frame: float, numbers: FrameNumbers | None) -> None:
    """Raise InvalidRowError unless a number is that of a frame, or of a missing image between two frames."""
    if numbers is None:
        if frame != int(frame) or not 1 <= frame <= MAX_FRAME_NUMBER:
            raise InvalidRowError(f"frame {frame:g}, but frames count from 1")
        return
    is_known = frame == int(frame) and numbers.find_index(int(frame)) is not None
    if not is_known and not (frame == int(frame) and len(numbers.numbers) and numbers.is_in_gap(int(frame))):
        ends = f"{numbers.numbers[0]} to {numbers.numbers[-1]}" if len(numbers.numbers) else "1 to 0"
        raise InvalidRowError(f"frame {frame:g}, but frames count from {ends}")
