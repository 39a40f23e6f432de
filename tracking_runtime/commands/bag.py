"""Making, looking at and mending recordings: ``rstrack simulate``, ``rstrack info``, ``rstrack repair``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tracking_runtime.bags import BagReader, Compression
from tracking_runtime.bags import repair as repair_bag
from tracking_runtime.bags.source_recorder import record
from tracking_runtime.commands.progress import counting
from tracking_runtime.errors import SourceError
from tracking_runtime.io.sources import open_source, scene_names

_SECOND_NS = 1_000_000_000


@click.command()
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--namespace", default="", help="Put before the topics, as in /camera.")
@click.option(
    "--compression",
    type=click.Choice(["none", "zstd"]),
    default="none",
    show_default=True,
    help="Of the bag.",
)
def simulate(source: str, output: Path, namespace: str, compression: Compression) -> None:
    """Write a SOURCE of frames, with its ground truth and bands, as the bag OUTPUT.

    SOURCE is the name of a simulated scene with its options, as in "satellite?seed=3&frames=150", or any
    address that the player takes: folder:PATH, bag:PATH or scene:NAME. The bag holds the topics image,
    ground_truth and spectral_info. No ROS is needed.
    """
    is_scene = source.partition("?")[0] in scene_names()
    try:
        frames = open_source(f"scene:{source}" if is_scene else source)
        written = record(frames, output, namespace=namespace, compression=compression)
        with counting() as progress:
            task = progress.add_task(frames.name, total=len(frames))
            for _ in written:
                progress.advance(task)
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    Console().print(f"{len(frames)} frames at {frames.rate_hz:g} Hz in {output}", soft_wrap=True)


@click.command()
@click.argument("bag", type=click.Path(exists=True, path_type=Path))
def info(bag: Path) -> None:
    """Say what the recording BAG holds."""
    try:
        reader = BagReader(bag)
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    duration = (reader.end_ns - reader.start_ns) / _SECOND_NS
    table = Table(title=str(bag))
    for column in ("topic", "type", "messages", "Hz", "reliability", "durability"):
        table.add_column(column, overflow="fold")
    for topic in reader.topics.values():
        count = reader.counts[topic.name]
        table.add_row(
            topic.name,
            topic.interface.name,
            str(count),
            f"{(count - 1) / duration:.1f}" if count > 1 and duration else "",
            " ".join(sorted({qos.reliability for qos in topic.qos})),
            " ".join(sorted({qos.durability for qos in topic.qos})),
        )
    console = Console()
    console.print(table)
    console.print(f"{reader.message_count} messages in {duration:.3f} s")
    if not reader.complete:
        console.print(f"[yellow]The recording was not finished.[/] Finish it with: rstrack repair {bag}")


@click.command()
@click.argument("bag", type=click.Path(exists=True, file_okay=False, path_type=Path))
def repair(bag: Path) -> None:
    """Finish the recording BAG that its recorder could not, so that every tool opens it."""
    try:
        count = repair_bag(bag)
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    Console().print(f"{count} messages in {bag}", soft_wrap=True)
