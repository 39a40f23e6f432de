"""`rstrack engine`: the cached engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from tracking_runtime.commands.progress import make_transient_progress
from tracking_runtime.engines.build_progress import BuildProgress, report_progress_to
from tracking_runtime.engines.names import ENGINE_NAMES, PRECISIONS

if TYPE_CHECKING:
    from tracking_runtime.engines.base import EngineSettings
    from tracking_runtime.engines.cache import EngineCache
    from tracking_runtime.engines.model_graphs import ModelGraphs
    from tracking_runtime.evaluation.int8_calibration import CalibrationAccuracy, CalibrationVideos


@click.group()
def engine() -> None:
    """Manage the engines cached in $RSTRACK_ENGINE_CACHE, by default ~/.cache/rstrack/engines."""


@engine.command()
@click.argument("model")
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(("auto", *ENGINE_NAMES)),
    default="auto",
    show_default=True,
    help="Engine to build for.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Precision of the arithmetic.",
)
@click.option(
    "--batch",
    "batch_sizes",
    type=click.IntRange(1),
    multiple=True,
    help=(
        "Size of a graph, may repeat. HA-Net: targets at once (default: 1). "
        "SPAX: tiles (default: all buckets)."
    ),
)
@click.option("--camera", default="", help="HA-Net: known camera, for a model that fits any camera.")
@click.option("--calibration", help="int8: address of the frames to calibrate on.")
@click.option(
    "--validation",
    help="int8: address of the frames on which the accuracy is measured; default: as --calibration.",
)
@click.option(
    "--frames",
    "num_frames",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    help="int8: number of frames of each video.",
)
def build(
    model: str,
    engine_name: str,
    precision: str,
    batch_sizes: Sequence[int],
    camera: str,
    calibration: str | None,
    validation: str | None,
    num_frames: int,
) -> None:
    """Build the engines of MODEL, so that trackers start at once.

    In int8 (OpenVINO, TensorRT, TensorRT for RTX), MODEL is calibrated first. Its tracker runs over the
    frames of --calibration, for example scene:hyperspectral?seed=1 or a bag. The inputs of its networks set
    the ranges of the numbers. The accuracy before and after, on OpenVINO, is printed and stored beside the
    engine.
    """
    from tracking_runtime.engines.base import EngineSettings
    from tracking_runtime.engines.model_graphs import open_model_graphs
    from tracking_runtime.engines.selection import find_backend
    from tracking_runtime.evaluation.int8_calibration import CalibrationVideos

    settings = EngineSettings(engine_name, precision)
    if engine_name != "auto":
        find_backend(settings)
    model_graphs = open_model_graphs(model, batch_sizes, camera, use_all_sizes=True)
    if precision == "int8" and calibration:
        videos = CalibrationVideos(calibration, validation or calibration, num_frames, camera)
        _calibrate(model_graphs, model, videos)
    Console().print(_build_engines(model_graphs, settings))


def _build_engines(model_graphs: ModelGraphs, settings: EngineSettings) -> Table:
    from tracking_runtime.engines.selection import load_engines

    table = Table("graph", "engine")
    with show_build_progress():
        engines = load_engines(model_graphs.graphs, settings)
    for graph, loaded in zip(model_graphs.graphs, engines, strict=True):
        table.add_row(graph.name, escape(loaded.description))
    return table


@contextmanager
def show_build_progress(console: Console | None = None) -> Iterator[None]:
    """Show the progress of what this thread builds in the block. The remaining time counts down.

    Args:
        console: console of the progress bar; None: a new one.
    """
    text = TextColumn("{task.fields[build]}", markup=False)
    with Progress(text, BarColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0, build="building")

        def update(build: BuildProgress) -> None:
            progress.update(task, completed=build.fraction, build=build)

        with report_progress_to(update):
            yield


def _calibrate(model_graphs: ModelGraphs, model: str, videos: CalibrationVideos) -> None:
    from tracking_runtime.evaluation.int8_calibration import (
        NUM_TRACKING_STEPS,
        calibrate,
        select_calibration_graphs,
    )

    num_steps = NUM_TRACKING_STEPS + len(select_calibration_graphs(model_graphs.graphs))
    with make_transient_progress() as progress:
        task = progress.add_task("calibrating", total=num_steps)
        num_finished = count()

        def report(step: str) -> None:
            progress.update(task, completed=next(num_finished), description=step)

        accuracy = calibrate(model_graphs, model, videos, report)
    Console().print(_tabulate_accuracy(accuracy))


def _tabulate_accuracy(accuracy: CalibrationAccuracy) -> Table:
    table = Table("accuracy", "float32", "int8", "difference")
    for metric, before in accuracy.float32.items():
        after = accuracy.int8[metric]
        table.add_row(metric, f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}")
    return table


@engine.command("list")
def list_() -> None:
    """Show the cached engines."""
    from tracking_runtime.engines.cache import EngineCache

    _print_entries(EngineCache())


@engine.command()
def verify() -> None:
    """Check the cached engines, and fail if one is damaged. A tracker rebuilds a damaged engine."""
    from tracking_runtime.engines.cache import EngineCache

    cache = EngineCache()
    _print_entries(cache)
    damaged = [entry for entry in cache.find_entries() if entry.damage]
    if damaged:
        raise click.ClickException(f"{len(damaged)} damaged engines: `rstrack engine clear` removes all")


@engine.command()
def clear() -> None:
    """Delete all cached engines. Trackers rebuild an engine at the next start that needs it."""
    from tracking_runtime.engines.cache import EngineCache

    cache = EngineCache()
    click.echo(f"{cache.clear()} engines removed from {cache.folder}")


def _print_entries(cache: EngineCache) -> None:
    table = Table("engine", "built", "MB", "state", "key")
    for entry in cache.find_entries():
        state = f"[red]{entry.damage}" if entry.damage else "intact"
        created = entry.created.isoformat(sep=" ", timespec="minutes")
        table.add_row(entry.label, created, f"{entry.megabytes:.1f}", state, entry.folder.name[:12])
    console = Console()
    console.print(table)
    console.print(f"in {cache.folder}", soft_wrap=True)
