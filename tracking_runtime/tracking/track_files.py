"""Tracks as text, one frame at a time: MOT rows, CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tracking_runtime.boxes import ScoredBoxes
from tracking_runtime.datasets.result_files import format_track_rows
from tracking_runtime.tracking.ground_scale import GroundMeasures

MOT_FILE = "tracks.txt"
CSV_FILE = "tracks.csv"
JSON_LINES_FILE = "tracks.jsonl"

CSV_COLUMNS = ("frame", "id", "x", "y", "width", "height", "score", "class", "state", "time_s")
GROUND_COLUMNS = ("speed_m_s", "length_m", "width_m")
OFFLINE_COLUMN = "causal"  # further column of offline tracks: `no`

LOST = "lost"  # state of a target that is not in the frame; its box is where it was last
_NS_PER_SECOND = 1e9
_PIXEL_DECIMALS = 3
_SCORE_DECIMALS = 4
_GROUND_DECIMALS = 3

FormatFrame = Callable[[int, int, ScoredBoxes, Sequence[str], GroundMeasures | None], str]
"""Function from number and stamp in nanoseconds of a frame, tracks, class names and measures to text."""


class TrackFiles:
    """The files `tracks.txt`, `tracks.csv` and `tracks.jsonl`; each frame is on disk when `write` returns.

    Args:
        folder: folder of the files, which exists.
        class_names: name of each class id.
        has_measures: True if the table has `GROUND_COLUMNS`.
        is_offline: True marks each row of CSV and each line of JSON as non-causal.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        *,
        has_measures: bool = False,
        is_offline: bool = False,
    ) -> None:
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
        columns = (
            *CSV_COLUMNS,
            *(GROUND_COLUMNS if has_measures else ()),
            *((OFFLINE_COLUMN,) if is_offline else ()),
        )
        csv_file.write(",".join(columns) + "\n")

    def write(
        self, number: int, stamp_ns: int, tracks: ScoredBoxes, measures: GroundMeasures | None = None
    ) -> None:
        """Write the tracks of a frame.

        Args:
            number: number of the frame, from 1.
            stamp_ns: stamp of the frame in nanoseconds.
            tracks: tracks of the frame.
            measures: speeds and sizes of the tracks, with `has_measures`; None: without.

        Raises:
            OSError: a file cannot be written, for example because the disk is full.
        """
        for file, format_frame in self._files:
            file.write(format_frame(number, stamp_ns, tracks, self._class_names, measures))
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
        None if tracks.velocities is None else tracks.velocities[is_present],
    )


def format_mot_rows(
    number: int,
    _stamp_ns: int,
    tracks: ScoredBoxes,
    _class_names: Sequence[str] = (),
    _measures: GroundMeasures | None = None,
) -> str:
    """Return a row `frame, id, x, y, width, height, score, class, -1` for each track that is not lost."""
    return "".join(format_track_rows(number, remove_lost(tracks)))


def format_csv_rows(
    number: int,
    stamp_ns: int,
    tracks: ScoredBoxes,
    class_names: Sequence[str],
    measures: GroundMeasures | None = None,
    *,
    is_offline: bool = False,
) -> str:
    """Return a row of `CSV_COLUMNS` for each track.

    The row has `GROUND_COLUMNS` if there are measures, and `OFFLINE_COLUMN` if the tracks are offline.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for track in describe_tracks(tracks, class_names, measures):
        writer.writerow(
            [
                *(number, track["id"], *track["box"]),
                *(track["score"], track["class"], track["state"]),
                f"{stamp_ns / _NS_PER_SECOND:.6f}",
                *(track[name] for name in GROUND_COLUMNS if name in track),
                *(("no",) if is_offline else ()),
            ]
        )
    return text.getvalue()


def format_json_line(
    number: int,
    stamp_ns: int,
    tracks: ScoredBoxes,
    class_names: Sequence[str],
    measures: GroundMeasures | None = None,
    *,
    is_offline: bool = False,
) -> str:
    """Return a line with a JSON object with the keys `frame`, `stamp_ns` and `tracks`.

    Offline tracks also have the key `causal` with the value false.
    """
    content: dict[str, Any] = {"frame": number, "stamp_ns": stamp_ns}
    if is_offline:
        content["causal"] = False
    content["tracks"] = describe_tracks(tracks, class_names, measures)
    return json.dumps(content, separators=(",", ":")) + "\n"


def describe_tracks(
    tracks: ScoredBoxes, class_names: Sequence[str], measures: GroundMeasures | None = None
) -> list[dict[str, Any]]:
    """Return a dictionary with id, box, score, class and state for each track; unknown texts are empty.

    With measures it also has `GROUND_COLUMNS`; unknown measures are None.
    """
    states = tracks.states or ("",) * len(tracks.ids)
    described: list[dict[str, Any]] = [
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
    if measures is not None:
        values = (measures.speeds_m_s, measures.lengths_m, measures.widths_m)
        for track, row in zip(described, np.stack(values, axis=1).tolist(), strict=True):
            track |= zip(GROUND_COLUMNS, map(_round_measure, row), strict=True)
    return described


def _round_measure(value: float) -> float | None:
    """Round a measure; return None if it is unknown."""
    return round(value, _GROUND_DECIMALS) if math.isfinite(value) else None


def get_class_name(class_names: Sequence[str], class_id: int) -> str:
    """Return the name of a class id; empty if it is unknown."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else ""
