"""All flights in one picture: an overlay of each above its plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.figure import SubFigure
from matplotlib.image import imread
from numpy.typing import NDArray

from tracking_runtime.reports.plots import draw_chart, draw_stages, draw_ways, plot_style
from tracking_runtime.reports.report_data import FlightResult, Report

_INK, _SOFT, _PAGE = "#1b1f27", "#5d6675", "#ffffff"
_FLIGHT_INCHES = (7.2, 7.2)
_DPI = 125
_ASPECT = 2  # width / height of every flight's picture


def write_overview(report: Report, path: Path) -> None:
    """Write the picture; overlays are read from beside the report, ``path.parent``."""
    with plot_style(_INK):
        width, height = _FLIGHT_INCHES
        canvas = Canvas(
            figsize=(width * len(report.flights), height), layout="constrained", facecolor=_PAGE, dpi=_DPI
        )
        parts = canvas.subfigures(1, len(report.flights), squeeze=False, wspace=0.03)[0]
        for part, flight in zip(parts, report.flights, strict=True):
            _draw_flight(part, flight, path.parent)
        canvas.savefig(path)


def _draw_flight(part: SubFigure, flight: FlightResult, folder: Path) -> None:
    headlines = [figure for figure in flight.scoring.figures if figure.headline]
    part.suptitle(flight.title, fontsize=16, fontweight="bold", color=_INK)
    grid = part.add_gridspec(2, 2, height_ratios=[1.3, 1])
    shown = part.add_subplot(grid[0, :])
    shown.set_axis_off()
    if flight.pictures:
        picture = imread(folder / flight.pictures[len(flight.pictures) // 2].path)
        shown.imshow(_middle(picture), interpolation="lanczos")
    figures = "    ".join(f"{figure.name} {figure.text}" for figure in headlines)
    shown.set_title(figures, fontsize=11, fontweight="normal", color=_SOFT, loc="center")
    left, right = part.add_subplot(grid[1, 0]), part.add_subplot(grid[1, 1])
    if flight.scoring.maps:
        draw_ways(left, flight.scoring.maps[0])
    elif flight.scoring.charts:
        draw_chart(left, flight.scoring.charts[0])
    draw_stages(right, flight.stages)


def _middle(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a picture that is too high, in its full width."""
    height, width = picture.shape[:2]
    rows = min(height, width // _ASPECT)
    top = (height - rows) // 2
    return picture[top : top + rows]
