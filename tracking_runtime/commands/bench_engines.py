"""``rstrack bench engines``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from tracking_runtime.commands.progress import passing
from tracking_runtime.engines import BACKENDS
from tracking_runtime.engines.benchmark import Measurement, measure
from tracking_runtime.engines.model_graphs import UNTRAINED, Networks, open_networks
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.evaluation.int8_calibration import calibrate_on_noise
from tracking_runtime.system_info import this_machine


@click.command()
@click.argument("models", nargs=-1)
@click.option("--runs", type=click.IntRange(2), default=50, show_default=True, help="Of each engine.")
@click.option("--threads", type=click.IntRange(0), default=0, help="On a CPU; default: all that there are.")
@click.option("--batch", "batches", type=click.IntRange(1), multiple=True, help="As of rstrack export.")
@click.option("--camera", default="", help="As of rstrack export.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("engines"),
    show_default=True,
    help="Folder for engines.json and engines.png.",
)
def engines(
    models: Sequence[str], runs: int, threads: int, batches: Sequence[int], camera: str, output: Path
) -> None:
    """Time the networks of MODELS on every engine that works here, in each of its precisions.

    MODELS are names or paths, by default hanet_edge_vis16 and spax_small, or untrained:hanet_r50 (with
    --camera vis16). int8 takes part where `rstrack engine build` has calibrated it; a network with random
    weights is calibrated on noise.
    """
    found: list[Measurement] = []
    try:
        for model in models or ("hanet_edge_vis16", "spax_small"):
            networks = open_networks(model, batches, camera)
            if model.startswith(UNTRAINED):
                calibrate_on_noise(networks.graphs)
            found += _measured(networks, runs, threads)
    except (ModelError, SourceError) as error:
        raise click.ClickException(str(error)) from error
    output.mkdir(parents=True, exist_ok=True)
    content = {"machine": asdict(this_machine()), "measurements": [asdict(each) for each in found]}
    (output / "engines.json").write_text(json.dumps(content, indent=1))
    _plot([each for each in found if not each.problem]).savefig(output / "engines.png", dpi=150)
    console = Console()
    console.print(_table([each for each in found if not each.problem]))
    for each in found:
        if each.problem:
            console.print(f"not run: {each.problem}", soft_wrap=True, markup=False)


def _measured(networks: Networks, runs: int, threads: int) -> list[Measurement]:
    measurements = []
    with passing() as progress:
        for graph in networks.graphs:
            task = progress.add_task(graph.name, total=runs)
            for each in measure(graph, BACKENDS, runs, threads):
                if each is None:
                    progress.advance(task)
                else:
                    measurements.append(each)
    return measurements


def _table(measurements: Sequence[Measurement]) -> Table:
    columns = ("graph", "engine", "p50 ms", "p95 ms", "per second", "of PyTorch's time", "MB", "difference")
    table = Table(*columns)
    eager = {each.graph: each.p50_ms for each in measurements if each.engine == "pytorch:float32"}
    for each in measurements:
        table.add_row(
            each.graph,
            each.engine,
            f"{each.p50_ms:.1f}",
            f"{each.p95_ms:.1f}",
            f"{each.per_second:.1f}",
            f"1 / {eager[each.graph] / each.p50_ms:.1f}" if each.graph in eager else "",
            f"{each.memory_mb:.0f}",
            f"{each.difference:.1e}",
        )
    return table


def _plot(measurements: Sequence[Measurement]) -> Figure:
    graphs = list(dict.fromkeys(each.graph for each in measurements))
    figure = Figure(figsize=(8, 1 + 0.5 * len(measurements)), layout="constrained")
    for axes, graph in zip(figure.subplots(len(graphs), squeeze=False)[:, 0], graphs, strict=True):
        rows = [each for each in measurements if each.graph == graph]
        names = [each.engine for each in rows]
        axes.barh(names, [each.p50_ms for each in rows], label="p50")
        axes.plot([each.p95_ms for each in rows], names, "k|", markersize=12, label="p95")
        axes.set_title(graph)
        axes.set_xlabel("ms")
        axes.invert_yaxis()
        axes.legend()
    return figure
