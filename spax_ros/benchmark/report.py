"""A benchmark's figures as a table for people, a picture, and JSON for programs."""

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

from spax_ros.benchmark.run import Costs, Result
from tracking_runtime.reports.plots import PALETTE, plot_style
from tracking_runtime.system_info import this_machine

_GROUPS = ("execution", "memory", "association", "detector")


def in_groups(results: Sequence[Result]) -> list[Result]:
    """The reference first, then the others by what is exchanged in them."""
    return sorted(results, key=lambda result: -1 if not result.exchanged else _GROUPS.index(result.exchanged))


def table(results: Sequence[Result]) -> Table:
    """One line for each contender; GMAC are the network's operations, in billions a frame."""
    title = "SPAX with one part exchanged; match: IoU >= 0.3"
    lines = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    lines.add_column("", no_wrap=True)
    for column in ("MOTA", "IDF1", "HOTA", "IDs", "FP", "FN", "GMAC", "active", "ms"):
        lines.add_column(column, justify="right", no_wrap=True)
    group = ""
    for result in in_groups(results):
        if result.exchanged != group:
            group = result.exchanged
            lines.add_section()
            lines.add_row(f"[bold]{group}[/]")
        lines.add_row(*_cells(result))
    return lines


def _cells(result: Result) -> list[str]:
    scores = result.scores
    return [
        result.name,
        *(f"{value:.3f}" for value in (scores.mota, scores.idf1, scores.hota)),
        *(str(count) for count in (scores.identity_switches, scores.false_positives, scores.misses)),
        _text(result.operations / 1e9, "{:.2f}"),
        _text(result.active_share, "{:.1%}"),
        f"{result.milliseconds:.0f}",
    ]


def write(folder: Path, results: Sequence[Result], costs: Costs, settings: dict[str, Any]) -> None:
    """Write ``satellite.json`` and ``satellite.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    constant, slope = costs.line()
    content = {
        "settings": settings,
        "machine": asdict(this_machine()),
        "results": [_plain(result) for result in in_groups(results)],
        "cost": {"ms_without_active_pixels": constant, "ms_per_1000_active_pixels": 1000 * slope},
        "frames": asdict(costs),
    }
    (folder / "satellite.json").write_text(json.dumps(content, indent=2) + "\n")
    with plot_style("#222222"):
        figure = Figure(figsize=(13, 4.2), layout="constrained")
        scores, times, growth = figure.subplots(1, 3)
        _draw_scores(scores, in_groups(results))
        _draw_times(times, in_groups(results))
        _draw_costs(growth, costs)
        figure.savefig(folder / "satellite.png", dpi=120)


def _draw_scores(axes: Axes, results: Sequence[Result]) -> None:
    places = np.arange(len(results))
    for number, name in enumerate(("mota", "idf1")):
        values = [getattr(result.scores, name) for result in results]
        axes.barh(places + 0.4 * number - 0.2, values, 0.36, color=PALETTE[number], label=name.upper())
    axes.set_yticks(places, [result.name for result in results])
    axes.invert_yaxis()
    axes.set_xlim(right=1)
    axes.grid(False, axis="y")
    axes.set_title("Accuracy")
    axes.legend(loc="lower right")


def _draw_times(axes: Axes, results: Sequence[Result]) -> None:
    for number, result in enumerate(result for result in results if result.exchanged != "association"):
        color, marker = PALETTE[number % len(PALETTE)], "os^D"[number // len(PALETTE) % 4]
        axes.plot(result.milliseconds, result.scores.mota, marker, color=color, label=result.name)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="milliseconds a frame", ylabel="MOTA", title="Accuracy and time")
    axes.legend(fontsize=8)


def _draw_costs(axes: Axes, costs: Costs) -> None:
    constant, slope = costs.line()
    ends = np.array([0, max(costs.active_pixels)])
    axes.plot(costs.active_pixels, costs.milliseconds, ".", color=PALETTE[0], alpha=0.5, label="a frame")
    axes.plot(
        ends,
        constant + slope * ends,
        color=PALETTE[1],
        label=f"{constant:.0f} ms + {1000 * slope:.1f} ms / 1000 px",
    )
    axes.set(xlabel="active pixels", ylabel="milliseconds a frame", title="Cost follows what moves")
    axes.set_ylim(0, float(np.percentile(costs.milliseconds, 99)) * 1.2)
    axes.legend(loc="upper left")


def _text(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)


def _plain(result: Result) -> dict[str, Any]:
    values = asdict(result)
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }
