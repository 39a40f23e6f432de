"""Report of the benchmark: console table, charts and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from spax_ros.benchmark.run import FrameCosts, TrackerResult
from tracking_runtime.reports.plots import PALETTE, use_plot_style
from tracking_runtime.system_info import describe_machine

_GROUP_ORDER = ("execution", "memory", "association", "detector")  # exchanged parts, as in tables


def sort_by_group(results: Sequence[TrackerResult]) -> list[TrackerResult]:
    """Return the results with the reference first and the others grouped by the exchanged part."""
    return sorted(
        results, key=lambda result: -1 if not result.exchanged else _GROUP_ORDER.index(result.exchanged)
    )


def make_table(results: Sequence[TrackerResult]) -> Table:
    """Return a table with one row per tracker. GMAC: 10^9 multiply-accumulate operations per frame."""
    title = "SPAX with one part exchanged; match: IoU >= 0.3"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for column in ("MOTA", "IDF1", "HOTA", "IDs", "FP", "FN", "GMAC", "active", "ms"):
        table.add_column(column, justify="right", no_wrap=True)
    group = ""
    for result in sort_by_group(results):
        if result.exchanged != group:
            group = result.exchanged
            table.add_section()
            table.add_row(f"[bold]{group}[/]")
        table.add_row(*_make_cells(result))
    return table


def _make_cells(result: TrackerResult) -> list[str]:
    scores = result.scores
    return [
        result.name,
        *(f"{value:.3f}" for value in (scores.mota, scores.idf1, scores.hota)),
        *(str(count) for count in (scores.identity_switches, scores.false_positives, scores.misses)),
        _format_optional(result.operations / 1e9, "{:.2f}"),
        _format_optional(result.active_share, "{:.1%}"),
        f"{result.milliseconds:.0f}",
    ]


def write_report(
    folder: Path, results: Sequence[TrackerResult], costs: FrameCosts, settings: dict[str, Any]
) -> None:
    """Write `satellite.json` and `satellite.png`.

    Args:
        folder: folder of the report, created if missing.
        results: results of the trackers.
        costs: cost of each frame of the reference.
        settings: options of the benchmark, written to `satellite.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    constant, slope = costs.fit_line()
    content = {
        "settings": settings,
        "machine": asdict(describe_machine()),
        "results": [_result_to_json(result) for result in sort_by_group(results)],
        "cost": {"ms_without_active_pixels": constant, "ms_per_1000_active_pixels": 1000 * slope},
        "frames": asdict(costs),
    }
    (folder / "satellite.json").write_text(json.dumps(content, indent=2) + "\n")
    with use_plot_style("#222222"):
        figure = Figure(figsize=(13, 4.2), layout="constrained")
        score_axes, time_axes, cost_axes = figure.subplots(1, 3)
        _draw_scores(score_axes, sort_by_group(results))
        _draw_accuracy_over_time(time_axes, sort_by_group(results))
        _draw_costs(cost_axes, costs)
        figure.savefig(folder / "satellite.png", dpi=120)


def _draw_scores(axes: Axes, results: Sequence[TrackerResult]) -> None:
    positions = np.arange(len(results))
    for index, name in enumerate(("mota", "idf1")):
        values = [getattr(result.scores, name) for result in results]
        axes.barh(positions + 0.4 * index - 0.2, values, 0.36, color=PALETTE[index], label=name.upper())
    axes.set_yticks(positions, [result.name for result in results])
    axes.invert_yaxis()
    axes.set_xlim(right=1)
    axes.grid(False, axis="y")
    axes.set_title("Accuracy")
    axes.legend(loc="lower right")


def _draw_accuracy_over_time(axes: Axes, results: Sequence[TrackerResult]) -> None:
    measured_results = [result for result in results if result.exchanged != "association"]
    for index, result in enumerate(measured_results):
        color = PALETTE[index % len(PALETTE)]
        marker = "os^D"[index // len(PALETTE) % 4]
        axes.plot(result.milliseconds, result.scores.mota, marker, color=color, label=result.name)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="milliseconds per frame", ylabel="MOTA", title="Accuracy and time")
    axes.legend(fontsize=8)


def _draw_costs(axes: Axes, costs: FrameCosts) -> None:
    constant, slope = costs.fit_line()
    line_x = np.array([0, max(costs.active_pixels)])
    axes.plot(costs.active_pixels, costs.milliseconds, ".", color=PALETTE[0], alpha=0.5, label="frame")
    axes.plot(
        line_x,
        constant + slope * line_x,
        color=PALETTE[1],
        label=f"{constant:.0f} ms + {1000 * slope:.1f} ms / 1000 px",
    )
    axes.set(xlabel="active pixels", ylabel="milliseconds per frame", title="Time by active pixels")
    axes.set_ylim(0, float(np.percentile(costs.milliseconds, 99)) * 1.2)
    axes.legend(loc="upper left")


def _format_optional(value: float, template: str) -> str:
    return "" if math.isnan(value) else template.format(value)


def _result_to_json(result: TrackerResult) -> dict[str, Any]:
    values = asdict(result)
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }
