"""`report.html` and `summary.json` of `rstrack track`: what was tracked, without scores."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracking_runtime.io.json_data import to_json_data
from tracking_runtime.reports.html import render_page
from tracking_runtime.reports.report_data import Chart, Curve, Metric, Table, Trajectory, TrajectoryMap
from tracking_runtime.system_info import describe_machine, format_command_line, format_now
from tracking_runtime.tracking.session import TrackRun
from tracking_runtime.tracking.statistics import TrackSummary
from tracking_runtime.tracking.track_files import get_class_name

SCHEMA = 1  # version of the fields of summary.json

_TEMPLATE = "tracks.html.j2"
_MAX_TRAJECTORIES = 300
_MAX_ROWS = 100  # tracks in the table of the page; summary.json has all
_COLUMN_TITLES = {
    "id": "id",
    "class": "class",
    "first_frame": "first frame",
    "last_frame": "last frame",
    "frames": "frames",
    "mean_score": "mean score",
    "mean_speed_m_s": "mean speed [m/s]",
    "mean_length_m": "mean length [m]",
}


@dataclass(frozen=True)
class TrackReport:
    """Facts of a run besides its progress.

    Attributes:
        source: address of the source.
        name: name of the source.
        rate_hz: frames per second of the source.
        num_frames: number of frames of the source; None for a live stream.
        tracker: name of the tracker.
        tracker_description: model, weights and engine.
        class_names: name of each class id of the tracks.
        run: the run.
        files: names of the written files with their descriptions.
        is_offline: True if the tracks use later frames.
    """

    source: str
    name: str
    rate_hz: float
    num_frames: int | None
    tracker: str
    tracker_description: Mapping[str, str]
    class_names: Sequence[str]
    run: TrackRun
    files: Mapping[str, str]
    is_offline: bool = False

    @property
    def frames_per_second(self) -> float:
        """Tracked frames per second of the run."""
        return self.run.num_tracked / self.run.seconds if self.run.seconds else 0.0


def write_summary(report: TrackReport, path: Path) -> None:
    """Write the facts of a run and of each track as JSON.

    Raises:
        OSError: the file cannot be written.
    """
    content = {
        "schema": SCHEMA,
        "created": format_now(),
        "command": format_command_line(),
        **_describe(report),
    }
    text = json.dumps(to_json_data(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_track_report(report: TrackReport, path: Path) -> None:
    """Write the page of a run.

    Raises:
        OSError: the page cannot be written.
    """
    run = report.run
    page = render_page(
        _TEMPLATE,
        path.parent,
        title=f"Tracks of {report.name}",
        created=format_now(),
        machine=describe_machine(),
        command=format_command_line(),
        report=report,
        metrics=_make_metrics(report),
        pictures=[(caption, base64.b64encode(jpeg).decode()) for caption, jpeg in run.pictures],
        chart=_make_chart(run),
        trajectories=_make_map(run),
        tables=[_make_table(report)],
    )
    path.write_text(page, encoding="utf-8")


def _describe(report: TrackReport) -> dict[str, Any]:
    run = report.run
    return {
        "source": report.source,
        "name": report.name,
        "rate_hz": report.rate_hz,
        "image_size": run.image_size,
        "encoding": run.encoding,
        "frames": {
            "source": report.num_frames,
            "tracked": run.num_tracked,
            "refused": run.num_refused,
            "dropped": run.num_dropped,
        },
        "seconds": round(run.seconds, 3),
        "tracking_seconds": round(run.tracking_seconds, 3),
        "frames_per_second": round(report.frames_per_second, 3),
        "interrupted": run.was_interrupted,
        "causal": not report.is_offline,
        "tracker": {"name": report.tracker, **report.tracker_description},
        "notes": run.notes,
        "files": list(report.files),
        "num_tracks": len(run.statistics.tracks),
        "num_boxes": run.statistics.num_boxes,
        "tracks": [_describe_track(track, report.class_names) for track in run.statistics.tracks.values()],
    }


def _describe_track(track: TrackSummary, class_names: Sequence[str]) -> dict[str, Any]:
    return {
        "id": track.id,
        "class": get_class_name(class_names, track.class_id),
        "first_frame": track.first_frame,
        "last_frame": track.last_frame,
        "frames": track.num_frames,
        "mean_score": round(track.mean_score, 4),
        **_describe_measures(track),
    }


def _describe_measures(track: TrackSummary) -> dict[str, float]:
    """Return the mean speed and length of a track on the ground, if they are known."""
    means = {"mean_speed_m_s": track.speed_m_s.value, "mean_length_m": track.length_m.value}
    return {name: round(value, 3) for name, value in means.items() if value is not None}


def _make_metrics(report: TrackReport) -> list[Metric]:
    run = report.run
    return [
        Metric("tracks", len(run.statistics.tracks), "", "different ids"),
        Metric("frames tracked", run.num_tracked),
        Metric("tracks per frame", run.statistics.num_boxes / max(run.num_tracked, 1), "", "mean"),
        Metric(
            "frames per second", report.frames_per_second, "", "of the whole run, with reading and drawing"
        ),
    ]


def _make_chart(run: TrackRun) -> Chart:
    values = run.statistics.counts.values
    curve = Curve("tracks", tuple(x for x, _ in values), tuple(y for _, y in values))
    return Chart("Tracks over time", "time [s]", "tracks in the frame", (curve,))


def _make_map(run: TrackRun) -> TrajectoryMap:
    longest = run.statistics.list_longest(_MAX_TRAJECTORIES)
    trajectories = [
        Trajectory(
            track.id,
            tuple(x for x, _ in track.centers.values),
            tuple(y for _, y in track.centers.values),
        )
        for track in longest
    ]
    return TrajectoryMap("Trajectories", *run.image_size, (), tuple(trajectories))


def _make_table(report: TrackReport) -> Table:
    tracks = report.run.statistics.list_longest(_MAX_ROWS)
    num_tracks = len(report.run.statistics.tracks)
    described = [_describe_track(track, report.class_names) for track in tracks]
    columns = [name for name in _COLUMN_TITLES if any(name in row for row in described)]
    rows = tuple(tuple(row.get(name, "") for name in columns) for row in described)
    note = f"The {len(tracks)} longest of {num_tracks} tracks." if len(tracks) < num_tracks else ""
    return Table("Tracks", tuple(_COLUMN_TITLES[name] for name in columns), rows, note)
