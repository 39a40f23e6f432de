"""Result files as trackers publish them: boxes of one target, or MOT rows of many objects.

One target: a row ``x, y, width, height`` for each frame, as text, or as MATLAB's ``.mat`` of the OTB toolkit.
Many objects: rows ``frame, id, x, y, width, height, score, class, …``, frames counted from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.io

from tracking_runtime.boxes import Boxes, as_boxes
from tracking_runtime.datasets.file_tree import paths_below
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.io.disk_list import Made, SpooledMapping
from tracking_runtime.io.table_reader import (
    Doubtful,
    Doubts,
    Malformed,
    ObjectRow,
    Row,
    check_malformed,
    read_rows,
)

SUFFIXES = (".txt", ".csv", ".mat")

Submission = Literal["scored", "mot", "satvideodt", "satmtb", "sdm-car"]

_ENDINGS: Mapping[Submission, str] = {
    "scored": ",{score},{kind},-1",
    "mot": ",{score},-1,-1,-1",
    "satvideodt": ",1,{kind},1",
    "satmtb": ",1,{kind},1,0,0",
    "sdm-car": ",1,-1,-1,-1",
}
_ONE_TARGET, _LEAST_MOT = 4, 6
_COMPANION = re.compile(
    r"_(time|times|score|scores|confidence|confidences|all_boxes|all_scores)$", re.IGNORECASE
)
_SPELLINGS = {"pedestrain": "pedestrian", "trucker": "truck"}


def is_one_target(path: Path) -> bool:
    """Whether a result file holds boxes of one target rather than rows of many objects.

    Raises:
        SourceError: it holds neither.
    """
    if path.suffix == ".mat":
        return True
    first = next(Doubts(path).without_heading(read_rows(path, may_be_empty=True)), None)
    columns = first.columns if first else _LEAST_MOT
    if first and columns != _ONE_TARGET and columns < _LEAST_MOT:
        raise SourceError(
            f"{path}:{first.number}: {columns} columns; known are x,y,w,h (4) and frame,id,x,y,w,h,… "
            "(6 or more)"
        )
    return columns == _ONE_TARGET


def read_boxes(path: Path, frames: int, *, malformed: Malformed = "raise") -> Boxes:
    """``(frames, 4)`` boxes of one target as they are written, failures too: NaN and sizeless ones.

    Args:
        path: of the file.
        frames: how many frames the sequence has.
        malformed: ``skip`` takes rows that cannot be read or are missing for failures, and leaves out what is
            more than there are frames.

    Raises:
        SourceError: the file cannot be believed; the message names it and the line.
    """
    check_malformed(malformed)
    doubts = Doubts(path)
    if path.suffix == ".mat":
        rows, boxes = [], _mat_boxes(path)
    else:
        rows = list(doubts.without_heading(read_rows(path)))
        read = [doubts.believed(row, _four) for row in rows]
        boxes = as_boxes([(math.nan,) * 4 if box is None else box for box in read])
    if len(boxes) != frames:
        last = rows[min(frames, len(rows) - 1)] if rows else Row(len(boxes), (), _ONE_TARGET)
        doubts.note(last.number, f"{len(boxes)} boxes for {frames} frames")
    doubts.settle(malformed)
    result = np.full((frames, 4), np.nan)
    result[: len(boxes)] = boxes[:frames]
    return result


def read_tracks(
    path: Path, frames: int | None = None, *, malformed: Malformed = "raise"
) -> Sequence[ScoredBoxes]:
    """The objects of each frame, on disk.

    Args:
        path: of the file; an empty one has no objects. Class ids are -1 where it tells none.
        frames: how many frames the sequence has; None: as many as the file names.
        malformed: ``skip`` leaves out rows that cannot be believed.

    Raises:
        SourceError: a row cannot be believed; the message names file and line.
    """
    check_malformed(malformed)
    doubts = Doubts(path)

    def believed() -> Iterator[ObjectRow[tuple[float, ...]]]:
        for row in doubts.without_heading(read_rows(path, may_be_empty=True)):
            values = doubts.believed(row, lambda values: _mot_row(values, frames))
            if values is not None:
                yield ObjectRow(int(values[0]), int(values[1]), row.number, values)

    found = SpooledMapping((frame, _objects(objects)) for frame, objects, _ in doubts.by_frame(believed()))
    doubts.settle(malformed)
    last = max(found, default=0) if frames is None else frames
    nothing = ScoredBoxes.none()
    return Made(last, lambda index: found.get(index + 1, nothing))


def write_boxes(path: Path, boxes: Boxes) -> None:
    """Boxes of one target as OTB and HOT take them: tabs between, NaN where there is none."""
    lines = ["\t".join(_shortest(value) for value in box) for box in boxes]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_tracks(
    path: Path, frames: Sequence[ScoredBoxes], *, first: int = 1, form: Submission = "scored"
) -> None:
    """Objects as rows ``frame, id, x, y, width, height`` with what a benchmark wants after them.

    Args:
        path: of the file.
        frames: in order; frames and classes are counted from 1 in the file.
        first: number of the first of them.
        form: ``scored`` keeps score and class; the others are what benchmarks take.
    """
    with path.open("w", encoding="utf-8") as file:
        for number, frame in enumerate(frames, start=first):
            file.writelines(_track_lines(number, frame, _ENDINGS[form]))


def _track_lines(number: int, frame: ScoredBoxes, ending: str) -> list[str]:
    return [
        ",".join([str(number), str(int(ident)), *map(_shortest, box)])
        + ending.format(score=_shortest(score), kind=_class_number(kind))
        + "\n"
        for ident, box, score, kind in zip(frame.ids, frame.boxes, frame.scores, frame.class_ids, strict=True)
    ]


def _class_number(kind: int) -> int:
    return int(kind) + 1 if kind >= 0 else -1


def find_results(place: Path, videos: Sequence[str]) -> dict[str, Path]:
    """The result file of each video that has one, by the video's name.

    A file is named as the video, maybe in folders of its cameras or categories, or with more before or behind
    (``car_SEE-Net.txt``), or is alone in a folder of that name. Names are compared without regard to case and
    to the benchmarks' misspellings. A file that is one video's by its whole name is no other's. What trackers
    write beside their boxes (``car_time.txt``, ``car_001_confidence.txt``) is passed over.

    Args:
        place: a folder, or one file for one video.
        videos: their names.

    Raises:
        SourceError: several files may be meant.
    """
    if place.is_file():
        return {videos[0]: place} if len(videos) == 1 else {}
    files = {
        path: comparable(path.relative_to(place).with_suffix("").as_posix())
        for path in paths_below(place)
        if path.suffix.lower() in SUFFIXES and not _COMPANION.search(path.stem)
    }
    found: dict[str, Path] = {}
    for fits in (_is_whole, _is_stem, _is_decorated, _is_within):
        free = {path: name for path, name in files.items() if path not in found.values()}
        claimed: dict[Path, str] = {}
        for video in (name for name in videos if name not in found):
            named = [path for path, name in free.items() if fits(path, name, video)]
            if len(named) > 1:
                both = f"{named[0].relative_to(place)} and {named[1].relative_to(place)}"
                raise SourceError(f"{place}: {both} may both be the result of {video}")
            if named and named[0] in claimed:
                both = f"{claimed[named[0]]} and of {video}"
                raise SourceError(f"{place}: {named[0].relative_to(place)} may be the result of {both}")
            if named:
                claimed[named[0]] = video
        found.update({video: path for path, video in claimed.items()})
    return found


def _is_whole(path: Path, name: str, video: str) -> bool:
    return name == comparable(video)


def _is_stem(path: Path, name: str, video: str) -> bool:
    return comparable(path.stem) == comparable(video)


def _is_decorated(path: Path, name: str, video: str) -> bool:
    wanted = comparable(video)
    return name.endswith(f"_{wanted}") or comparable(path.stem).startswith(f"{wanted}_")


def _is_within(path: Path, name: str, video: str) -> bool:
    """Whether the path names the video's last part, or its folder does."""
    return comparable(path.parent.name) == comparable(video) or name == comparable(video.rpartition("/")[2])


def comparable(name: str) -> str:
    """A sequence's name without case, with its words spelt as everywhere, and ``_`` between them."""
    return "_".join(_respelt(word) for word in re.split(r"[-_\s/]+", name.casefold()))


def _respelt(word: str) -> str:
    for wrong, right in _SPELLINGS.items():
        if word.startswith(wrong):
            return right + word[len(wrong) :]
    return word


def _four(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) != _ONE_TARGET:
        raise Doubtful(f"{len(values)} columns, a box has 4")
    return values


def _mot_row(values: tuple[float, ...], frames: int | None) -> tuple[float, ...]:
    frame, number = values[:2]
    if not all(math.isfinite(value) for value in values[:6]):
        raise Doubtful("frame, id or box is no number")
    if frame != int(frame) or frame < 1 or (frames is not None and frame > frames):
        raise Doubtful(f"frame {frame:g}, but frames count from 1{'' if frames is None else f' to {frames}'}")
    if number != int(number) or number < 0:
        raise Doubtful(f"id {number:g} is not a whole number from 0")
    if values[4] < 0 or values[5] < 0:
        raise Doubtful(f"a box of {values[4]:g} x {values[5]:g}")
    return values


def _objects(rows: list[tuple[float, ...]]) -> ScoredBoxes:
    return ScoredBoxes(
        ids=np.array([row[1] for row in rows], np.int64),
        boxes=as_boxes([row[2:6] for row in rows]),
        scores=np.array([row[6] if len(row) > 6 else 1.0 for row in rows], np.float64),
        class_ids=np.array([_class_id(row) for row in rows], np.int64),
    )


def _class_id(row: tuple[float, ...]) -> int:
    """Classes count from 1 in files; -1 where none is told."""
    return int(row[7]) - 1 if len(row) > 7 and row[7] >= 1 else -1


def _mat_boxes(path: Path) -> Boxes:
    """The boxes in a file of the OTB toolkit (``results{1}.res``), or its only array of four columns."""
    try:
        content = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)
    except (OSError, ValueError, NotImplementedError, TypeError) as error:
        raise SourceError(f"{path} is not a MATLAB file that can be read: {error}") from error
    values = [value for name, value in content.items() if not name.startswith("__")]
    values += [getattr(np.atleast_1d(value)[0], "res", None) for value in values]
    arrays = [
        value for value in values if isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == 4
    ]
    if len(arrays) != 1:
        raise SourceError(f"{path}: {len(arrays)} arrays of four columns where the boxes' one is expected")
    return as_boxes(arrays[0])


def _shortest(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return np.format_float_positional(value, trim="-")
