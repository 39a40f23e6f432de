"""All demo scenarios in one picture: an overlay of each above its plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import imread
from numpy.typing import NDArray

from tracking_runtime.reports.plots import draw_chart, draw_stages, draw_trajectories, use_plot_style
from tracking_runtime.reports.report_data import DemoReport, DemoResult

_TEXT_COLOR = "#1b1f27"
_SOFT_TEXT_COLOR = "#5d6675"
_PAGE_COLOR = "#ffffff"
_SCENARIO_WIDTH_INCHES = 7.2
_SCENARIO_HEIGHT_INCHES = 7.2
_DPI = 125
_ASPECT_RATIO = 2  # width / height of each overlay


def write_overview(report: DemoReport, path: Path) -> None:
    """Write one picture of all scenarios: an overlay of each above its plots.

    Args:
        report: data of all scenarios. Paths of overlays are relative to the folder of the picture.
        path: image file to write.
    """
    with use_plot_style(_TEXT_COLOR):
        num_scenarios = len(report.flights)
        figure = Figure(
            figsize=(_SCENARIO_WIDTH_INCHES * num_scenarios, _SCENARIO_HEIGHT_INCHES),
            layout="constrained",
            facecolor=_PAGE_COLOR,
            dpi=_DPI,
        )
        subfigures = figure.subfigures(1, num_scenarios, squeeze=False, wspace=0.03)[0]
        for subfigure, result in zip(subfigures, report.flights, strict=True):
            _draw_scenario(subfigure, result, path.parent)
        figure.savefig(path)


def _draw_scenario(subfigure: SubFigure, result: DemoResult, folder: Path) -> None:
    subfigure.suptitle(result.title, fontsize=16, fontweight="bold", color=_TEXT_COLOR)
    grid = subfigure.add_gridspec(2, 2, height_ratios=[1.3, 1])
    # Top: the overlay, below the headline metrics.
    overlay_axes = subfigure.add_subplot(grid[0, :])
    overlay_axes.set_axis_off()
    if result.pictures:
        picture = imread(folder / result.pictures[len(result.pictures) // 2].path)
        overlay_axes.imshow(_crop_height(picture), interpolation="lanczos")
    headline = "    ".join(
        f"{metric.name} {metric.text}" for metric in result.scoring.figures if metric.headline
    )
    overlay_axes.set_title(headline, fontsize=11, fontweight="normal", color=_SOFT_TEXT_COLOR, loc="center")
    # Bottom: trajectories or the first chart, and the durations of the stages.
    left_axes = subfigure.add_subplot(grid[1, 0])
    right_axes = subfigure.add_subplot(grid[1, 1])
    if result.scoring.maps:
        draw_trajectories(left_axes, result.scoring.maps[0])
    elif result.scoring.charts:
        draw_chart(left_axes, result.scoring.charts[0])
    draw_stages(right_axes, result.stages)


def _crop_height(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop an image that is too high for the aspect ratio to its middle rows."""
    height, width = image.shape[:2]
    num_rows = min(height, width // _ASPECT_RATIO)
    top = (height - num_rows) // 2
    return image[top : top + num_rows]
