"""`report.html` of an evaluation: one page that opens offline, several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

from tracking_runtime.evaluation.comparison import Difference
from tracking_runtime.evaluation.multi_object import MATCHINGS
from tracking_runtime.evaluation.one_pass import OTB, PRECISION_THRESHOLDS_PX
from tracking_runtime.evaluation.run import EvaluationRun
from tracking_runtime.reports.html import render_page
from tracking_runtime.reports.report_data import (
    Bars,
    Chart,
    Curve,
    Picture,
    Table,
    make_precision_chart,
    make_success_chart,
)
from tracking_runtime.system_info import describe_machine, format_now

_TEMPLATE = "evaluation.html.j2"
_MAX_PICTURES = 12
_MAX_BARS = 40
_COUNT_METRICS = {"IDs", "FP", "FN", "MT", "ML"}
_LOWER_IS_BETTER_METRICS = {"IDs", "FP", "FN", "ML"}
_TOOL_NAMES = {"trackeval": "the definitions of TrackEval", "motmetrics": "py-motmetrics"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: text of the cell.
        value: value by which the column is sorted.
        is_best: True if the value is the best of its row.
    """

    text: str
    value: float | str
    is_best: bool = False


def write_evaluation_report(
    runs: Sequence[EvaluationRun],
    path: Path,
    *,
    title: str = "Evaluation",
    differences: Sequence[Difference] = (),
    tables: Sequence[Table] = (),
    charts: Sequence[Chart] = (),
) -> None:
    """Write the page of one or several runs of one kind.

    Args:
        runs: runs, side by side in this order.
        path: HTML file to write; the pictures of the runs are embedded.
        title: title of the page.
        differences: differences of the metrics of two runs; empty for none.
        tables: additional tables.
        charts: additional charts, after those of the metrics.

    Raises:
        OSError: a picture cannot be read, or the page cannot be written.
    """
    page = render_page(
        _TEMPLATE,
        path.parent,
        title=title,
        created=format_now(),
        machine=describe_machine(),
        runs=runs,
        metric_descriptions=_get_metric_descriptions(runs),
        rules=next((_format_rules(run) for run in runs if run.matching), ""),
        class_rows=list(_make_class_rows(runs)),
        summary_rows=list(_make_summary_rows(runs)),
        charts=[*make_charts(runs), *charts],
        bar_charts=make_bars(runs),
        video_columns=_list_video_columns(runs),
        video_rows=list(_make_video_rows(runs)),
        pictures=_select_worst_pictures(runs, path.parent),
        differences=[(difference, format_difference(difference)) for difference in differences],
        tables=tables,
    )
    path.write_text(page, encoding="utf-8")


def format_metric(run: EvaluationRun, metric: str) -> str:
    """Format a metric of all videos of a run, for users."""
    return "n/a" if run.summary is None else format_value(metric, run.summary.metrics.get(metric, math.nan))


def format_value(metric: str, value: float) -> str:
    """Format the value of a metric, for users: counts without decimals, others with four."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.0f}" if metric in _COUNT_METRICS else f"{value:.4f}"


def format_difference(difference: Difference) -> tuple[str, str]:
    """Format a difference and its confidence interval, for users."""
    digits = 1 if difference.metric in _COUNT_METRICS else 4
    interval = f"{difference.low:+.{digits}f} to {difference.high:+.{digits}f}"
    return f"{difference.difference:+.{digits}f}", "n/a" if math.isnan(difference.low) else interval


def list_classes(runs: Sequence[EvaluationRun]) -> list[str]:
    """Return the classes with metrics in any run; empty if there is only one."""
    names = sorted({name for run in runs if run.summary for name in run.summary.metrics_by_class})
    return names if len(names) > 1 else []


def make_charts(runs: Sequence[EvaluationRun]) -> list[Chart]:
    """Make the success and precision plots of runs with a single target; empty for other runs."""
    plotted = [run for run in runs if run.summary is not None and run.summary.curves]
    if not plotted:
        return []
    success_x = tuple(map(float, OTB.thresholds))
    precision_x = tuple(map(float, PRECISION_THRESHOLDS_PX))
    return [
        make_success_chart(_make_curve(run, "success", success_x) for run in plotted),
        make_precision_chart(_make_curve(run, "precision", precision_x) for run in plotted),
    ]


def make_bars(runs: Sequence[EvaluationRun]) -> list[Bars]:
    """Make bar charts of the first metric, by attribute and by video."""
    metric = _get_headline_metric(runs)
    attributes = _list_attributes(runs)
    by_attribute = {
        run.name: tuple(
            _get_plot_value(run.summary.metrics_by_attribute.get(name, {}), metric) for name in attributes
        )
        for run in runs
        if run.summary
    }
    videos = _list_videos(runs)[:_MAX_BARS]
    by_video = {}
    for run in runs:
        metrics = {video.name: video.metrics for video in run.scored_videos}
        by_video[run.name] = tuple(_get_plot_value(metrics.get(name, {}), metric) for name in videos)
    charts = (("By attribute", attributes, by_attribute), ("By video", videos, by_video))
    return [Bars(title, metric, tuple(rows), series) for title, rows, series in charts if len(rows) > 1]


def _get_metric_descriptions(runs: Sequence[EvaluationRun]) -> Mapping[str, str]:
    """Return the description of each metric by name, in the order of the report."""
    for run in runs:
        if run.summary:
            return run.metric_descriptions
    return runs[0].metric_descriptions if runs else {}


def _get_headline_metric(runs: Sequence[EvaluationRun]) -> str:
    return next(iter(_get_metric_descriptions(runs)))


def _make_summary_rows(runs: Sequence[EvaluationRun]) -> Iterator[tuple[str, list[Cell]]]:
    """Yield a row per metric, then a row per attribute, each with a cell per run."""
    for metric in _get_metric_descriptions(runs):
        yield (
            metric,
            _make_compared_cells(metric, [run.summary.metrics if run.summary else {} for run in runs]),
        )
    headline = _get_headline_metric(runs)
    for attribute in _list_attributes(runs):
        metrics = [run.summary.metrics_by_attribute.get(attribute, {}) if run.summary else {} for run in runs]
        yield f"{headline}, {attribute}", _make_compared_cells(headline, metrics)


def _format_rules(run: EvaluationRun) -> str:
    """Format how objects and tracks were matched and which tool computed the metrics."""
    return f"{MATCHINGS[run.matching].name}, CLEAR and identity by {_TOOL_NAMES[run.clear_by]}"


def _make_class_rows(runs: Sequence[EvaluationRun]) -> Iterator[list[Cell]]:
    """Yield a row with all metrics per class and run."""
    for name in list_classes(runs):
        for run in runs:
            metrics = run.summary.metrics_by_class.get(name, {}) if run.summary else {}
            label = f"{name}, {run.name}" if len(runs) > 1 else name
            values = {metric: metrics.get(metric, math.nan) for metric in _get_metric_descriptions(runs)}
            cells = [Cell(format_value(metric, value), value) for metric, value in values.items()]
            yield [Cell(label, label), *cells]


def _list_attributes(runs: Sequence[EvaluationRun]) -> list[str]:
    return sorted({name for run in runs if run.summary for name in run.summary.metrics_by_attribute})


def _make_compared_cells(metric: str, metrics_of_runs: Sequence[Mapping[str, float]]) -> list[Cell]:
    """Make a cell per run with the value of a metric. The best of several values is marked."""
    values = [metrics.get(metric, math.nan) for metrics in metrics_of_runs]
    finite_values = [value for value in values if not math.isnan(value)]
    choose_best = min if metric in _LOWER_IS_BETTER_METRICS else max
    best = choose_best(finite_values) if len(finite_values) > 1 else None
    return [Cell(format_value(metric, value), value, value == best) for value in values]


def _make_curve(run: EvaluationRun, metric: str, x: tuple[float, ...]) -> Curve:
    assert run.summary is not None
    return Curve(f"{run.name} [{run.summary.metrics[metric]:.3f}]", x, run.summary.curves[metric])


def _get_plot_value(metrics: Mapping[str, float], metric: str) -> float:
    """Return the value of a metric; 0 if it is missing or NaN."""
    value = metrics.get(metric, 0.0)
    return 0.0 if math.isnan(value) else value


def _list_videos(runs: Sequence[EvaluationRun]) -> list[str]:
    return sorted({video.name for run in runs for video in run.scored_videos})


def _list_video_columns(runs: Sequence[EvaluationRun]) -> list[str]:
    values = list(_get_metric_descriptions(runs)) if len(runs) == 1 else [run.name for run in runs]
    return ["video", "frames", *(["attributes"] if _list_attributes(runs) else []), *values]


def _make_video_rows(runs: Sequence[EvaluationRun]) -> Iterator[list[Cell]]:
    """Yield a row per video: all metrics of a single run, or the first metric of several runs."""
    has_attributes = bool(_list_attributes(runs))
    for name in _list_videos(runs):
        videos = [next((video for video in run.scored_videos if video.name == name), None) for run in runs]
        video = next(video for video in videos if video is not None)
        if len(runs) == 1:
            values = {metric: video.metrics[metric] for metric in _get_metric_descriptions(runs)}
            cells = [Cell(format_value(metric, value), value) for metric, value in values.items()]
        else:
            metrics_of_runs = [video.metrics if video else {} for video in videos]
            cells = _make_compared_cells(_get_headline_metric(runs), metrics_of_runs)
        attributes = " ".join(video.attributes)
        attribute_cells = [Cell(attributes, attributes)] if has_attributes else []
        yield [Cell(name, name), Cell(str(video.num_frames), video.num_frames), *attribute_cells, *cells]


def _select_worst_pictures(runs: Sequence[EvaluationRun], folder: Path) -> list[Picture]:
    """Return the pictures of the worst frames of all runs, worst first.

    Args:
        runs: runs with pictures.
        folder: folder to which the paths of the pictures are relative.
    """
    candidates = []
    for run in runs:
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        for result in run.results:
            if result.picture and result.scores is not None:
                error = max(value for value in result.scores.frame_errors if not math.isnan(value))
                path = relpath(run.folder / result.picture, folder)
                candidates.append((error, Picture(path, f"{prefix}{result.caption}")))
    candidates.sort(key=lambda candidate: -candidate[0])
    return [picture for _, picture in candidates[:_MAX_PICTURES]]
