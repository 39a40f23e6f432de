"""Tracks as text, one frame at a time: MOT rows, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.datasets.result_files import format_track_rows

MOT_FILE = "tracks.txt"
CSV_FILE = "tracks.csv"
JSON_LINES_FILE = "tracks.jsonl"

CSV_COLUMNS = ("frame", "id", "x", "y", "width", "height", "score", "class", "state", "time_s")
OFFLINE_COLUMN = "causal"  # further column of offline tracks: `no`

LOST = "lost"  # state of a target that is not in the frame; its box is where it was last
_NS_PER_SECOND = 1e9
_PIXEL_DECIMALS = 3
_SCORE_DECIMALS = 4

FormatFrame = Callable[[int, int, ScoredBoxes, Sequence[str]], str]
"""Function from the number of a frame, its stamp in nanoseconds, its tracks and class names to text."""


class TrackFiles:
    """The files `tracks.txt`, `tracks.csv` and `tracks.jsonl`; each frame is on disk when `write` returns.

    Args:
        folder: folder of the files, which exists.
        class_names: name of each class id.
        is_offline: True marks each row of CSV and each line of JSON as non-causal.
    """

    def __init__(self, folder: Path, class_names: Sequence[str], *, is_offline: bool = False) -> None:
        self._class_names = class_names
        formats: dict[str, FormatFrame] = {
            MOT_FILE: format_mot_rows,
            CSV_FILE: partial(format_csv_rows, is_offline=is_offline),
            JSON_LINES_FILE: partial(format_json_line, is_offline=is_offline),
        }
        self._files: list[tuple[TextIO, FormatFrame]] = [
            ((folder / name).open("w", encoding="utf-8", newline=""), format_frame)
            for name, format_frame in formats.items()
        ]
        csv_file = self._files[1][0]
        csv_file.write(",".join((*CSV_COLUMNS, OFFLINE_COLUMN) if is_offline else CSV_COLUMNS) + "\n")

    def write(self, number: int, stamp_ns: int, tracks: ScoredBoxes) -> None:
        """Write the tracks of a frame, whose number counts from 1.

        Raises:
            OSError: a file cannot be written, for example because the disk is full.
        """
        for file, format_frame in self._files:
            file.write(format_frame(number, stamp_ns, tracks, self._class_names))
            file.flush()

    def close(self) -> None:
        """Close the files."""
        for file, _ in self._files:
            file.close()


def remove_lost(tracks: ScoredBoxes) -> ScoredBoxes:
    """Return the tracks whose object is in the frame."""
    if LOST not in tracks.states:
        return tracks
    is_present = np.array([state != LOST for state in tracks.states])
    return ScoredBoxes(
        tracks.ids[is_present],
        tracks.boxes[is_present],
        tracks.scores[is_present],
        tracks.class_ids[is_present],
        tuple(state for state in tracks.states if state != LOST),
    )


def format_mot_rows(
    number: int, _stamp_ns: int, tracks: ScoredBoxes, _class_names: Sequence[str] = ()
) -> str:
    """Return a row `frame, id, x, y, width, height, score, class, -1` for each track that is not lost."""
    return "".join(format_track_rows(number, remove_lost(tracks)))


def format_csv_rows(
    number: int,
    stamp_ns: int,
    tracks: ScoredBoxes,
    class_names: Sequence[str],
    *,
    is_offline: bool = False,
) -> str:
    """Return a row of `CSV_COLUMNS` for each track, and of `OFFLINE_COLUMN` if the tracks are offline."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for track in describe_tracks(tracks, class_names):
        writer.writerow(
            [
                *(number, track["id"], *track["box"]),
                *(track["score"], track["class"], track["state"]),
                f"{stamp_ns / _NS_PER_SECOND:.6f}",
                *(("no",) if is_offline else ()),
            ]
        )
    return text.getvalue()


def format_json_line(
    number: int,
    stamp_ns: int,
    tracks: ScoredBoxes,
    class_names: Sequence[str],
    *,
    is_offline: bool = False,
) -> str:
    """Return a line with a JSON object with the keys `frame`, `stamp_ns` and `tracks`.

    Offline tracks also have the key `causal` with the value false.
    """
    content: dict[str, Any] = {"frame": number, "stamp_ns": stamp_ns}
    if is_offline:
        content["causal"] = False
    content["tracks"] = describe_tracks(tracks, class_names)
    return json.dumps(content, separators=(",", ":")) + "\n"


def describe_tracks(tracks: ScoredBoxes, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a dictionary with id, box, score, class and state for each track; unknown texts are empty."""
    states = tracks.states or ("",) * len(tracks.ids)
    return [
        {
            "id": int(track_id),
            "box": [round(float(value), _PIXEL_DECIMALS) for value in box],
            "score": round(float(score), _SCORE_DECIMALS),
            "class": get_class_name(class_names, int(class_id)),
            "state": state,
        }
        for track_id, box, score, class_id, state in zip(
            tracks.ids, tracks.boxes, tracks.scores, tracks.class_ids, states, strict=True
        )
    ]


def get_class_name(class_names: Sequence[str], class_id: int) -> str:
    """Return the name of a class id; empty if it is unknown."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else ""
