"""Plots: drawn onto axes, or rendered as SVG in the text color of the page."""

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

from tracking_runtime.overlay import compute_track_color
from tracking_runtime.reports.report_data import Bars, Chart, TrajectoryMap
from tracking_runtime.timing import StageSummary

PALETTE = (
    *("#2f7ed8", "#e8710a", "#12a370", "#b54fc4", "#d43f3a"),
    *("#8a6d3b", "#e377c2", "#7f8c8d", "#a3b51a", "#17a2b8"),
)
_TEXT_COLOR = "#010203"  # placeholder that the SVG replaces with the text color of the page
_TRUTH_COLOR = "#8a8f98"
_FONTS = ["DejaVu Sans"]
_TRACK_BRIGHTNESS = 0.82  # factor of the track colors, which are made for dark images
_LEGEND_COLUMNS = 3
_LEGEND_LINE_POINTS = 14  # height of a line of the legend
_PLOT_WIDTH_INCHES = 4.6


@contextmanager
def use_plot_style(text_color: str) -> Iterator[None]:
    """Set the style of all plots in the block.

    Args:
        text_color: color of text and axes.
    """
    settings: dict[Any, Any] = {
        "axes.edgecolor": text_color,
        "axes.labelcolor": text_color,
        "axes.titlecolor": text_color,
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
        "grid.color": text_color,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "remote_sensing_tracking",
        "text.color": text_color,
        "xtick.color": text_color,
        "ytick.color": text_color,
    }
    with matplotlib.rc_context(settings):
        yield


def draw_chart(axes: Axes, chart: Chart) -> None:
    """Draw the curves of a chart."""
    for index, curve in enumerate(chart.curves):
        axes.plot(curve.x, curve.y, color=PALETTE[index % len(PALETTE)], linewidth=2, label=curve.label)
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label, title=chart.title)
    axes.margins(x=0)
    if chart.y_limits:
        axes.set_ylim(*chart.y_limits)
    axes.legend(loc="best", fontsize=8.5)


def draw_stages(axes: Axes, stages: Mapping[str, StageSummary]) -> None:
    """Draw the duration of each stage: a dark bar to the median, a light one to the 95th percentile."""
    names = list(stages)
    medians = [stages[name].p50 for name in names]
    high_values = [max(stages[name].p95, stages[name].p50) for name in names]
    positions = range(len(names))
    axes.barh(positions, high_values, height=0.28, color=PALETTE[0], alpha=0.35)
    axes.barh(positions, medians, height=0.6, color=PALETTE[0])
    text_gap = max(high_values, default=1.0) * 0.02
    for position, median, high in zip(positions, medians, high_values, strict=True):
        axes.text(high + text_gap, position, f"{median:.1f} · {high:.1f}", va="center", fontsize=8.5)
    axes.set_yticks(positions, names)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.grid(False, axis="y")
    axes.set(xlabel="milliseconds: median · 95th percentile", title="Duration of each stage")


def draw_trajectories(axes: Axes, trajectories: TrajectoryMap) -> None:
    """Draw true trajectories as broad gray lines, and tracked ones on top in the color of their id."""
    for truth in trajectories.truth:
        axes.plot(truth.x, truth.y, color=_TRUTH_COLOR, alpha=0.45, linewidth=4, solid_capstyle="round")
    for track in trajectories.tracks:
        blue, green, red = compute_track_color(track.number)
        color = (
            red / 255 * _TRACK_BRIGHTNESS,
            green / 255 * _TRACK_BRIGHTNESS,
            blue / 255 * _TRACK_BRIGHTNESS,
        )
        axes.plot(track.x, track.y, color=color, linewidth=1.2)
        axes.plot(track.x[-1:], track.y[-1:], "o", color=color, markersize=2.4)
    axes.set(
        xlim=(0, trajectories.width),
        ylim=(trajectories.height, 0),
        aspect="equal",
        title=trajectories.title,
    )
    axes.set_xlabel("x [px]; gray: truth, colored: tracks")
    axes.set_ylabel("y [px]")


def draw_bars(axes: Axes, bars: Bars) -> None:
    """Draw a horizontal bar per row, or, with several series, a dot per row and series."""
    rows = range(len(bars.rows))
    has_several_series = len(bars.series) > 1
    for index, (label, values) in enumerate(bars.series.items()):
        color = PALETTE[index % len(PALETTE)]
        if has_several_series:
            axes.plot(values, rows, "o", color=color, markersize=5.5, alpha=0.85, label=label)
        else:
            axes.barh(rows, values, height=0.8, color=color)
    axes.set_yticks(rows, bars.rows)
    axes.set_ylim(len(bars.rows) - 0.4, -0.6)
    axes.grid(has_several_series, axis="y")
    axes.set(xlabel=bars.x_label)
    axes.set_title(bars.title, pad=6 + _LEGEND_LINE_POINTS * _count_legend_lines(bars))
    if has_several_series:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=_LEGEND_COLUMNS, fontsize=8.5
        )


def _count_legend_lines(bars: Bars) -> int:
    return math.ceil(len(bars.series) / _LEGEND_COLUMNS) if len(bars.series) > 1 else 0


def render_chart(chart: Chart) -> str:
    """Render a chart as an SVG element."""
    return _render_svg(lambda axes: draw_chart(axes, chart), chart.title, 3.3)


def render_stages(stages: Mapping[str, StageSummary]) -> str:
    """Render the durations of the stages as an SVG element."""
    height_inches = 1.3 + 0.34 * len(stages)
    return _render_svg(lambda axes: draw_stages(axes, stages), "Duration of each stage", height_inches)


def render_trajectories(trajectories: TrajectoryMap) -> str:
    """Render a map of trajectories as an SVG element."""
    height_inches = 0.9 + 3.9 * trajectories.height / trajectories.width
    return _render_svg(lambda axes: draw_trajectories(axes, trajectories), trajectories.title, height_inches)


def render_bars(bars: Bars) -> str:
    """Render a bar chart as an SVG element."""
    height_inches = 1.0 + _LEGEND_LINE_POINTS / 72 * _count_legend_lines(bars) + 0.25 * len(bars.rows)
    return _render_svg(lambda axes: draw_bars(axes, bars), bars.title, height_inches)


def _render_svg(draw: Callable[[Axes], None], title: str, height_inches: float) -> str:
    with use_plot_style(_TEXT_COLOR):
        figure = Figure(figsize=(_PLOT_WIDTH_INCHES, height_inches), layout="constrained")
        draw(figure.add_subplot())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(_TEXT_COLOR, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # The page sets the size, and SVG inside HTML needs no namespaces.
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r' xmlns(?::\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    return text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
