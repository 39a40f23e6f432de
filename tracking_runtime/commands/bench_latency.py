"""Command `rstrack bench latency`: time from a camera's publish to a tracker's tracks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import EntryPoint
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.nodes import find_node, parse_assignments, set_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from tracking_runtime.frames import Frame
    from tracking_runtime.ros.benchmarks.latency import LatencyMeasurement
    from tracking_runtime.timing import StageSummary

_START_BOX = "start_box"  # parameter of a node that takes targets
_SUMS = ("total", "besides_engine")  # stages that are sums of others
_BESIDES_ENGINE_TEXT = "all but the engine and the wait for it"


@click.command()
@click.argument("node")
@click.option("--source", required=True, help="Address of frames, as for the player.")
@click.option(
    "--rate", type=click.FloatRange(0.1), help="[Hz] Frames per second. Default: rate of the source."
)
@click.option(
    "--frames", default=250, show_default=True, type=click.IntRange(10), help="Number of frames to send."
)
@click.option(
    "--kept",
    default=50,
    show_default=True,
    type=click.IntRange(3),
    help="Number of different frames, loaded before the start.",
)
@click.option(
    "--idle",
    default=10.0,
    show_default=True,
    help="[s] Time without frames at the end, for the idle CPU use.",
)
@set_option
@click.option(
    "--output",
    default="latency",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the results.",
)
def latency(
    node: str,
    source: str,
    rate: float | None,
    frames: int,
    kept: int,
    idle: float,
    assignments: Sequence[str],
    output: Path,
) -> None:
    """Measure the latency of the tracker NODE, from a camera's publish to the arrival of the tracks.

    The camera sends frames at a steady rate, forward and backward. A node that takes targets gets the first
    target of the ground truth. The command also measures the time from the start of the node to its first
    tracks. It fails if a frame is not counted. Writes latency.json and latency.png.
    """
    from rich.console import Console
    from rich.progress import track

    from tracking_runtime.io.sources import open_source

    point = find_node(node)
    opened = open_source(source)
    num_loaded = min(kept, len(opened))
    loaded = list(track(islice(opened, kept), "loading frames", total=num_loaded))
    parameters = _find_first_target(point, loaded) | parse_assignments(assignments)
    output.mkdir(parents=True, exist_ok=True)
    measurement = _run(point, loaded, frames, rate or opened.rate_hz, idle, parameters, output)

    besides_engine_ms = measurement.besides_engine_ms
    results = {
        "node": node,
        "source": source,
        "besides_engine_ms": besides_engine_ms,
        **asdict(measurement),
    }
    (output / "latency.json").write_text(json.dumps(results, indent=1))
    _draw_plot(node, measurement).savefig(output / "latency.png", dpi=150)
    Console().print(_make_table(node, measurement), f"see {output}")
    if not measurement.is_complete:
        raise click.ClickException(
            f"every frame must be counted once: got {measurement.published} published frames, but "
            f"{dict(measurement.fates)}; see the node's log in {output}"
        )


def _find_first_target(point: EntryPoint, frames: Sequence[Frame]) -> dict[str, object]:
    """Return the parameter that selects the first target of the first frame, if the node has it."""
    truth = frames[0].truth
    has_start_box = any(field.name == _START_BOX for field in fields(point.load()))
    if not has_start_box or truth is None or not len(truth.boxes):
        return {}
    return {_START_BOX: truth.boxes[0].tolist()}


def _run(
    point: EntryPoint,
    frames: Sequence[Frame],
    num_frames: int,
    rate_hz: float,
    idle_s: float,
    parameters: dict[str, object],
    output: Path,
) -> LatencyMeasurement:
    """Run the benchmark with a progress bar."""
    from rich.progress import Progress

    from tracking_runtime.messages.conversion import serialize_image
    from tracking_runtime.ros.benchmarks.latency import run_latency_benchmark

    images = [serialize_image(frame) for frame in frames]
    with Progress() as progress:
        task = progress.add_task(point.name, total=num_frames)
        return run_latency_benchmark(
            point.module,
            point.name,
            output,
            parameters,
            images,
            num_frames,
            rate_hz,
            idle_s,
            lambda completed: progress.update(task, completed=completed),
        )


def _make_table(node: str, measurement: LatencyMeasurement) -> Table:
    from rich.table import Table

    fates = ", ".join(f"{count} {fate}" for fate, count in measurement.fates.items() if count)
    table = Table(title=f"{node}: {measurement.published} frames published, {fates}; {measurement.engine}")
    table.add_column("[ms]")
    for heading in ("p50", "p95", "max"):
        table.add_column(heading, justify="right")
    for name, stage in _list_stages(measurement).items():
        table.add_row(name, *(f"{value:.1f}" for value in (stage.p50, stage.p95, stage.max)))
    p50, p95 = measurement.besides_engine_ms
    table.add_section()
    table.add_row(_BESIDES_ENGINE_TEXT, f"{p50:.1f}", f"{p95:.1f}", "", style="bold")
    table.add_row("start of the process to the first tracks, s", f"{measurement.start_s:.2f}", "", "")
    table.add_row("idle node, % of a core", f"{measurement.idle_cpu_percent:.2f}", "", "")
    return table


def _list_stages(measurement: LatencyMeasurement) -> dict[str, StageSummary]:
    """Return the stages in the order of a frame's path, after the total latency."""
    node_stages = {name: stage for name, stage in measurement.stages.items() if name not in _SUMS}
    return {"camera to track": measurement.latency, "transport": measurement.transport, **node_stages}


def _draw_plot(node: str, measurement: LatencyMeasurement) -> Figure:
    from matplotlib.figure import Figure

    stages = _list_stages(measurement)
    positions = range(len(stages))
    figure = Figure(figsize=(7, 1 + 0.4 * len(stages)), layout="constrained")
    axes = figure.subplots()
    axes.barh(positions, [stage.p95 for stage in stages.values()], color="#c9d8ea", label="p95")
    axes.barh(positions, [stage.p50 for stage in stages.values()], color="#2f7ed8", label="p50")
    axes.set_yticks(positions, list(stages))
    axes.invert_yaxis()
    axes.set_xlabel("[ms]")
    axes.set_title(f"{node}: {_BESIDES_ENGINE_TEXT} {measurement.besides_engine_ms[0]:.1f} ms")
    axes.legend()
    axes.grid(axis="x", alpha=0.3)
    return figure
