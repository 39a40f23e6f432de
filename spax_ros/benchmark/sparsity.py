"""What active pixels save: networks with random weights on whole images and on active pixels, same engine.

Time and operations do not depend on the weights, so that every published variant can be measured.
Both carry their state, and neither computes the displacement head, which tracking does not use.
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

from spax_ros.benchmark.dense_tracker import decode_dense
from spax_ros.decoding import MOST_PEAKS, best_peaks, peaks_to_detections
from spax_ros.motion.published_mask import SATMTB, SATVIDEODT
from spax_ros.network.config import VARIANTS
from spax_ros.network.grid import DenseGrid
from spax_ros.network.network import SpaxNetwork
from spax_ros.tracker import packed_grid
from tracking_runtime.reports.plots import PALETTE, plot_style
from tracking_runtime.system_info import this_machine

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Of the pixels that are active, for the time against active pixels."""

CLAIMS = {"satvideodt": (0.884, 2.7), "satmtb": (0.932, 3.1)}
"""Published for SPAX-Base: share of the operations saved, and times as fast as dense, by data set."""

_LEAST_SCORE = 0.1


@dataclass(frozen=True)
class Cost:
    """Of one frame: pairs of a multiplication and an addition, and the median time."""

    operations: int
    milliseconds: float


@dataclass(frozen=True)
class Saving:
    """A variant on whole images and on active pixels.

    Attributes:
        variant: of ``spax_ros.network.config.VARIANTS``.
        size: side of the image in pixels.
        active_share: share of the pixels that are active.
        dense: on whole images.
        packed: on active pixels, tables included.
    """

    variant: str
    size: int
    active_share: float
    dense: Cost
    packed: Cost

    @property
    def saved(self) -> float:
        """Share of the operations that active pixels save."""
        return 1 - self.packed.operations / self.dense.operations

    @property
    def speedup(self) -> float:
        """How many times as fast active pixels are."""
        return self.dense.milliseconds / self.packed.milliseconds


@dataclass(frozen=True)
class Point:
    """The packed network's time at a number of active pixels of an image of some size."""

    size: int
    active_pixels: int
    milliseconds: float


def published_mask(size: int, share: float, radius: int, seed: int = 0) -> NDArray[np.bool_]:
    """``(size, size)`` squares around points, as the published mask has them around movers, to a share."""
    rng = np.random.default_rng(seed)
    side = 2 * radius + 1
    mask = np.zeros((size, size), np.uint8)
    while mask.mean() < share:
        x, y = (int(value) for value in rng.integers(0, size, 2))
        cv2.rectangle(mask, (x - radius, y - radius), (x - radius + side - 1, y - radius + side - 1), 1, -1)
    return mask.astype(bool)


def random_network(variant: str) -> SpaxNetwork:
    """A variant with random weights, ready for inference."""
    torch.manual_seed(0)
    return SpaxNetwork(VARIANTS[variant]).requires_grad_(False).fold()


def packed_cost(network: SpaxNetwork, mask: NDArray[np.bool_], repeats: int = 5) -> Cost:
    """A frame on the active pixels of a mask, its state that of the frame before."""
    still = np.zeros((1, 2), np.int64)
    grid = packed_grid(mask, network.config)
    x = torch.zeros(grid.rows(0), network.config.input_channels)
    operations = [0]

    def frame() -> None:
        grid = packed_grid(mask, network.config)
        step = network.step(x, grid, state.at(grid, still))
        peaks = best_peaks(network, step.features, grid, grid.levels[0].active, MOST_PEAKS)
        peaks_to_detections(peaks, grid, _LEAST_SCORE)
        operations[0] = grid.operations

    with torch.inference_mode():
        state = network.step(x, grid, None).state
        milliseconds = _median_time(frame, repeats, warm_up=1)
    return Cost(operations[0], milliseconds)


def dense_cost(network: SpaxNetwork, size: int, repeats: int = 2) -> Cost:
    """A frame on every pixel of an image, its state that of the frame before."""
    x: Tensor = torch.zeros(1, network.config.input_channels, size, size)
    grid = DenseGrid((1, size, size))
    everywhere = torch.ones(size, size, dtype=torch.bool)
    with torch.inference_mode():
        state = network.step(x, grid, None).state

        def frame() -> None:
            step = network.step(x, grid, state)
            decode_dense(network, step, grid, everywhere, most=MOST_PEAKS, least_score=_LEAST_SCORE)

        with FlopCounterMode(display=False) as counter:
            frame()
        return Cost(counter.get_total_flops() // 2, _median_time(frame, repeats, warm_up=0))


def measure(variant: str, size: int, share: float) -> Saving:
    """Both costs of a variant at the same share of active pixels."""
    network = random_network(variant)
    radius = SATMTB.radius if "satmtb" in variant else SATVIDEODT.radius
    mask = published_mask(size, share, radius)
    return Saving(variant, size, float(mask.mean()), dense_cost(network, size), packed_cost(network, mask))


def growth(variant: str, size: int) -> Iterator[Point]:
    """Time against active pixels, at ``SHARES`` of an image and as many pixels of one of twice its area."""
    network = random_network(variant)
    for share in SHARES:
        small = published_mask(size, share, SATVIDEODT.radius)
        large = np.zeros((size, 2 * size), bool)
        large[:, size // 2 : size // 2 + size] = small
        for mask in (small, large):
            yield Point(mask.shape[1], int(mask.sum()), packed_cost(network, mask).milliseconds)


def table(savings: Sequence[Saving]) -> Table:
    """One line for each variant; in brackets what was published."""
    title = "Whole images and active pixels (published)"
    lines = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    lines.add_column("", no_wrap=True)
    for column in ("pixels", "GMAC", "saved", "ms", "times as fast"):
        lines.add_column(column, justify="right", no_wrap=True)
    for each in savings:
        claim = CLAIMS.get(each.variant.rpartition("_")[2])
        dense, packed = each.dense, each.packed
        lines.add_row(
            each.variant,
            f"{each.active_share:.1%} of {each.size}^2",
            f"{dense.operations / 1e9:.1f} > {packed.operations / 1e9:.2f}",
            f"{each.saved:.1%}" + (f" ({claim[0]:.1%})" if claim else ""),
            f"{dense.milliseconds:.0f} > {packed.milliseconds:.0f}",
            f"{each.speedup:.1f}" + (f" ({claim[1]:.1f})" if claim else ""),
        )
    return lines


def line(points: Sequence[Point]) -> tuple[float, float]:
    """Milliseconds for no active pixel, and for each."""
    slope, constant = np.polyfit(
        [point.active_pixels for point in points], [point.milliseconds for point in points], 1
    )
    return float(constant), float(slope)


def write(folder: Path, savings: Sequence[Saving], points: Sequence[Point]) -> None:
    """Write ``sparsity.json``, and where growth was measured ``sparsity.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": asdict(this_machine()),
        "savings": [{**asdict(each), "saved": each.saved, "times_as_fast": each.speedup} for each in savings],
        "growth": [asdict(point) for point in points],
    }
    (folder / "sparsity.json").write_text(json.dumps(content, indent=2) + "\n")
    if not points:
        return
    with plot_style("#222222"):
        figure = Figure(figsize=(5.5, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, width in enumerate(sorted({point.size for point in points})):
            at = [point for point in points if point.size == width]
            constant, slope = line(at)
            pixels = [point.active_pixels for point in at]
            label = f"{width} px wide: {constant:.0f} ms + {1000 * slope:.2f} ms / 1000 px"
            axes.plot(pixels, [point.milliseconds for point in at], "o", color=PALETTE[number], label=label)
            ends = np.array([0, max(pixels)])
            axes.plot(ends, constant + slope * ends, color=PALETTE[number])
        axes.set(xlabel="active pixels", ylabel="milliseconds a frame", title="Cost follows what moves")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")
        figure.savefig(folder / "sparsity.png", dpi=120)


def _median_time(frame: Callable[[], None], repeats: int, warm_up: int) -> float:
    times = []
    for _ in range(warm_up + repeats):
        begin = time.perf_counter_ns()
        frame()
        times.append((time.perf_counter_ns() - begin) / 1e6)
    return float(np.median(times[warm_up:]))
