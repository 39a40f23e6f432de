"""Operations and time saved by active pixels: networks on whole images and on active pixels, same engine.

Time and operations do not depend on the weights. Every published variant is measured with random weights.
Both networks carry their state, and neither computes the displacement head, which tracking does not use.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from spax_ros.benchmark.cost_line import fit_cost_line
from spax_ros.benchmark.dense_tracker import decode_dense
from spax_ros.decoding import MAX_PEAKS, decode_peaks, find_peaks
from spax_ros.motion.published_mask import SATMTB, SATVIDEODT
from spax_ros.network.config import VARIANTS
from spax_ros.network.grid import DenseGrid
from spax_ros.network.network import SpaxNetwork
from spax_ros.tracker import make_sparse_grid
from tracking_runtime.reports.plots import PALETTE, use_plot_style
from tracking_runtime.system_info import describe_machine

ACTIVE_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Fractions of active pixels at which the time is measured."""

PUBLISHED_SAVINGS = {"satvideodt": (0.884, 2.7), "satmtb": (0.932, 3.1)}
"""Published savings of SPAX-Base by data set: fraction of the operations saved, and speed-up."""

_MIN_SCORE = 0.1  # lowest score of a detection


@dataclass(frozen=True)
class NetworkCost:
    """Cost of one frame.

    Attributes:
        operations: multiply-accumulate operations of the network.
        milliseconds: median time.
    """

    operations: int
    milliseconds: float


@dataclass(frozen=True)
class SparsitySaving:
    """Costs of a network on whole images and on active pixels.

    Attributes:
        variant: name in `spax_ros.network.config.VARIANTS`.
        size: side length of the image in pixels.
        active_share: fraction of active pixels, 0..1.
        dense: cost on whole images.
        packed: cost on active pixels, with their gather tables.
    """

    variant: str
    size: int
    active_share: float
    dense: NetworkCost
    packed: NetworkCost

    @property
    def saved_fraction(self) -> float:
        """Fraction of the operations that active pixels save."""
        return 1 - self.packed.operations / self.dense.operations

    @property
    def speedup(self) -> float:
        """Ratio of the time on whole images to the time on active pixels."""
        return self.dense.milliseconds / self.packed.milliseconds


@dataclass(frozen=True)
class TimePoint:
    """Time of a frame on active pixels.

    Attributes:
        size: width of the image in pixels.
        active_pixels: number of active pixels.
        milliseconds: median time.
    """

    size: int
    active_pixels: int
    milliseconds: float


def make_square_mask(size: int, active_fraction: float, radius: int, seed: int = 0) -> NDArray[np.bool_]:
    """Return a random mask of squares, as the published motion mask has around moving objects.

    Args:
        size: side length of the mask in pixels.
        active_fraction: fraction of active pixels to reach, 0..1.
        radius: half of the squares' side length in pixels.
        seed: random seed.

    Returns:
        Mask of the active pixels, (size, size).
    """
    rng = np.random.default_rng(seed)
    side_px = 2 * radius + 1
    mask = np.zeros((size, size), np.uint8)
    while mask.mean() < active_fraction:
        x, y = (int(value) for value in rng.integers(0, size, 2))
        cv2.rectangle(
            mask, (x - radius, y - radius), (x - radius + side_px - 1, y - radius + side_px - 1), 1, -1
        )
    return mask.astype(bool)


def make_random_network(variant: str) -> SpaxNetwork:
    """Return a variant with random weights, ready for inference."""
    torch.manual_seed(0)
    return SpaxNetwork(VARIANTS[variant]).requires_grad_(False).fold()


def measure_sparse(network: SpaxNetwork, mask: NDArray[np.bool_], num_repeats: int = 5) -> NetworkCost:
    """Measure the cost of a frame on active pixels, with the state of a previous frame.

    Args:
        network: network to measure.
        mask: mask of the active pixels, (H, W).
        num_repeats: number of measured frames.
    """
    no_shift = np.zeros((1, 2), np.int64)
    grid = make_sparse_grid(mask, network.config)
    x = torch.zeros(grid.num_rows(0), network.config.input_channels)
    operations = [0]

    def run_frame() -> None:
        grid = make_sparse_grid(mask, network.config)
        step = network.step(x, grid, state.warp_to(grid, no_shift))
        peaks = find_peaks(network, step.features, grid, grid.levels[0].active, MAX_PEAKS)
        decode_peaks(peaks, grid, _MIN_SCORE)
        operations[0] = grid.operations

    with torch.inference_mode():
        state = network.step(x, grid, None).state
        milliseconds = _measure_median_ms(run_frame, num_repeats, num_warm_up=1)
    return NetworkCost(operations[0], milliseconds)


def measure_dense(network: SpaxNetwork, size: int, num_repeats: int = 2) -> NetworkCost:
    """Measure the cost of a frame on a whole image, with the state of a previous frame.

    Args:
        network: network to measure.
        size: side length of the image in pixels.
        num_repeats: number of measured frames.
    """
    x: Tensor = torch.zeros(1, network.config.input_channels, size, size)
    grid = DenseGrid((1, size, size))
    all_pixels = torch.ones(size, size, dtype=torch.bool)
    with torch.inference_mode():
        state = network.step(x, grid, None).state

        def run_frame() -> None:
            step = network.step(x, grid, state)
            decode_dense(network, step, grid, all_pixels, max_peaks=MAX_PEAKS, min_score=_MIN_SCORE)

        with FlopCounterMode(display=False) as counter:
            run_frame()
        return NetworkCost(
            counter.get_total_flops() // 2, _measure_median_ms(run_frame, num_repeats, num_warm_up=0)
        )


def measure_saving(variant: str, size: int, active_fraction: float) -> SparsitySaving:
    """Measure a variant on whole images and on active pixels.

    Args:
        variant: name in `spax_ros.network.config.VARIANTS`.
        size: side length of the image in pixels.
        active_fraction: fraction of active pixels, 0..1.
    """
    network = make_random_network(variant)
    radius = SATMTB.radius if "satmtb" in variant else SATVIDEODT.radius
    mask = make_square_mask(size, active_fraction, radius)
    return SparsitySaving(
        variant, size, float(mask.mean()), measure_dense(network, size), measure_sparse(network, mask)
    )


def measure_growth(variant: str, size: int) -> Iterator[TimePoint]:
    """Measure the time by active pixels, in an image and in one of twice its area.

    Args:
        variant: name in `spax_ros.network.config.VARIANTS`.
        size: side length of the small image in pixels.
    """
    network = make_random_network(variant)
    for active_fraction in ACTIVE_FRACTIONS:
        square_mask = make_square_mask(size, active_fraction, SATVIDEODT.radius)
        wide_mask = np.zeros((size, 2 * size), bool)
        wide_mask[:, size // 2 : size // 2 + size] = square_mask
        for mask in (square_mask, wide_mask):
            yield TimePoint(mask.shape[1], int(mask.sum()), measure_sparse(network, mask).milliseconds)


def make_table(savings: Sequence[SparsitySaving]) -> Table:
    """Return a table with one row per variant. The published values are in parentheses."""
    title = "Whole images and active pixels (published)"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for column in ("pixels", "GMAC", "saved", "ms", "speed-up"):
        table.add_column(column, justify="right", no_wrap=True)
    for saving in savings:
        published = PUBLISHED_SAVINGS.get(saving.variant.rpartition("_")[2])
        dense = saving.dense
        packed = saving.packed
        table.add_row(
            saving.variant,
            f"{saving.active_share:.1%} of {saving.size}^2",
            f"{dense.operations / 1e9:.1f} > {packed.operations / 1e9:.2f}",
            f"{saving.saved_fraction:.1%}" + (f" ({published[0]:.1%})" if published else ""),
            f"{dense.milliseconds:.0f} > {packed.milliseconds:.0f}",
            f"{saving.speedup:.1f}" + (f" ({published[1]:.1f})" if published else ""),
        )
    return table


def fit_line(points: Sequence[TimePoint]) -> tuple[float, float]:
    """Return the milliseconds without active pixels and the milliseconds per active pixel."""
    return fit_cost_line([point.active_pixels for point in points], [point.milliseconds for point in points])


def write_report(folder: Path, savings: Sequence[SparsitySaving], points: Sequence[TimePoint]) -> None:
    """Write `sparsity.json`, and `sparsity.png` if there are points.

    Args:
        folder: folder of the report, created if missing.
        savings: savings by variant.
        points: times by active pixels; empty if not measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": asdict(describe_machine()),
        "savings": [
            {**asdict(saving), "saved": saving.saved_fraction, "times_as_fast": saving.speedup}
            for saving in savings
        ],
        "growth": [asdict(point) for point in points],
    }
    (folder / "sparsity.json").write_text(json.dumps(content, indent=2) + "\n")
    if points:
        _draw_growth(folder / "sparsity.png", points)


def _draw_growth(path: Path, points: Sequence[TimePoint]) -> None:
    """Draw the time over the number of active pixels, with a line per image size."""
    with use_plot_style("#222222"):
        figure = Figure(figsize=(5.5, 4.2), layout="constrained")
        axes = figure.subplots()
        for color, width in zip(PALETTE, sorted({point.size for point in points}), strict=False):
            size_points = [point for point in points if point.size == width]
            constant, slope = fit_line(size_points)
            pixels = [point.active_pixels for point in size_points]
            label = f"{width} px wide: {constant:.0f} ms + {1000 * slope:.2f} ms / 1000 px"
            axes.plot(pixels, [point.milliseconds for point in size_points], "o", color=color, label=label)
            line_x = np.array([0, max(pixels)])
            axes.plot(line_x, constant + slope * line_x, color=color)
        axes.set(xlabel="active pixels", ylabel="milliseconds per frame", title="Time by active pixels")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")
        figure.savefig(path, dpi=120)


def _measure_median_ms(run_frame: Callable[[], None], num_repeats: int, num_warm_up: int) -> float:
    times_ms = []
    for _ in range(num_warm_up + num_repeats):
        start_ns = time.perf_counter_ns()
        run_frame()
        times_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return float(np.median(times_ms[num_warm_up:]))
