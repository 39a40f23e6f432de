"""Command `rstrack bench lifecycle`: resource leaks of a node over many lifecycle cycles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import EntryPoint
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.nodes import find_node, parse_assignments, set_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tracking_runtime.ros.benchmarks.lifecycle_leaks import ResourceGrowth, ResourceUsage

_WARM_UP_FRACTION = 0.2  # first cycles that do not count
_MAX_GROWTH_MB = 0.1  # allowed growth of memory per cycle in megabytes


@click.command()
@click.argument("node")
@click.option("--times", default=200, show_default=True, type=click.IntRange(5), help="Number of cycles.")
@click.option("--source", help="Address of frames, as for the player; the node receives some in each cycle.")
@click.option("--frames", default=3, show_default=True, type=click.IntRange(1), help="Frames per cycle.")
@set_option
@click.option(
    "--output",
    default="lifecycle",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the results.",
)
def lifecycle(
    node: str, times: int, source: str | None, frames: int, assignments: Sequence[str], output: Path
) -> None:
    """Configure, activate, deactivate and clean up NODE many times. Fail if the node leaks.

    The first fifth of the cycles does not count. After it, the numbers of threads and open files must not
    grow. Memory, also of the GPU, may grow by less than 0.1 MB per cycle. Writes lifecycle.json and
    lifecycle.png.
    """
    from rich.console import Console

    from tracking_runtime.ros.benchmarks.lifecycle_leaks import ResourceGrowth

    point = find_node(node)
    parameters = parse_assignments(assignments)
    images = _serialize_images(source, frames) if source else []
    output.mkdir(parents=True, exist_ok=True)
    usages = _run(point, times, images, parameters, output)

    growth = ResourceGrowth.compute(usages, round(_WARM_UP_FRACTION * times))
    results = {"node": node, "growth": asdict(growth), "lives": [asdict(usage) for usage in usages]}
    (output / "lifecycle.json").write_text(json.dumps(results, indent=1))
    _draw_plot(node, usages).savefig(output / "lifecycle.png", dpi=150)
    Console().print(
        f"{node}: {times} cycles, {growth.threads:+d} threads, {growth.files:+d} open files, "
        f"{growth.memory_mb_per_life:+.3f} MB per cycle; {usages[-1].memory_mb:.0f} MB at the end; "
        f"{_format_gpu_growth(growth)}; see {output}"
    )
    if _has_leak(growth):
        raise click.ClickException(f"{node} leaks: see {output}")


def _serialize_images(source: str, num_frames: int) -> list[bytes]:
    from tracking_runtime.io.sources import open_source
    from tracking_runtime.messages.conversion import serialize_image

    return [serialize_image(frame) for frame in islice(open_source(source), num_frames)]


def _run(
    point: EntryPoint,
    num_cycles: int,
    images: Sequence[bytes],
    parameters: dict[str, object],
    output: Path,
) -> list[ResourceUsage]:
    """Run the benchmark with a progress bar."""
    from rich.progress import Progress

    from tracking_runtime.ros.benchmarks.lifecycle_leaks import run_leak_benchmark

    with Progress() as progress:
        task = progress.add_task(point.name, total=num_cycles)
        return run_leak_benchmark(
            point.module,
            point.name,
            output,
            parameters,
            num_cycles,
            images,
            lambda completed: progress.update(task, completed=completed),
        )


def _format_gpu_growth(growth: ResourceGrowth) -> str:
    if growth.gpu_memory_mb_per_life is None:
        return "no GPU"
    return f"{growth.gpu_memory_mb_per_life:+.3f} MB per cycle on the GPU"


def _has_leak(growth: ResourceGrowth) -> bool:
    memory_mb = max(growth.memory_mb_per_life, growth.gpu_memory_mb_per_life or 0.0)
    return growth.threads > 0 or growth.files > 0 or memory_mb >= _MAX_GROWTH_MB


def _draw_plot(node: str, usages: Sequence[ResourceUsage]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    labels = {"memory_mb": "resident memory [MB]", "threads": "threads", "files": "open files"}
    subplots = figure.subplots(len(labels), sharex=True)
    for axes, (name, label) in zip(subplots, labels.items(), strict=True):
        axes.plot(range(1, len(usages) + 1), [getattr(usage, name) for usage in usages])
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    subplots[-1].set_xlabel("cycle")
    figure.suptitle(f"{node}: resources of its process after each lifecycle cycle")
    return figure
