"""``rstrack engine``: the networks that engines made ready and keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from tracking_runtime.commands.progress import passing
from tracking_runtime.engines import BACKENDS, EngineError, EngineSettings, load_engines, openvino
from tracking_runtime.engines.base import PRECISIONS
from tracking_runtime.engines.build_progress import BuildProgress, followed
from tracking_runtime.engines.cache import EngineCache
from tracking_runtime.engines.model_graphs import Networks, open_networks
from tracking_runtime.engines.selection import named
from tracking_runtime.errors import FrameRefusedError, ModelError, SourceError, TargetRefused
from tracking_runtime.evaluation import int8_calibration


@click.group()
def engine() -> None:
    """Look after the engines that are kept in $RSTRACK_ENGINE_CACHE, by default ~/.cache/rstrack/engines."""


@engine.command()
@click.argument("model")
@click.option(
    "--engine",
    "name",
    type=click.Choice(("auto", *(backend.name for backend in BACKENDS))),
    default="auto",
    show_default=True,
    help="To build for.",
)
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True, help="Of the arithmetic."
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1),
    multiple=True,
    help="Sizes of graphs: HA-Net: targets at once (default: 1), SPAX: tiles (all buckets); may repeat.",
)
@click.option("--camera", default="", help="HA-Net: known camera, for a model that fits any.")
@click.option("--calibration", "calibrate_on", help="int8: address of frames to calibrate on.")
@click.option("--validation", help="int8: address of frames to judge on; default: the same.")
@click.option("--frames", type=click.IntRange(2), default=200, show_default=True, help="int8: of each.")
def build(
    model: str,
    name: str,
    precision: str,
    batches: Sequence[int],
    camera: str,
    calibrate_on: str | None,
    validation: str | None,
    frames: int,
) -> None:
    """Make MODEL ready for an engine, so that trackers start at once.

    In int8 (OpenVINO, TensorRT, TensorRT for RTX) it is calibrated first: its tracker runs over the frames of
    --calibration, such as scene:hyperspectral?seed=1 or a bag, and the ranges of what its networks are given
    become those of the numbers. How well it tracks before and after, on OpenVINO, is told, and kept beside
    the engine.
    """
    try:
        settings = EngineSettings(name, precision)
        if name != "auto":
            named(settings)
        networks = open_networks(model, batches, camera, every=True)
        if precision == "int8" and calibrate_on:
            _calibrate(networks, model, calibrate_on, validation or calibrate_on, frames)
        table = _build(networks, settings)
    except (ModelError, SourceError, EngineError, FrameRefusedError, TargetRefused) as error:
        raise click.ClickException(str(error)) from error
    Console().print(table)


def _build(networks: Networks, settings: EngineSettings) -> Table:
    table = Table("graph", "engine")
    with shown_build():
        engines = load_engines(networks.graphs, settings)
    for graph, built in zip(networks.graphs, engines, strict=True):
        table.add_row(graph.name, escape(built.description))
    return table


@contextmanager
def shown_build(console: Console | None = None) -> Iterator[None]:
    """Show how far what this thread builds in the block is; the time left goes down as time passes."""
    text = TextColumn("{task.fields[build]}", markup=False)
    with Progress(text, BarColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0, build="building")

        def tell(build: BuildProgress) -> None:
            progress.update(task, completed=build.share, build=build)

        with followed(tell):
            yield


def _calibrate(networks: Networks, model: str, calibrate_on: str, validation: str, frames: int) -> None:
    reason = openvino.uncalibratable(networks.graphs)
    if reason is not None:
        raise EngineError(f"{model} cannot be calibrated: {reason}")
    graphs = int8_calibration.all_calibrated(networks.graphs)
    total = len(graphs) + 3
    with passing() as progress:
        task = progress.add_task("tracking to calibrate", total=total)
        seen = int8_calibration.watch(networks, model, int8_calibration.excerpt(calibrate_on, frames))
        progress.update(task, advance=1, description="tracking in float32")
        video = int8_calibration.excerpt(validation, frames)
        before = int8_calibration.track(networks, model, video, "openvino:float32")
        progress.advance(task)
        samples = [int8_calibration.samples_for(graph, seen) for graph in graphs]
        for graph, inputs in zip(graphs, samples, strict=True):
            progress.update(task, description=f"calibrating {graph.name}")
            openvino.quantise(graph, inputs)
            progress.advance(task)
        progress.update(task, description="tracking in int8")
        after = int8_calibration.track(networks, model, video, "openvino:int8")
        progress.advance(task)
    facts = {"calibration": calibrate_on, "validation": validation, "frames": frames}
    for graph in graphs:
        openvino.describe_quantised(graph, {**facts, "float32": before, "int8": after})
    _compare(before, after)


def _compare(before: dict[str, float], after: dict[str, float]) -> None:
    table = Table("accuracy", "float32", "int8", "difference")
    for figure, value in before.items():
        table.add_row(figure, f"{value:.3f}", f"{after[figure]:.3f}", f"{after[figure] - value:+.3f}")
    Console().print(table)


@engine.command("list")
def list_() -> None:
    """Show what is kept."""
    _show(EngineCache())


@engine.command()
def verify() -> None:
    """Show what is kept, and fail if anything is damaged; trackers make that again when they need it."""
    cache = EngineCache()
    _show(cache)
    damaged = [entry for entry in cache.entries() if entry.damage]
    if damaged:
        raise click.ClickException(f"{len(damaged)} damaged: `rstrack engine clear` removes all")


@engine.command()
def clear() -> None:
    """Remove everything that is kept; the next start of a tracker makes what it needs."""
    cache = EngineCache()
    click.echo(f"{cache.clear()} engines removed from {cache.folder}")


def _show(cache: EngineCache) -> None:
    table = Table("engine", "made", "MB", "state", "key")
    for entry in cache.entries():
        state = f"[red]{entry.damage}" if entry.damage else "whole"
        made = entry.created.isoformat(sep=" ", timespec="minutes")
        table.add_row(entry.label, made, f"{entry.megabytes:.1f}", state, entry.folder.name[:12])
    console = Console()
    console.print(table)
    console.print(f"in {cache.folder}", soft_wrap=True)
