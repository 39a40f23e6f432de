"""Plots as SVG that takes the colours of the page it stands in, and onto any axes."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tracking_runtime.overlay import color_of
from tracking_runtime.reports.report_data import Bars, Chart, WayMap
from tracking_runtime.timing import StageSummary

PALETTE = (
    *("#2f7ed8", "#e8710a", "#12a370", "#b54fc4", "#d43f3a"),
    *("#8a6d3b", "#e377c2", "#7f8c8d", "#a3b51a", "#17a2b8"),
)
_INK = "#010203"  # stands for the page's text colour, which it becomes in the SVG
_FONTS = ["DejaVu Sans"]
_DARKER = 0.82
_LEGEND_COLUMNS, _LEGEND_LINE_PT = 3, 14


@contextmanager
def plot_style(ink: str) -> Iterator[None]:
    """Settings for all plots, with text and axes in one colour."""
    settings: dict[Any, Any] = {
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "font.family": _FONTS,
        "font.size": 9.5,
        "grid.alpha": 0.16,
        "grid.color": ink,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "remote_sensing_tracking",
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
    }
    with matplotlib.rc_context(settings):
        yield


def draw_chart(axes: Axes, chart: Chart) -> None:
    """Curves, as success and precision plots are drawn."""
    for index, curve in enumerate(chart.curves):
        axes.plot(curve.x, curve.y, color=PALETTE[index % len(PALETTE)], linewidth=2, label=curve.label)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label, title=chart.title)
    axes.margins(x=0)
    if chart.y_limits:
        axes.set_ylim(*chart.y_limits)
    axes.legend(loc="best", fontsize=8.5)


def draw_stages(axes: Axes, stages: Mapping[str, StageSummary]) -> None:
    """Duration of each stage: a bar to the median, a line on to the 95th percentile."""
    names = list(stages)
    medians = [stages[name].p50 for name in names]
    highs = [max(stages[name].p95, stages[name].p50) for name in names]
    places = range(len(names))
    axes.barh(places, highs, height=0.28, color=PALETTE[0], alpha=0.35)
    axes.barh(places, medians, height=0.6, color=PALETTE[0])
    room = max(highs, default=1.0) * 0.02
    for place, median, high in zip(places, medians, highs, strict=True):
        axes.text(high + room, place, f"{median:.1f} · {high:.1f}", va="center", fontsize=8.5)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.grid(False, axis="y")
    axes.set(xlabel="milliseconds: median · 95th percentile", title="Duration of each stage")


def draw_ways(axes: Axes, ways: WayMap) -> None:
    """The true ways as broad grey lines, the tracked ones coloured by identity on top."""
    for way in ways.truth:
        axes.plot(way.x, way.y, color="#8a8f98", alpha=0.45, linewidth=4, solid_capstyle="round")
    for way in ways.tracks:
        blue, green, red = color_of(way.number)
        color = (red / 255 * _DARKER, green / 255 * _DARKER, blue / 255 * _DARKER)
        axes.plot(way.x, way.y, color=color, linewidth=1.2)
        axes.plot(way.x[-1:], way.y[-1:], "o", color=color, markersize=2.4)
    axes.set(xlim=(0, ways.width), ylim=(ways.height, 0), aspect="equal", title=ways.title)
    axes.set_xlabel("x [px]; grey: truth, coloured: tracks")
    axes.set_ylabel("y [px]")


def draw_bars(axes: Axes, bars: Bars) -> None:
    """A horizontal bar for each row, or where there are several series a dot for each of them."""
    rows = range(len(bars.rows))
    several = len(bars.series) > 1
    for index, (label, values) in enumerate(bars.series.items()):
        color = PALETTE[index % len(PALETTE)]
        if several:
            axes.plot(values, rows, "o", color=color, markersize=5.5, alpha=0.85, label=label)
        else:
            axes.barh(rows, values, height=0.8, color=color)
    axes.set_yticks(rows, bars.rows)
    axes.set_ylim(len(bars.rows) - 0.4, -0.6)
    axes.grid(several, axis="y")
    axes.set(xlabel=bars.x_label)
    axes.set_title(bars.title, pad=6 + _LEGEND_LINE_PT * _legend_lines(bars))
    if several:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=_LEGEND_COLUMNS, fontsize=8.5
        )


def _legend_lines(bars: Bars) -> int:
    return math.ceil(len(bars.series) / _LEGEND_COLUMNS) if len(bars.series) > 1 else 0


def chart_svg(chart: Chart) -> str:
    """A chart as an SVG element."""
    return _svg(lambda axes: draw_chart(axes, chart), chart.title, (4.6, 3.3))


def stages_svg(stages: Mapping[str, StageSummary]) -> str:
    """The stages' durations as an SVG element."""
    return _svg(
        lambda axes: draw_stages(axes, stages), "Duration of each stage", (4.6, 1.3 + 0.34 * len(stages))
    )


def ways_svg(ways: WayMap) -> str:
    """A map of ways as an SVG element."""
    return _svg(lambda axes: draw_ways(axes, ways), ways.title, (4.6, 0.9 + 3.9 * ways.height / ways.width))


def bars_svg(bars: Bars) -> str:
    """Bars as an SVG element."""
    height = 1.0 + _LEGEND_LINE_PT / 72 * _legend_lines(bars) + 0.25 * len(bars.rows)
    return _svg(lambda axes: draw_bars(axes, bars), bars.title, (4.6, height))


def _svg(draw: Callable[[Axes], None], title: str, inches: tuple[float, float]) -> str:
    with plot_style(_INK):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r' xmlns(?::\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
