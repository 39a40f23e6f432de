"""Recordings: `rstrack simulate` and `rstrack repair`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.dataset_options import add_topic_option

if TYPE_CHECKING:
    from tracking_runtime.bags import Compression


@click.command()
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@add_topic_option
@click.option("--namespace", default="", help="Namespace of the topics, for example /camera.")
@click.option(
    "--compression",
    type=click.Choice(["none", "zstd"]),
    default="none",
    show_default=True,
    help="Compression of the bag.",
)
def simulate(source: str, output: Path, topic: str, namespace: str, compression: Compression) -> None:
    """Write a SOURCE of frames, with its ground truth and bands, as the bag OUTPUT.

    SOURCE is the name of a simulated scene with its options, for example "satellite?seed=3&frames=150", or
    an address of the player: a path, KIND:PATH or scene:NAME. The bag contains the topics image,
    ground_truth and spectral_info. ROS is not needed.
    """
    from rich.console import Console

    from tracking_runtime.commands.progress import make_progress
    from tracking_runtime.io.source_recorder import record_source
    from tracking_runtime.io.sources import list_scenes, open_source

    is_scene = source.partition("?")[0] in list_scenes()
    frames = open_source(f"scene:{source}" if is_scene else source, topic=topic or None)
    written_frames = record_source(frames, output, namespace=namespace, compression=compression)
    with make_progress() as progress:
        task = progress.add_task(frames.name, total=len(frames))
        for _ in written_frames:
            progress.advance(task)
    Console().print(f"{len(frames)} frames at {frames.rate_hz:g} Hz in {output}", soft_wrap=True)


@click.command()
@click.argument("bag", type=click.Path(exists=True, file_okay=False, path_type=Path))
def repair(bag: Path) -> None:
    """Finish the recording BAG of a recorder that was killed, so that every tool opens it.

    Damaged chunks are skipped and reported. The original files stay in the folder BAG/original.
    """
    from rich.console import Console

    from tracking_runtime.bags import restore_bag

    result = restore_bag(bag)
    console = Console(soft_wrap=True)
    for damage in result.damages:
        console.print(f"skipped: {damage}", style="yellow", markup=False)
    console.print(f"{result.message_count} messages in {bag}", markup=False)
    if result.original is None:
        console.print("The recording is finished and intact: nothing to repair.")
    else:
        console.print(f"The original files are in {result.original}", markup=False)
