"""Data classes of the reports. `metrics.json` of a demo contains exactly the fields of `DemoReport`.

A tracker's package scores a recording and returns `DemoScores`; the demo adds the facts of the session.
Nothing here depends on a tracker, so that every tracker gets the same kind of report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tracking_runtime.io.json_data import to_json_data
from tracking_runtime.system_info import Machine
from tracking_runtime.timing import StageSummary

SCHEMA = 1  # version of the fields of metrics.json


@dataclass(frozen=True)
class Metric:
    """A metric with its value.

    Attributes:
        name: short name, as in the heading of a table.
        value: value; NaN (null in JSON) if nothing could be measured.
        unit: unit, for example `px` or `ms`; empty for fractions and counts.
        meaning: description in one line.
        headline: True shows the metric large.
    """

    name: str
    value: float
    unit: str = ""
    meaning: str = ""
    headline: bool = False

    @property
    def text(self) -> str:
        """Value with its unit, for users: integers without decimals, others with about three digits."""
        if math.isnan(self.value):
            return "n/a"
        number = f"{self.value}" if isinstance(self.value, int) else _format_float(self.value)
        return f"{number} {self.unit}".strip()


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        label: text in the legend.
        x: x value of each point.
        y: y value of each point.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """Curves over common axes.

    Attributes:
        title: title of the chart.
        x_label: label of the x axis with its unit.
        y_label: label of the y axis with its unit.
        curves: curves in the order of the legend.
        y_limits: range of the y axis; None fits the range to the values.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    y_limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bars:
    """A bar chart with a value per row and series.

    Attributes:
        title: title of the chart.
        x_label: label of the values with their unit.
        rows: name of each row.
        series: values of each series, one per row, by the name of the series.
    """

    title: str
    x_label: str
    rows: tuple[str, ...]
    series: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Table:
    """A table of text and numbers.

    Attributes:
        title: title of the table.
        columns: heading of each column.
        rows: cells of each row.
        note: text below the table; empty for none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Trajectory:
    """Positions of one object, frame by frame.

    Attributes:
        number: id of the object.
        x: x of each center in pixels.
        y: y of each center in pixels.
    """

    number: int
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class TrajectoryMap:
    """True and tracked trajectories in one image.

    Attributes:
        title: title of the map.
        width: width of the image in pixels.
        height: height of the image in pixels.
        truth: trajectories of the ground truth.
        tracks: trajectories of the tracks.
    """

    title: str
    width: int
    height: int
    truth: tuple[Trajectory, ...]
    tracks: tuple[Trajectory, ...]


@dataclass(frozen=True)
class KeyFrame:
    """A frame that the report shows.

    Attributes:
        stamp_ns: stamp of the frame in nanoseconds.
        caption: text below the picture.
    """

    stamp_ns: int
    caption: str


@dataclass(frozen=True)
class DemoScores:
    """Scores of a recorded demo scenario.

    Attributes:
        figures: metrics, most important first.
        charts: plots of the metrics.
        tables: detailed tables.
        maps: maps of trajectories.
        moments: frames to show, in the order of their stamps.
        note: text about the scope of the metrics.
    """

    figures: tuple[Metric, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    maps: tuple[TrajectoryMap, ...] = ()
    moments: tuple[KeyFrame, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class FrameAccounting:
    """Numbers of frames by their fate.

    Attributes:
        published: frames that the player published.
        processed: frames for which the tracker published tracks.
        dropped: frames that a newer frame replaced in the mailbox.
        refused: frames that cannot be used.
        failed: frames that caused an error in the tracker.
        lost: frames lost in transport, by the gaps in the publisher's sequence numbers.
    """

    published: int
    processed: int
    dropped: int
    refused: int = 0
    failed: int = 0
    lost: int = 0

    @property
    def num_accounted(self) -> int:
        """Number of frames with a known fate."""
        return self.processed + self.dropped + self.refused + self.failed + self.lost

    @property
    def is_exact(self) -> bool:
        """True if each published frame is counted exactly once."""
        return self.published == self.num_accounted

    @property
    def processed_fraction(self) -> float:
        """Fraction of the published frames that were processed; NaN without published frames."""
        return self.processed / self.published if self.published else float("nan")


@dataclass(frozen=True)
class NetworkInfo:
    """A network and the engine that ran it.

    Attributes:
        name: name of the model.
        engine: description of the engine.
        weights_sha256: SHA-256 checksum of the weights file; empty if unknown.
        training: data and settings of the training, from the model's manifest.
    """

    name: str
    engine: str
    weights_sha256: str
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """An image file of a report.

    Attributes:
        path: path relative to the report.
        caption: text below the picture.
    """

    path: str
    caption: str


@dataclass(frozen=True)
class DemoResult:
    """Result of one demo scenario.

    Attributes:
        name: name of the scenario on the command line.
        title: title of the scenario.
        source: address of the player's source.
        rate_hz: rate of the player in frames per second; 0: lock step.
        seconds: time from the first published frame to the last accounted one.
        network: model and engine of the tracker.
        accounting: numbers of frames by their fate.
        stages: durations of each stage of the tracker by its name.
        scoring: scores of the tracker.
        pictures: overlays of the key frames.
        bag: folder of the recording, relative to the report.
    """

    name: str
    title: str
    source: str
    rate_hz: float
    seconds: float
    network: NetworkInfo
    accounting: FrameAccounting
    stages: Mapping[str, StageSummary]
    scoring: DemoScores
    pictures: tuple[Picture, ...]
    bag: str


@dataclass(frozen=True)
class DemoReport:
    """Data of the report of all demo scenarios.

    Attributes:
        title: title of the page.
        created: date and time with the zone, ISO 8601.
        machine: machine that ran the scenarios.
        flights: results of the scenarios in the order in which they ran.
        command: command line that made the report; empty if unknown.
    """

    title: str
    created: str
    machine: Machine
    flights: tuple[DemoResult, ...]
    command: str = ""


def make_success_chart(curves: Iterable[Curve]) -> Chart:
    """Make a success plot: fraction of frames with an overlap above each threshold (OTB)."""
    return Chart("Success", "overlap threshold", "fraction of frames", tuple(curves), (0, 1.02))


def make_precision_chart(curves: Iterable[Curve]) -> Chart:
    """Make a precision plot: fraction of frames with a center distance up to each threshold (OTB)."""
    return Chart("Precision", "center distance [px]", "fraction of frames", tuple(curves), (0, 1.02))


def write_metrics(report: DemoReport, path: Path) -> None:
    """Write the data of a report as JSON: the fields of `DemoReport` after `schema`, NaN as null."""
    content = {"schema": SCHEMA, **to_json_data(asdict(report))}
    for result_data, result in zip(content["flights"], report.flights, strict=True):
        result_data["accounting"]["is_exact"] = result.accounting.is_exact
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _format_float(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
