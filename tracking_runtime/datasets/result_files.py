"""Result files as trackers publish them: boxes of a single target, or MOT rows of many objects.

Single target: a row `x, y, width, height` for each frame, as text, or as a `.mat` file of the OTB toolkit.
Many objects: rows `frame, id, x, y, width, height, score, class, …`. Frames count from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes
from tracking_runtime.datasets.file_tree import walk_paths
from tracking_runtime.errors import SourceError
from tracking_runtime.io.disk_list import DiskDict, LazySequence
from tracking_runtime.io.frame_numbers import COUNTS_FROM_ZERO, find_last_frame_from_zero
from tracking_runtime.io.notes import add_note
from tracking_runtime.io.table_reader import (
    MAX_COORDINATE_PX,
    MAX_FRAME_NUMBER,
    MAX_WHOLE_NUMBER,
    InvalidRowError,
    ObjectRow,
    OnInvalidRow,
    Row,
    RowErrors,
    check_on_invalid_row,
    read_frame_rows,
    read_rows,
)
from tracking_runtime.untrusted.mat_files import check_mat_file

SUFFIXES = (".txt", ".csv", ".mat")

Submission = Literal["scored", "mot", "satvideodt", "satmtb", "sdm-car"]
"""Format of MOT rows: `scored` keeps score and class, the others are what benchmarks accept."""

_ROW_ENDINGS: Mapping[Submission, str] = {
    "scored": ",{score},{class_number},-1",
    "mot": ",{score},-1,-1,-1",
    "satvideodt": ",1,{class_number},1",
    "satmtb": ",1,{class_number},1,0,0",
    "sdm-car": ",1,-1,-1,-1",
}
_BOX_COLUMNS = 4
_MIN_MOT_COLUMNS = 6
_COMPANION_FILE = re.compile(
    r"_(time|times|score|scores|confidence|confidences|all_boxes|all_scores)$", re.IGNORECASE
)
_SPELLINGS = {"pedestrain": "pedestrian", "trucker": "truck"}  # misspellings of the benchmarks


def is_single_target(path: Path) -> bool:
    """Return whether a result file contains boxes of a single target, not rows of many objects.

    Raises:
        SourceError: the number of columns matches neither.
    """
    if path.suffix.lower() == ".mat":
        return True
    first = next(RowErrors(path).skip_header(read_rows(path, may_be_empty=True)), None)
    num_columns = first.num_columns if first else _MIN_MOT_COLUMNS
    if first and num_columns != _BOX_COLUMNS and num_columns < _MIN_MOT_COLUMNS:
        raise SourceError(
            f"{path}:{first.line_number}: {num_columns} columns, expected x,y,w,h (4) or frame,id,x,y,w,h,… "
            "(6 or more)"
        )
    return num_columns == _BOX_COLUMNS


def read_boxes(path: Path, num_frames: int, *, on_invalid_row: OnInvalidRow = "raise") -> Boxes:
    """Read the boxes of a single target, (num_frames, 4), including NaN and boxes without a size.

    Args:
        path: result file.
        num_frames: number of frames of the sequence.
        on_invalid_row: `skip` reads invalid and missing rows as NaN, and leaves out rows after the last
            frame.

    Raises:
        SourceError: a row is invalid, or the number of rows differs. The message names file and line.
    """
    check_on_invalid_row(on_invalid_row)
    errors = RowErrors(path)
    rows: list[Row] = []
    if path.suffix.lower() == ".mat":
        boxes = _read_mat_boxes(path)
    else:
        rows = list(errors.skip_header(read_frame_rows(path, num_frames)))
        parsed = [errors.parse(row, _parse_box) for row in rows]
        boxes = as_boxes([(math.nan,) * 4 if box is None else box for box in parsed])
    if len(boxes) != num_frames:
        line_number = rows[min(num_frames, len(rows) - 1)].line_number if rows else len(boxes)
        errors.add(line_number, f"{len(boxes)} boxes for {num_frames} frames")
    errors.raise_if_any(on_invalid_row)
    result = np.full((num_frames, 4), np.nan)
    result[: len(boxes)] = boxes[:num_frames]
    return result


def read_tracks(
    path: Path, num_frames: int | None = None, *, on_invalid_row: OnInvalidRow = "raise"
) -> Sequence[ScoredBoxes]:
    """Read the objects of each frame into a list on disk.

    Args:
        path: result file. An empty file has no objects. The class ids are -1 if the file has none.
        num_frames: number of frames of the sequence. None: up to the last frame of the file. Its frames count
            from 1, or from 0 if an object is in frame 0, which a note tells.
        on_invalid_row: `skip` leaves out invalid rows.

    Raises:
        SourceError: a row is invalid. The message names file and line.
    """
    check_on_invalid_row(on_invalid_row)
    errors = RowErrors(path)

    last_from_zero = find_last_frame_from_zero(read_rows(path, may_be_empty=True), num_frames)
    first = 1 if last_from_zero is None else 0
    if first == 0:
        add_note(f"{path}: {COUNTS_FROM_ZERO}")

    def parse_rows() -> Iterator[ObjectRow[tuple[float, ...]]]:
        for row in errors.skip_header(read_rows(path, may_be_empty=True)):
            values = errors.parse(row, lambda values: _check_mot_row(values, first, num_frames))
            if values is not None:
                yield ObjectRow(int(values[0]), int(values[1]), row.line_number, values)

    frames = DiskDict(
        (number, _make_scored_boxes(rows)) for number, rows, _ in errors.group_by_frame(parse_rows())
    )
    errors.raise_if_any(on_invalid_row)
    length = max(frames, default=first - 1) - first + 1 if num_frames is None else num_frames
    empty = ScoredBoxes.none()
    return LazySequence(length, lambda index: frames.get(first + index, empty))


def write_boxes(path: Path, boxes: Boxes) -> None:
    """Write the boxes of a single target in the format of OTB and HOT: separated by tabs, NaN if missing."""
    lines = ["\t".join(_format_shortest(value) for value in box) for box in boxes]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_tracks(
    path: Path,
    frames: Sequence[ScoredBoxes],
    *,
    first_frame_number: int = 1,
    submission: Submission = "scored",
) -> None:
    """Write objects as rows `frame, id, x, y, width, height`, then the columns of a benchmark.

    Args:
        path: result file.
        frames: objects of each frame in order. Frames and classes count from 1 in the file.
        first_frame_number: number of the first frame in the file.
        submission: format of the rows: `scored` keeps score and class, the others are what benchmarks accept.
    """
    with path.open("w", encoding="utf-8") as file:
        for number, frame in enumerate(frames, start=first_frame_number):
            file.writelines(format_track_rows(number, frame, submission))


def format_track_rows(frame_number: int, frame: ScoredBoxes, submission: Submission = "scored") -> list[str]:
    """Return the rows of one frame, as `write_tracks` writes them. Frames count from 1."""
    ending = _ROW_ENDINGS[submission]
    return [
        ",".join([str(frame_number), str(int(identity)), *map(_format_shortest, box)])
        + ending.format(score=_format_shortest(score), class_number=_to_class_number(class_id))
        + "\n"
        for identity, box, score, class_id in zip(
            frame.ids, frame.boxes, frame.scores, frame.class_ids, strict=True
        )
    ]


def _to_class_number(class_id: int) -> int:
    """Return the number of a class in a file, which counts from 1; -1 if unknown."""
    return int(class_id) + 1 if class_id >= 0 else -1


def find_results(path: Path, video_names: Sequence[str]) -> dict[str, Path]:
    """Find the result file of each video. Videos without a result are left out.

    A file has the name of its video. The name may include folders of its camera or category, or have a prefix
    or suffix (`car_SEE-Net.txt`). Alternatively, the file is alone in a folder of that name. Names are
    compared without case and with the benchmarks' misspellings corrected. A file that matches one video's
    full name belongs to no other video. Files that trackers write beside their boxes (`car_time.txt`,
    `car_001_confidence.txt`) are ignored.

    Args:
        path: folder, or a single file for a single video.
        video_names: names of the videos.

    Returns:
        Result file by video name.

    Raises:
        SourceError: several files match a video, or a file matches several videos.
    """
    if path.is_file():
        return {video_names[0]: path} if len(video_names) == 1 else {}
    normalized_names = {
        file: normalize_name(file.relative_to(path).with_suffix("").as_posix())
        for file in walk_paths(path)
        if file.suffix.lower() in SUFFIXES and not _COMPANION_FILE.search(file.stem)
    }
    results: dict[str, Path] = {}
    # The strictest rule comes first. Files and videos that it matches are not considered again.
    for is_match in (_is_full_name, _is_stem, _is_decorated_name, _is_partial_path):
        free_files = {file: name for file, name in normalized_names.items() if file not in results.values()}
        free_videos = [video for video in video_names if video not in results]
        results.update(_match_files(path, free_files, free_videos, is_match))
    return results


def _match_files(
    root: Path,
    normalized_names: Mapping[Path, str],
    video_names: Sequence[str],
    is_match: Callable[[Path, str, str], bool],
) -> dict[str, Path]:
    """Return the file of each video by one rule. Raise SourceError if the rule is ambiguous."""
    video_by_file: dict[Path, str] = {}
    for video in video_names:
        files = [file for file, name in normalized_names.items() if is_match(file, name, video)]
        if len(files) > 1:
            both = f"{files[0].relative_to(root)} and {files[1].relative_to(root)}"
            raise SourceError(f"{root}: {both} may both be the result of {video}; remove one")
        if files and files[0] in video_by_file:
            both = f"{video_by_file[files[0]]} and of {video}"
            raise SourceError(f"{root}: {files[0].relative_to(root)} may be the result of {both}; rename it")
        if files:
            video_by_file[files[0]] = video
    return {video: file for file, video in video_by_file.items()}


def _is_full_name(_file: Path, name: str, video: str) -> bool:
    return name == normalize_name(video)


def _is_stem(file: Path, _name: str, video: str) -> bool:
    return normalize_name(file.stem) == normalize_name(video)


def _is_decorated_name(file: Path, name: str, video: str) -> bool:
    """Return whether the path has a prefix before the video's name, or the file a suffix after it."""
    video_name = normalize_name(video)
    return name.endswith(f"_{video_name}") or normalize_name(file.stem).startswith(f"{video_name}_")


def _is_partial_path(file: Path, name: str, video: str) -> bool:
    """Return whether the file's folder has the video's name, or the path is the last part of that name."""
    return normalize_name(file.parent.name) == normalize_name(video) or name == normalize_name(
        video.rpartition("/")[2]
    )


def normalize_name(name: str) -> str:
    """Return a sequence's name in lower case, with corrected spelling and `_` between its words."""
    return "_".join(_correct_spelling(word) for word in re.split(r"[-_\s/]+", name.casefold()))


def _correct_spelling(word: str) -> str:
    for wrong, right in _SPELLINGS.items():
        if word.startswith(wrong):
            return right + word[len(wrong) :]
    return word


def _parse_box(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) != _BOX_COLUMNS:
        raise InvalidRowError(f"{len(values)} columns, expected {_BOX_COLUMNS}: x,y,w,h")
    return values


def _check_mot_row(values: tuple[float, ...], first: int, num_frames: int | None) -> tuple[float, ...]:
    if len(values) < _MIN_MOT_COLUMNS:
        raise InvalidRowError(f"{len(values)} columns, expected {_MIN_MOT_COLUMNS} or more: frame,id,x,y,w,h")
    frame, identity = values[:2]
    if not all(math.isfinite(value) for value in values[:8]):
        raise InvalidRowError("frame, id, box, score and class must be finite: got NaN or infinity")
    if frame > MAX_FRAME_NUMBER:
        raise InvalidRowError(f"frame must be at most {MAX_FRAME_NUMBER}: got {frame:g}")
    last = math.inf if num_frames is None else first + num_frames - 1
    if frame != int(frame) or not first <= frame <= last:
        end = "" if num_frames is None else f" to {last}"
        raise InvalidRowError(f"frame {frame:g}, but frames count from {first}{end}")
    if identity != int(identity) or not 0 <= identity < MAX_WHOLE_NUMBER:
        raise InvalidRowError(f"id must be a whole number from 0: got {identity:g}")
    if max(map(abs, (*values[2:6], *values[7:8]))) > MAX_COORDINATE_PX:
        raise InvalidRowError(f"box and class must be at most {MAX_COORDINATE_PX}: got {values[2:8]}")
    if values[4] < 0 or values[5] < 0:
        raise InvalidRowError(f"width and height must not be negative: got {values[4]:g} x {values[5]:g}")
    return values


def _make_scored_boxes(rows: list[tuple[float, ...]]) -> ScoredBoxes:
    return ScoredBoxes(
        ids=np.array([row[1] for row in rows], np.int64),
        boxes=as_boxes([row[2:6] for row in rows]),
        scores=np.array([row[6] if len(row) > 6 else 1.0 for row in rows], np.float64),
        class_ids=np.array([_to_class_id(row) for row in rows], np.int64),
    )


def _to_class_id(row: tuple[float, ...]) -> int:
    """Return the class id of a row, whose class counts from 1; -1 if the row has no class."""
    return int(row[7]) - 1 if len(row) > 7 and row[7] >= 1 else -1


def _read_mat_boxes(path: Path) -> Boxes:
    """Read the boxes of an OTB toolkit file (`results{1}.res`), or the file's only array of four columns."""
    import scipy.io

    try:
        check_mat_file(path)
        content = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)
    except Exception as error:  # damaged files raise errors of many types
        raise SourceError(f"{path} is not a readable MATLAB file: {error}") from error
    values = [value for name, value in content.items() if not name.startswith("__")]
    values += [getattr(np.atleast_1d(value)[0], "res", None) for value in values]
    arrays = [
        value for value in values if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == 4
    ]
    if len(arrays) != 1:
        raise SourceError(f"{path} must contain one array of four columns (the boxes): got {len(arrays)}")
    return as_boxes(arrays[0])


def _format_shortest(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    return np.format_float_positional(value, trim="-")
