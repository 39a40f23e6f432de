"""Recordings: `rstrack simulate`, `rstrack info`, `rstrack repair`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from tracking_runtime.bags import BagReader, Compression

_NS_PER_SECOND = 1_000_000_000


@click.command()
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--namespace", default="", help="Namespace of the topics, for example /camera.")
@click.option(
    "--compression",
    type=click.Choice(["none", "zstd"]),
    default="none",
    show_default=True,
    help="Compression of the bag.",
)
def simulate(source: str, output: Path, namespace: str, compression: Compression) -> None:
    """Write a SOURCE of frames, with its ground truth and bands, as the bag OUTPUT.

    SOURCE is the name of a simulated scene with its options, for example "satellite?seed=3&frames=150", or
    an address of the player: folder:PATH, bag:PATH or scene:NAME. The bag contains the topics image,
    ground_truth and spectral_info. ROS is not needed.
    """
    from rich.console import Console

    from tracking_runtime.commands.progress import make_progress
    from tracking_runtime.io.source_recorder import record_source
    from tracking_runtime.io.sources import list_scenes, open_source

    is_scene = source.partition("?")[0] in list_scenes()
    frames = open_source(f"scene:{source}" if is_scene else source)
    written_frames = record_source(frames, output, namespace=namespace, compression=compression)
    with make_progress() as progress:
        task = progress.add_task(frames.name, total=len(frames))
        for _ in written_frames:
            progress.advance(task)
    Console().print(f"{len(frames)} frames at {frames.rate_hz:g} Hz in {output}", soft_wrap=True)


@click.command()
@click.argument("bag", type=click.Path(exists=True, path_type=Path))
def info(bag: Path) -> None:
    """List the topics of the recording BAG."""
    from rich.console import Console

    from tracking_runtime.bags import BagReader

    reader = BagReader(bag)
    duration_s = (reader.end_ns - reader.start_ns) / _NS_PER_SECOND
    console = Console()
    console.print(_make_topic_table(reader, str(bag), duration_s))
    console.print(f"{reader.message_count} messages in {duration_s:.3f} s")
    if not reader.is_complete:
        console.print(f"[yellow]The recording was not finished.[/] Finish it with: rstrack repair {bag}")


@click.command()
@click.argument("bag", type=click.Path(exists=True, file_okay=False, path_type=Path))
def repair(bag: Path) -> None:
    """Finish the recording BAG of a recorder that was killed, so that every tool opens it."""
    from rich.console import Console

    from tracking_runtime.bags import repair_bag

    num_messages = repair_bag(bag)
    Console().print(f"{num_messages} messages in {bag}", soft_wrap=True)


def _make_topic_table(reader: BagReader, title: str, duration_s: float) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for column in ("topic", "type", "messages", "Hz", "reliability", "durability"):
        table.add_column(column, overflow="fold")
    for topic in reader.topics.values():
        count = reader.counts[topic.name]
        table.add_row(
            topic.name,
            topic.interface.name,
            str(count),
            f"{(count - 1) / duration_s:.1f}" if count > 1 and duration_s else "",
            " ".join(sorted({qos.reliability for qos in topic.qos})),
            " ".join(sorted({qos.durability for qos in topic.qos})),
        )
    return table
