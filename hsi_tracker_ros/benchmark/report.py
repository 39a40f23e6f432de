"""Report of the benchmark: console tables, charts, an HTML page and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich.table
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD

from hsi_tracker_ros.benchmark.speed import TrackerSpeed
from hsi_tracker_ros.benchmark.trackers import CONTROL, REFERENCE, RGB_CONTROL, RGB_DEFAULT_SETTINGS
from tracking_runtime.evaluation.comparison import Difference, compare_runs
from tracking_runtime.evaluation.lost_and_found import LostAndFound, combine_lost_and_found
from tracking_runtime.evaluation.reliability import Reliability, combine_reliabilities
from tracking_runtime.evaluation.run import EvaluationRun, write_run
from tracking_runtime.io.json_data import to_json_data
from tracking_runtime.reports.evaluation_report import make_bars, make_charts, write_evaluation_report
from tracking_runtime.reports.plots import draw_bars, draw_chart, use_plot_style
from tracking_runtime.reports.report_data import Chart, Curve, Table
from tracking_runtime.system_info import describe_machine, format_now

_MAIN_METRIC = "success"  # metric by which trackers are compared

Row = tuple[str | int | float, ...]


def make_tables(runs: Sequence[EvaluationRun], speed: TrackerSpeed | None) -> list[Table]:
    """Return the tables of the report.

    Args:
        runs: one run per tracker. The others are compared with the first.
        speed: speed of HA-Net's tracker; None if not measured.
    """
    scored_runs = [run for run in runs if run.summary is not None]
    tables = []
    if scored_runs:
        tables.append(make_metrics_table(scored_runs))
    if len(scored_runs) > 1:
        tables.append(make_difference_table(scored_runs[0], scored_runs[1:]))
    tables.extend(make_control_tables(scored_runs))
    if scored_runs:
        tables.append(make_lost_and_found_table(scored_runs))
        tables.extend(make_reliability_tables(scored_runs))
    if speed:
        tables.append(make_speed_table(speed))
    return tables


def make_console_table(table: Table) -> rich.table.Table:
    """Convert a table of the report for the console."""
    console_table = rich.table.Table(
        title=table.title, caption=table.note, box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for index, column in enumerate(table.columns):
        console_table.add_column(column, justify="right" if index else "left", min_width=7, overflow="fold")
    for row in table.rows:
        console_table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    return console_table


def make_metrics_table(runs: Sequence[EvaluationRun]) -> Table:
    """Return a table with a column per tracker: success, precision, success by attribute, speed."""
    rows: list[Row] = [
        ("success", len(runs[0].scored_videos), *(_get_metric(run, _MAIN_METRIC) for run in runs)),
        ("precision", "", *(_get_metric(run, "precision") for run in runs)),
    ]
    for name in _list_attributes(runs):
        rows.append(
            (name, _count_videos(runs[0], name), *(_get_metric(run, _MAIN_METRIC, name) for run in runs))
        )
    rows.append(("fps", "", *(f"{run.speed.get('frames per second', math.nan):.1f}" for run in runs)))
    title = "Success (area under the curve), precision at 20 px, success by attribute"
    return Table(title, ("", "videos", *(run.name for run in runs)), tuple(rows))


def make_difference_table(reference: EvaluationRun, others: Sequence[EvaluationRun]) -> Table:
    """Return a table of the reference's lead in success, with its confidence interval and by attribute.

    Args:
        reference: run of the reference tracker.
        others: runs of the other trackers, one column each.
    """
    differences = [_compare_main_metric(other, reference) for other in others]
    rows: list[Row] = [
        ("all", *(f"{difference.difference:+.3f}" for difference in differences)),
        ("lower bound, 95 %", *(f"{difference.low:+.3f}" for difference in differences)),
        ("upper bound, 95 %", *(f"{difference.high:+.3f}" for difference in differences)),
    ]
    for name in _list_attributes([reference]):
        success = _get_metric(reference, _MAIN_METRIC, name)
        rows.append((name, *(f"{success - _get_metric(other, _MAIN_METRIC, name):+.3f}" for other in others)))
    title = f"Success of {reference.name} minus that of"
    return Table(title, ("", *(other.name for other in others)), tuple(rows))


def make_control_tables(runs: Sequence[EvaluationRun]) -> list[Table]:
    """Return a table of the gain of spectra, and of many bands over three; none without the control."""
    by_name = {run.name: run for run in runs}
    pairs = {
        "camera's bands over false color": (RGB_DEFAULT_SETTINGS, REFERENCE),
        "three channels over their false color": (RGB_CONTROL, CONTROL),
        "camera's bands over three channels": (CONTROL, REFERENCE),
    }
    rows: list[Row] = []
    for title, (baseline, name) in pairs.items():
        if baseline in by_name and name in by_name:
            difference = _compare_main_metric(by_name[baseline], by_name[name])
            rows.append(
                (
                    title,
                    *(f"{value:+.3f}" for value in (difference.difference, difference.low, difference.high)),
                )
            )
    if CONTROL not in by_name or not rows:
        return []
    note = "HA-Net against its RGB branch, and against itself with three broad channels"
    columns = ("", "success", "lower bound, 95 %", "upper bound, 95 %")
    return [Table("Gain of spectra", columns, tuple(rows), note)]


def _compare_main_metric(baseline: EvaluationRun, run: EvaluationRun) -> Difference:
    return next(comparison for comparison in compare_runs(baseline, run) if comparison.metric == _MAIN_METRIC)


def make_lost_and_found_table(runs: Sequence[EvaluationRun]) -> Table:
    """Return a table of how reliably each tracker reports its target as lost and finds the target again."""
    counts = [count_lost_and_found(run) for run in runs]
    rows: list[Row] = [
        (name, *(_format_percent(tracker_counts.metrics[name]) for tracker_counts in counts))
        for name in counts[0].metrics
    ]
    events = counts[0]
    note = (
        f"{events.absences} absences, {events.exits} of them out of view; {events.returns} returns, "
        f"{events.entries} of them into view; {events.present} frames with the target"
    )
    return Table("Lost and found", ("the target is", *(run.name for run in runs)), tuple(rows), note)


def count_lost_and_found(run: EvaluationRun) -> LostAndFound:
    """Return the lost-and-found counts of all videos of a run."""
    return combine_lost_and_found(
        [LostAndFound(**video.details["lost_and_found"]) for video in run.scored_videos]
    )


def make_reliability_tables(runs: Sequence[EvaluationRun]) -> list[Table]:
    """Return a table of how well the scores of the trackers are calibrated; none without scores."""
    reliabilities = _collect_reliabilities(runs)
    if not reliabilities:
        return []
    row = [reliability.expected_calibration_error for reliability in reliabilities.values()]
    note = "mean difference between the score and the fraction of boxes with an overlap of at least 0.5"
    table = Table("Calibration of the scores", ("", *reliabilities), (("expected error", *row),), note)
    return [table]


def make_reliability_chart(runs: Sequence[EvaluationRun]) -> Chart | None:
    """Return the reliability diagram of the trackers with scores; None without such trackers."""
    curves = [
        _make_reliability_curve(name, reliability)
        for name, reliability in _collect_reliabilities(runs).items()
    ]
    if not curves:
        return None
    ideal = Curve("calibrated", (0.0, 1.0), (0.0, 1.0))
    return Chart("Reliability", "score", "fraction of correct boxes", (ideal, *curves), (0.0, 1.0))


def _make_reliability_curve(name: str, reliability: Reliability) -> Curve:
    points = [
        (score, fraction)
        for score, fraction, count in zip(
            reliability.mean_scores, reliability.fractions_correct, reliability.counts, strict=True
        )
        if count
    ]
    scores, fractions = zip(*points, strict=True)
    return Curve(f"{name} ({reliability.expected_calibration_error:.3f})", scores, fractions)


def _collect_reliabilities(runs: Sequence[EvaluationRun]) -> dict[str, Reliability]:
    """Return the reliability of all videos of each tracker with scores."""
    combined = {
        run.name: combine_reliabilities(
            [Reliability(**video.details["reliability"]) for video in run.scored_videos]
        )
        for run in runs
        if run.summary is not None
    }
    return {name: reliability for name, reliability in combined.items() if sum(reliability.counts)}


def make_speed_table(speed: TrackerSpeed) -> Table:
    """Return a table of the time that HA-Net's tracker needs for a frame."""
    return Table(
        f"Speed of HA-Net, {speed.bands} bands of {speed.width} x {speed.height}, {speed.engine}",
        ("", "milliseconds", "frames per second", "ratio to one by one"),
        (
            ("one target", f"{speed.milliseconds:.1f}", f"{speed.frames_per_second:.1f}", ""),
            (
                f"{speed.targets} targets in a batch",
                f"{speed.batch_milliseconds:.1f}",
                "",
                speed.batch_time_ratio,
            ),
            (f"{speed.targets} targets one by one", f"{speed.singles_milliseconds:.1f}", "", ""),
        ),
    )


def write_report(
    folder: Path,
    runs: Sequence[EvaluationRun],
    speed: TrackerSpeed | None,
    settings: Mapping[str, Any],
    command: str,
    *,
    name: str = "hsi",
    title: str = "HA-Net and others",
) -> None:
    """Write `NAME.json`, `NAME.png` and `report.html`, and the scores of each run into the run's folder.

    Args:
        folder: folder of the report.
        runs: one run per tracker.
        speed: speed of HA-Net's tracker; None if not measured.
        settings: options of the benchmark, written to `NAME.json`.
        command: command line, written to the `run.json` of each run.
        name: name of the benchmark.
        title: title of the page.
    """
    machine = describe_machine()
    created = format_now()
    for run in runs:
        write_run(run, machine, created, command)
    content = {
        "settings": settings,
        "machine": asdict(machine),
        "results": [_run_to_json(run) for run in runs],
        "speed": asdict(speed) if speed else None,
    }
    (folder / f"{name}.json").write_text(json.dumps(to_json_data(content), indent=2) + "\n")
    _draw_charts(folder / f"{name}.png", runs)
    reliability = make_reliability_chart(runs)
    write_evaluation_report(
        runs,
        folder / "report.html",
        title=title,
        tables=make_tables(runs, speed),
        charts=[reliability] if reliability else [],
    )


def _draw_charts(path: Path, runs: Sequence[EvaluationRun]) -> None:
    """Draw success and precision over their thresholds, and success by attribute."""
    with use_plot_style("#222222"):
        figure = Figure(figsize=(16, 5.5), layout="constrained")
        curve_figure, bar_figure = figure.subfigures(1, 2, squeeze=False, width_ratios=(2, 1))[0]
        for axes, chart in zip(curve_figure.subplots(1, 2), make_charts(runs), strict=False):
            draw_chart(axes, chart)
        for bars in make_bars(runs):
            if bars.title == "By attribute":
                draw_bars(bar_figure.subplots(), bars)
        figure.savefig(path, dpi=120)


def _run_to_json(run: EvaluationRun) -> dict[str, Any]:
    if run.summary is None:
        return {"name": run.name, "failed": _list_failures(run)}
    counts = count_lost_and_found(run)
    return {
        "name": run.name,
        **run.summary.to_json(),
        "lost_and_found": {**asdict(counts), **counts.metrics},
        "reliability": asdict(
            combine_reliabilities(
                [Reliability(**video.details["reliability"]) for video in run.scored_videos]
            )
        ),
        "frames_per_second": run.speed.get("frames per second", math.nan),
        "by_video": {video.name: video.metrics[_MAIN_METRIC] for video in run.scored_videos},
        "failed": _list_failures(run),
    }


def _list_failures(run: EvaluationRun) -> list[str]:
    return [f"{result.name}: {result.error}" for result in run.failed_results]


def _get_metric(run: EvaluationRun, name: str, attribute: str = "") -> float:
    """Return a metric of a run; NaN if not available.

    Args:
        run: run of a tracker.
        name: name of the metric.
        attribute: attribute whose videos count; empty: all videos.
    """
    if run.summary is None:
        return math.nan
    metrics = run.summary.metrics_by_attribute.get(attribute, {}) if attribute else run.summary.metrics
    return metrics.get(name, math.nan)


def _count_videos(run: EvaluationRun, attribute: str) -> int:
    return sum(attribute in video.attributes for video in run.scored_videos)


def _list_attributes(runs: Sequence[EvaluationRun]) -> list[str]:
    return sorted({name for run in runs if run.summary for name in run.summary.metrics_by_attribute})


def _format_percent(fraction: float) -> str:
    return "n/a" if math.isnan(fraction) else f"{fraction:.1%}"
