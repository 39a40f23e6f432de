"""A benchmark's figures as tables for people, a picture and a page, and JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import rich.table
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD

from hsi_tracker_ros.benchmark.speed import Speed
from tracking_runtime.evaluation.comparison import compare
from tracking_runtime.evaluation.lost_and_found import LostAndFound, together
from tracking_runtime.evaluation.run import Run, write_run
from tracking_runtime.evaluation.video_scores import plain
from tracking_runtime.reports.evaluation_report import bars, charts, write_report
from tracking_runtime.reports.plots import draw_bars, draw_chart, plot_style
from tracking_runtime.reports.report_data import Table
from tracking_runtime.system_info import this_machine

_HEADLINE = "success"

Row = tuple[str | int | float, ...]


def tables(runs: Sequence[Run], speed: Speed | None) -> list[Table]:
    """Success with its attributes, the lead of the first run over the others, lost and found, and speed."""
    scored = [run for run in runs if run.summary is not None]
    found = [success_table(scored), lost_and_found_table(scored)] if scored else []
    if len(scored) > 1:
        found.insert(1, lead_table(scored[0], scored[1:]))
    return [*found, *([speed_table(speed)] if speed else [])]


def printed(table: Table) -> rich.table.Table:
    """A table for the console."""
    lines = rich.table.Table(title=table.title, caption=table.note, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(table.columns):
        lines.add_column(column, justify="right" if number else "left", min_width=7, overflow="fold")
    for row in table.rows:
        lines.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    return lines


def success_table(runs: Sequence[Run]) -> Table:
    """Success, precision, success by attribute and speed of each contender."""
    rows: list[Row] = [
        ("success", len(runs[0].scored), *(_figure(run, _HEADLINE) for run in runs)),
        ("precision", "", *(_figure(run, "precision") for run in runs)),
    ]
    for name in _attributes(runs):
        rows.append((name, _videos(runs[0], name), *(_figure(run, _HEADLINE, name) for run in runs)))
    rows.append(("fps", "", *(f"{run.speed.get('frames per second', math.nan):.1f}" for run in runs)))
    title = "Success (area under the curve), precision at 20 px, success by attribute"
    return Table(title, ("", "videos", *(run.name for run in runs)), tuple(rows))


def lead_table(first: Run, others: Sequence[Run]) -> Table:
    """By how much success of a run is above that of others, with an interval of confidence, by attribute."""
    leads = [next(each for each in compare(other, first) if each.figure == _HEADLINE) for other in others]
    rows: list[Row] = [
        ("all", *(f"{lead.difference:+.3f}" for lead in leads)),
        ("at least, 95 %", *(f"{lead.low:+.3f}" for lead in leads)),
        ("at most, 95 %", *(f"{lead.high:+.3f}" for lead in leads)),
    ]
    for name in _attributes([first]):
        ours = _figure(first, _HEADLINE, name)
        rows.append((name, *(f"{ours - _figure(other, _HEADLINE, name):+.3f}" for other in others)))
    title = f"By how much {first.name}'s success is above that of"
    return Table(title, ("", *(other.name for other in others)), tuple(rows))


def lost_and_found_table(runs: Sequence[Run]) -> Table:
    """Whether each contender says that its target is gone, only then, and finds it again."""
    counts = [lost_and_found_of(run) for run in runs]
    rows: list[Row] = [
        (name, *(_percent(each.figures[name]) for each in counts)) for name in counts[0].figures
    ]
    first = counts[0]
    note = (
        f"{first.absences} absences, {first.exits} of them out of view, {first.returns} returns, "
        f"{first.entries} of them into view, {first.present} frames with it"
    )
    return Table("Lost and found", ("the target is", *(run.name for run in runs)), tuple(rows), note)


def lost_and_found_of(run: Run) -> LostAndFound:
    """The counts of all videos of a run."""
    return together([LostAndFound(**video.details["lost_and_found"]) for video in run.scored])


def speed_table(speed: Speed) -> Table:
    """What a frame costs the tracker alone."""
    return Table(
        f"HA-Net alone, {speed.bands} bands of {speed.width} x {speed.height}, {speed.engine}",
        ("", "milliseconds", "frames a second", "of one by one"),
        (
            ("one target", f"{speed.milliseconds:.1f}", f"{speed.frames_per_second:.1f}", ""),
            (f"{speed.targets} targets in a batch", f"{speed.batch_milliseconds:.1f}", "", speed.batch_share),
            (f"{speed.targets} targets one by one", f"{speed.singles_milliseconds:.1f}", "", ""),
        ),
    )


def write(
    folder: Path, runs: Sequence[Run], speed: Speed | None, settings: Mapping[str, Any], command: str
) -> None:
    """Write ``hsi.json``, ``hsi.png`` and ``report.html``, and the figures of each run into its folder."""
    machine = this_machine()
    created = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    for run in runs:
        write_run(run, machine, created, command)
    content = {
        "settings": settings,
        "machine": asdict(machine),
        "results": [_plain(run) for run in runs],
        "speed": asdict(speed) if speed else None,
    }
    (folder / "hsi.json").write_text(json.dumps(plain(content), indent=2) + "\n")
    _draw(folder / "hsi.png", runs)
    write_report(runs, folder / "report.html", title="HA-Net and others", tables=tables(runs, speed))


def _draw(path: Path, runs: Sequence[Run]) -> None:
    """Success and precision over their thresholds, and success by attribute."""
    with plot_style("#222222"):
        figure = Figure(figsize=(16, 5.5), layout="constrained")
        curves, attributes = figure.subfigures(1, 2, squeeze=False, width_ratios=(2, 1))[0]
        for axes, chart in zip(curves.subplots(1, 2), charts(runs), strict=False):
            draw_chart(axes, chart)
        for each in bars(runs):
            if each.title == "By attribute":
                draw_bars(attributes.subplots(), each)
        figure.savefig(path, dpi=120)


def _plain(run: Run) -> dict[str, Any]:
    if run.summary is None:
        return {"name": run.name, "failed": _failures(run)}
    return {
        "name": run.name,
        **asdict(run.summary),
        "lost_and_found": {**asdict(lost_and_found_of(run)), **lost_and_found_of(run).figures},
        "frames_per_second": run.speed.get("frames per second", math.nan),
        "by_video": {video.name: video.figures[_HEADLINE] for video in run.scored},
        "failed": _failures(run),
    }


def _failures(run: Run) -> list[str]:
    return [f"{result.name}: {result.error}" for result in run.failed]


def _figure(run: Run, name: str, attribute: str = "") -> float:
    """A figure of all videos of a run, or of those with an attribute; NaN where there are none."""
    if run.summary is None:
        return math.nan
    known = run.summary.by_attribute.get(attribute, {}) if attribute else run.summary.figures
    return known.get(name, math.nan)


def _videos(run: Run, attribute: str) -> int:
    return sum(attribute in video.attributes for video in run.scored)


def _attributes(runs: Sequence[Run]) -> list[str]:
    return sorted({name for run in runs if run.summary for name in run.summary.by_attribute})


def _percent(share: float) -> str:
    return "n/a" if math.isnan(share) else f"{share:.1%}"
