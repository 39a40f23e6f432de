"""`rstrack bench engines`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from tracking_runtime.commands.progress import make_transient_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tracking_runtime.engines.benchmark import Measurement
    from tracking_runtime.engines.model_graphs import ModelGraphs

_DEFAULT_MODELS = ("hanet_edge_vis16", "spax_small")


@click.command()
@click.argument("models", nargs=-1)
@click.option(
    "--runs",
    "num_runs",
    type=click.IntRange(2),
    default=50,
    show_default=True,
    help="Number of runs of each engine.",
)
@click.option(
    "--threads",
    "num_threads",
    type=click.IntRange(0),
    default=0,
    help="Number of CPU threads; default: all cores.",
)
@click.option(
    "--batch",
    "batch_sizes",
    type=click.IntRange(1),
    multiple=True,
    help="Size of a graph, as of rstrack export; may repeat.",
)
@click.option("--camera", default="", help="Known camera, as of rstrack export.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("engines"),
    show_default=True,
    help="Folder for engines.json and engines.png.",
)
def engines(
    models: Sequence[str],
    num_runs: int,
    num_threads: int,
    batch_sizes: Sequence[int],
    camera: str,
    output: Path,
) -> None:
    """Time the networks of MODELS on every available engine, in each of its precisions.

    MODELS are names or paths, by default hanet_edge_vis16 and spax_small, or untrained:hanet_r50 (with
    --camera vis16). int8 is measured if `rstrack engine build` calibrated the model. A network with random
    weights is calibrated on noise.
    """
    from tracking_runtime.engines.model_graphs import UNTRAINED_PREFIX, open_model_graphs
    from tracking_runtime.evaluation.int8_calibration import calibrate_on_noise
    from tracking_runtime.system_info import describe_machine

    measurements: list[Measurement] = []
    for model in models or _DEFAULT_MODELS:
        model_graphs = open_model_graphs(model, batch_sizes, camera)
        if model.startswith(UNTRAINED_PREFIX):
            calibrate_on_noise(model_graphs.graphs)
        measurements += _measure_with_progress(model_graphs, num_runs, num_threads)
    completed = [measurement for measurement in measurements if not measurement.problem]
    failed = [measurement for measurement in measurements if measurement.problem]

    output.mkdir(parents=True, exist_ok=True)
    content = {"machine": asdict(describe_machine()), "measurements": [asdict(item) for item in measurements]}
    (output / "engines.json").write_text(json.dumps(content, indent=1))
    _plot(completed).savefig(output / "engines.png", dpi=150)
    console = Console()
    console.print(_tabulate(completed))
    for measurement in failed:
        console.print(f"not run: {measurement.problem}", soft_wrap=True, markup=False)


def _measure_with_progress(model_graphs: ModelGraphs, num_runs: int, num_threads: int) -> list[Measurement]:
    from tracking_runtime.engines.benchmark import measure_engines
    from tracking_runtime.engines.selection import BACKENDS

    measurements = []
    with make_transient_progress() as progress:
        for graph in model_graphs.graphs:
            task = progress.add_task(graph.name, total=num_runs)
            for measurement in measure_engines(graph, BACKENDS, num_runs, num_threads):
                if measurement is None:
                    progress.advance(task)
                else:
                    measurements.append(measurement)
    return measurements


def _tabulate(measurements: Sequence[Measurement]) -> Table:
    columns = ("graph", "engine", "p50 ms", "p95 ms", "per second", "of PyTorch's time", "MB", "difference")
    table = Table(*columns)
    pytorch_ms = {item.graph: item.p50_ms for item in measurements if item.engine == "pytorch:float32"}
    for item in measurements:
        table.add_row(
            item.graph,
            item.engine,
            f"{item.p50_ms:.1f}",
            f"{item.p95_ms:.1f}",
            f"{item.per_second:.1f}",
            f"1 / {pytorch_ms[item.graph] / item.p50_ms:.1f}" if item.graph in pytorch_ms else "",
            f"{item.memory_mb:.0f}",
            f"{item.difference:.1e}",
        )
    return table


def _plot(measurements: Sequence[Measurement]) -> Figure:
    from matplotlib.figure import Figure

    graphs = list(dict.fromkeys(item.graph for item in measurements))
    figure = Figure(figsize=(8, 1 + 0.5 * len(measurements)), layout="constrained")
    for axes, graph in zip(figure.subplots(len(graphs), squeeze=False)[:, 0], graphs, strict=True):
        rows = [item for item in measurements if item.graph == graph]
        names = [item.engine for item in rows]
        axes.barh(names, [item.p50_ms for item in rows], label="p50")
        axes.plot([item.p95_ms for item in rows], names, "k|", markersize=12, label="p95")
        axes.set_title(graph)
        axes.set_xlabel("ms")
        axes.invert_yaxis()
        axes.legend()
    return figure
