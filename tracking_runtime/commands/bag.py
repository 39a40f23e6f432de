"""Recordings: `rstrack simulate`, `rstrack info`, `rstrack repair`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.dataset_options import add_topic_option

if TYPE_CHECKING:
    from rich.table import Table

    from tracking_runtime.bags import BagReader, Compression

_NS_PER_SECOND = 1_000_000_000
_MAX_CHECKED_BYTES = 1_000_000_000  # size up to which `info` verifies checksums without being asked


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
    an address of the player: folder:PATH, bag:PATH or scene:NAME. The bag contains the topics image,
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
@click.argument("bag", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--check/--no-check",
    default=None,
    help="Read all messages and verify their checksums. Default: only if the recording is below 1 GB.",
)
def info(bag: Path, check: bool | None) -> None:
    """List the topics of the recording BAG, its gaps and its damaged parts."""
    from rich.console import Console

    from tracking_runtime.bags import BagReader

    reader = BagReader(bag)
    duration_s = (reader.end_ns - reader.start_ns) / _NS_PER_SECOND
    console = Console(soft_wrap=True)
    console.print(_make_topic_table(reader, str(bag), duration_s))
    console.print(f"{reader.message_count} messages in {duration_s:.3f} s")
    is_checked = check if check is not None else _compute_size(bag) < _MAX_CHECKED_BYTES
    damages = reader.check() if is_checked else reader.damages
    for text in (*(f"gap: {gap}" for gap in reader.gaps), *map(str, damages)):
        console.print(text, style="yellow", markup=False)
    if not is_checked:
        console.print("Checksums were not verified: give --check to read all messages.")
    if not reader.is_complete:
        console.print(f"[yellow]The recording was not finished.[/] Finish it with: rstrack repair {bag}")
    elif damages:
        console.print(f"The intact messages are readable. Copy them with: rstrack repair {bag}")


@click.command()
@click.argument("bag", type=click.Path(exists=True, file_okay=False, path_type=Path))
def repair(bag: Path) -> None:
    """Finish the recording BAG of a recorder that was killed, so that every tool opens it.

    Damaged chunks are skipped and reported. The files of before stay in the folder BAG/original.
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
        console.print(f"The files of before are in {result.original}", markup=False)


def _compute_size(bag: Path) -> int:
    """Return the size of a recording's files in bytes."""
    files = [bag] if bag.is_file() else [path for path in bag.iterdir() if path.is_file()]
    return sum(path.stat().st_size for path in files)


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
