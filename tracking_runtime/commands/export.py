"""``rstrack export``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tracking_runtime.commands.progress import passing
from tracking_runtime.engines.base import PRECISIONS, EngineError
from tracking_runtime.engines.export import FORMATS, ExportedGraph
from tracking_runtime.engines.export import export as export_networks
from tracking_runtime.engines.model_graphs import open_networks
from tracking_runtime.errors import ModelError, SourceError


@click.command()
@click.argument("model")
@click.option(
    "--format",
    "to",
    type=click.Choice(tuple(FORMATS)),
    default="onnx",
    show_default=True,
    help="Of the files.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write."
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Of arithmetic; auto: half for TensorRT.",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1),
    multiple=True,
    help="Sizes of graphs: HA-Net: targets at once (default: 1), SPAX: tiles (128, 768, 3072); may repeat.",
)
@click.option(
    "--camera",
    default="",
    help="HA-Net: known camera, for a model that fits any; rgb: the RGB branch alone.",
)
def export(model: str, to: str, output: Path, precision: str, batches: Sequence[int], camera: str) -> None:
    """Write the networks of MODEL as files for other programs and other machines.

    MODEL is a name, a path, or untrained:hanet_r50, a network with random weights to measure with. TensorRT
    for RTX is compiled for all GPUs from compute capability 7.5 to 12.0, and needs none here. Beside the
    files, MODEL.FORMAT.yaml says what goes in and out, and how far ONNX and OpenVINO files are from PyTorch.

    In int8, files hold what `rstrack engine build MODEL --precision int8` has calibrated, and the
    manifest has the accuracy before and after, on OpenVINO.
    """
    try:
        networks = open_networks(model, batches, camera)
        made = export_networks(networks, to, output, precision)
        table = _written(made, len(networks.graphs))
    except (ModelError, SourceError, EngineError) as error:
        raise click.ClickException(str(error)) from error
    console = Console()
    console.print(table)
    console.print(f"{networks.manifest.name} as {to} in [bold]{output.resolve()}[/]", soft_wrap=True)


def _written(graphs: Iterable[ExportedGraph], total: int) -> Table:
    """Go through the graphs as they are made, showing how far it is; returns what was made."""
    table = Table("graph", "files", "difference from PyTorch", "checked")
    with passing() as progress:
        for graph in progress.track(graphs, total=total, description="exporting"):
            difference = "" if graph.difference is None else f"{graph.difference:.1e}"
            table.add_row(graph.name, "\n".join(graph.files), difference, graph.checked)
    return table
