"""`rstrack export`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from tracking_runtime.commands.progress import make_transient_progress
from tracking_runtime.engines.names import EXPORT_FORMATS, PRECISIONS

if TYPE_CHECKING:
    from tracking_runtime.engines.export import ExportedGraph


@click.command()
@click.argument("model")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(EXPORT_FORMATS),
    default="onnx",
    show_default=True,
    help="Format of the files.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to write.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Precision of the arithmetic; auto: float16 for TensorRT, else float32.",
)
@click.option(
    "--batch",
    "batch_sizes",
    type=click.IntRange(1),
    multiple=True,
    help=(
        "Size of a graph, may repeat. HA-Net: targets at once (default: 1). "
        "SPAX: tiles (default: 128, 768 and 3072)."
    ),
)
@click.option(
    "--camera",
    default="",
    help="HA-Net: known camera, for a model that fits any camera; rgb: the RGB branch alone.",
)
def export(
    model: str, format_name: str, output: Path, precision: str, batch_sizes: Sequence[int], camera: str
) -> None:
    """Write the networks of MODEL as files for other programs and machines.

    MODEL is a name, a path, or untrained:hanet_r50, a network with random weights for time measurements.
    TensorRT for RTX compiles for all GPUs of compute capability 7.5 to 12.0, and needs no GPU here. The
    manifest MODEL.FORMAT.yaml beside the files lists the inputs and outputs, and the difference of ONNX and
    OpenVINO files from PyTorch.

    Not every format can be written in every precision; the message then lists those that can.

    In int8, the files contain the networks that `rstrack engine build MODEL --precision int8` calibrated. The
    manifest contains the accuracy before and after, on OpenVINO.
    """
    from tracking_runtime.engines.export import export_graphs
    from tracking_runtime.engines.model_graphs import open_model_graphs

    model_graphs = open_model_graphs(model, batch_sizes, camera)
    exported_graphs = export_graphs(model_graphs, format_name, output, precision)
    table = _tabulate_with_progress(exported_graphs, len(model_graphs.graphs))
    console = Console()
    console.print(table)
    name = model_graphs.manifest.name
    console.print(f"{name} as {format_name} in [bold]{output.resolve()}[/]", soft_wrap=True)


def _tabulate_with_progress(graphs: Iterable[ExportedGraph], num_graphs: int) -> Table:
    """Export the graphs, show the progress, and return a table of the files."""
    table = Table("graph", "files", "difference from PyTorch", "checked")
    with make_transient_progress() as progress:
        for graph in progress.track(graphs, total=num_graphs, description="exporting"):
            difference = "" if graph.difference is None else f"{graph.difference:.1e}"
            table.add_row(graph.name, "\n".join(graph.files), difference, graph.checked)
    return table
