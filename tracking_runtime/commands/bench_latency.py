"""``rstrack bench latency``: from camera to track."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from tracking_runtime.commands.bench_lifecycle import parsed_assignments, told_why
from tracking_runtime.commands.parameters import NODES
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.conversion import serialize_image
from tracking_runtime.ros.processes import NodeProcess, free_domain, local_environment, set_environment
from tracking_runtime.ros.shared_memory import keep_freed_memory
from tracking_runtime.timing import StageSummary

if TYPE_CHECKING:
    from tracking_runtime.ros.benchmarks.latency import Passage

_START_BOX = "start_box"
_SUMS = ("total", "besides_engine")


@click.command()
@click.argument("node")
@click.option("--source", required=True, help="Address of frames, as the player takes it.")
@click.option("--rate", type=click.FloatRange(0.1), help="[Hz] Frames a second; without it the source's own.")
@click.option("--frames", default=250, show_default=True, type=click.IntRange(10), help="Frames to send.")
@click.option(
    "--kept", default=50, show_default=True, type=click.IntRange(3), help="Different frames, made beforehand."
)
@click.option(
    "--idle", default=10.0, show_default=True, help="[s] Time without frames at the end, for idle CPU."
)
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="A parameter of the node.")
@click.option(
    "--output", default="latency", show_default=True, type=click.Path(path_type=Path), help="Folder to write."
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
    """Time NODE, a tracker, from a camera's publish to the tracks' arrival, and from its start to the first.

    The camera sends frames at a steady rate, forwards and backwards in turns; a node that takes targets is
    given the first of the ground truth. Fails if a frame is unaccounted for. Writes latency.json and
    latency.png.
    """
    points = {point.name: point for point in entry_points(group=NODES)}
    if node not in points:
        raise click.ClickException(f"no node {node}; there are {', '.join(sorted(points))}")
    try:
        opened = open_source(source)
        shown = list(track(islice(opened, kept), "making frames", total=min(kept, len(opened))))
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    parameters = _first_target(points[node], shown) | parsed_assignments(assignments)
    output.mkdir(parents=True, exist_ok=True)
    with told_why():
        passage = _run(points[node], shown, frames, rate or opened.rate_hz, idle, parameters, output)
    besides = passage.besides_engine_ms
    (output / "latency.json").write_text(
        json.dumps(
            {"node": node, "source": source, "besides_engine_ms": besides, **asdict(passage)}, indent=1
        )
    )
    _plot(node, passage).savefig(output / "latency.png", dpi=150)
    Console().print(_table(node, passage), f"see {output}")
    if not passage.is_accounted:
        raise click.ClickException(f"{passage.published} frames published, but {dict(passage.fates)}")


def _first_target(point: EntryPoint, frames: Sequence[Frame]) -> dict[str, object]:
    """The parameter that has a node follow the first target from the first frame, if it has one."""
    takes_targets = any(each.name == _START_BOX for each in fields(point.load()))
    truth = frames[0].truth
    return {_START_BOX: truth.boxes[0].tolist()} if takes_targets and truth and len(truth.boxes) else {}


def _run(
    point: EntryPoint,
    frames: Sequence[Frame],
    count: int,
    rate_hz: float,
    idle_s: float,
    parameters: dict[str, object],
    output: Path,
) -> Passage:
    from tracking_runtime.ros.benchmarks.latency import measure_passage
    from tracking_runtime.ros.session import RosSession

    keep_freed_memory()
    with ExitStack() as stack:
        domain = stack.enter_context(free_domain())
        stack.enter_context(set_environment(local_environment(domain)))
        process = NodeProcess(point.module, point.name, output, parameters)
        stack.enter_context(process)
        session = stack.enter_context(RosSession("latency", domain))
        progress = stack.enter_context(Progress())
        task = progress.add_task(point.name, total=count)
        images = [serialize_image(frame) for frame in frames]
        return measure_passage(
            session, process, images, count, rate_hz, idle_s, lambda n: progress.update(task, completed=n)
        )


def _table(node: str, passage: Passage) -> Table:
    fates = ", ".join(f"{count} {fate}" for fate, count in passage.fates.items() if count)
    table = Table(title=f"{node}: {passage.published} frames published, {fates}; {passage.engine}")
    for heading in ("[ms]", "p50", "p95", "max"):
        table.add_column(heading, justify="left" if heading == "[ms]" else "right")
    for name, stage in _rows(passage).items():
        table.add_row(name, *(f"{value:.1f}" for value in (stage.p50, stage.p95, stage.max)))
    p50, p95 = passage.besides_engine_ms
    table.add_section()
    table.add_row("all but the engine and the wait for it", f"{p50:.1f}", f"{p95:.1f}", "", style="bold")
    table.add_row("start of the process to the first tracks, s", f"{passage.start_s:.2f}", "", "")
    table.add_row("idle node, % of a core", f"{passage.idle_cpu_percent:.2f}", "", "")
    return table


def _rows(passage: Passage) -> dict[str, StageSummary]:
    """The stages in the order of a frame's path, the whole of it first."""
    inside = {
        name: stage for name, stage in passage.stages.items() if name not in ("total", "besides_engine")
    }
    return {"camera to track": passage.latency, "transport": passage.transport, **inside}


def _plot(node: str, passage: Passage) -> Figure:
    rows = _rows(passage)
    figure = Figure(figsize=(7, 1 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names, heights = list(rows), range(len(rows))
    axes.barh(heights, [rows[name].p95 for name in names], color="#c9d8ea", label="p95")
    axes.barh(heights, [rows[name].p50 for name in names], color="#2f7ed8", label="p50")
    axes.set_yticks(heights, names)
    axes.invert_yaxis()
    axes.set_xlabel("[ms]")
    axes.set_title(f"{node}: all but the engine and the wait for it {passage.besides_engine_ms[0]:.1f} ms")
    axes.legend()
    axes.grid(axis="x", alpha=0.3)
    return figure
