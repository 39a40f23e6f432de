"""What a report tells, as plain data: ``metrics.json`` holds exactly these fields.

A tracker's package scores a recording and answers with a :class:`Scoring`; the demo adds how the flight went.
Nothing here knows what was tracked, so that any tracker's figures make the same kind of report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tracking_runtime.timing import StageSummary

SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        name: short, as in a table's heading.
        value: NaN where there was nothing to measure (null in JSON).
        unit: ``px``, ``ms``, …; empty for shares and counts.
        meaning: one line that says how it was measured.
        headline: whether it is shown large.
    """

    name: str
    value: float
    unit: str = ""
    meaning: str = ""
    headline: bool = False

    @property
    def text(self) -> str:
        """The number as people read it; integers whole, everything else with three digits."""
        if math.isnan(self.value):
            return "n/a"
        digits = f"{self.value}" if isinstance(self.value, int) else _three_digits(self.value)
        return f"{digits} {self.unit}".strip()


@dataclass(frozen=True)
class Curve:
    """A line of a chart: its ``x`` and ``y`` values."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """Curves over common axes.

    Attributes:
        title: of the chart.
        x_label: with unit.
        y_label: with unit.
        curves: in the order of the legend.
        y_limits: of the axis; None: as the values ask.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    y_limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bars:
    """Groups of bars: a value for each row in each series."""

    title: str
    x_label: str
    rows: tuple[str, ...]
    series: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under column headings."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Way:
    """Where one object went: its number and the centres ``x`` and ``y`` in pixels, frame by frame."""

    number: int
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class WayMap:
    """All ways through the image, true and tracked."""

    title: str
    width: int
    height: int
    truth: tuple[Way, ...]
    tracks: tuple[Way, ...]


@dataclass(frozen=True)
class Moment:
    """A frame worth looking at, and why."""

    stamp_ns: int
    caption: str


@dataclass(frozen=True)
class Scoring:
    """How well a recorded flight was tracked.

    Attributes:
        figures: the numbers, most important first.
        charts: as the papers draw them.
        tables: in detail.
        maps: of the ways.
        moments: frames to show, in the order of the flight.
        note: what the figures are about and what they leave out.
    """

    figures: tuple[Figure, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    maps: tuple[WayMap, ...] = ()
    moments: tuple[Moment, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Accounting:
    """What became of every frame that the player published.

    Attributes:
        published: by the player.
        processed: answered by the tracker with a message on its tracks topic.
        dropped: pushed out of its mailbox by a newer frame.
        refused: unusable.
        failed: met an error in the tracker.
        lost: on the way, by the gaps in the publisher's numbering.
    """

    published: int
    processed: int
    dropped: int
    refused: int = 0
    failed: int = 0
    lost: int = 0

    @property
    def accounted(self) -> int:
        """Frames whose fate is known."""
        return self.processed + self.dropped + self.refused + self.failed + self.lost

    @property
    def is_exact(self) -> bool:
        """Whether every published frame is accounted for, once."""
        return self.published == self.accounted

    @property
    def processed_share(self) -> float:
        """Of the published frames, those tracked."""
        return self.processed / self.published if self.published else float("nan")


@dataclass(frozen=True)
class Network:
    """What ran: a model and the engine that ran it."""

    name: str
    engine: str
    weights_sha256: str
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """An image file beside the report."""

    path: str
    caption: str


@dataclass(frozen=True)
class FlightResult:
    """One flight from the player's first frame to its score.

    Attributes:
        name: as on the command line.
        title: for people.
        source: what the player played.
        rate_hz: at which it played; 0: each frame when the tracker was done with the one before.
        seconds: from the first frame played to the last one accounted for.
        network: model and engine of the tracker.
        accounting: of the frames.
        stages: durations in the tracker by stage, in milliseconds.
        scoring: how well it tracked.
        pictures: overlays.
        bag: the recording's folder beside the report.
    """

    name: str
    title: str
    source: str
    rate_hz: float
    seconds: float
    network: Network
    accounting: Accounting
    stages: Mapping[str, StageSummary]
    scoring: Scoring
    pictures: tuple[Picture, ...]
    bag: str


@dataclass(frozen=True)
class Machine:
    """Where it ran."""

    system: str
    processor: str
    cores: int
    memory_gb: float
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """Everything that a report page tells.

    Attributes:
        title: of the page.
        created: date and time with zone, ISO 8601.
        machine: where the flights ran.
        flights: in the order in which they flew.
        command: what made it, to be run again.
    """

    title: str
    created: str
    machine: Machine
    flights: tuple[FlightResult, ...]
    command: str = ""


def write_metrics(report: Report, path: Path) -> None:
    """Write a report's data as JSON: the fields of :class:`Report`, ``schema`` before them, NaN as null."""
    content = {"schema": SCHEMA, **_without_nan(asdict(report))}
    for flight, result in zip(content["flights"], report.flights, strict=True):
        flight["accounting"]["is_exact"] = result.accounting.is_exact
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _three_digits(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
