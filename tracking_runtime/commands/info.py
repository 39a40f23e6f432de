"""The command `rstrack info`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracking_runtime.commands.dataset_options import add_topic_option

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tracking_runtime.bags import BagReader
    from tracking_runtime.io.source_description import SourceDescription

_NS_PER_SECOND = 1_000_000_000
_MAX_CHECKED_BYTES = 1_000_000_000  # size of recordings whose checksums are verified without being asked
_MAX_NAMED_BANDS = 6


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each source, one per line.")
@add_topic_option
@click.option(
    "--check/--no-check",
    default=None,
    help="Read all messages of a recording and verify their checksums. Default: only below 1 GB.",
)
def info(sources: tuple[str, ...], as_json: bool, topic: str, check: bool | None) -> None:
    """Print the properties of each SOURCE, and warnings about it.

    A SOURCE is a video file, a folder of images or cubes, a cube, a recording, a simulated scene, a live
    stream or the index of a camera. Printed are size, rate, bits, bands, ground truth and position on the
    Earth; of a recording also the topics, gaps and damaged parts.
    """
    from rich.console import Console

    from tracking_runtime.errors import TrackingError

    console = Console(soft_wrap=True)
    num_failed = 0
    for address in sources:
        try:
            if as_json:
                click.echo(json.dumps(_collect(address, topic, check), ensure_ascii=False))
            else:
                _print(address, topic, check, console)
        except TrackingError as error:
            if len(sources) == 1:
                raise
            num_failed += 1
            click.echo(f"{address}: {error}", err=True)
    if num_failed:
        raise click.ClickException(f"{num_failed} of {len(sources)} sources cannot be read")


def _collect(address: str, topic: str, check: bool | None) -> dict[str, Any]:
    """Return the facts of a source as JSON data."""
    from dataclasses import asdict

    from tracking_runtime.io.json_data import to_json_data

    description, reader = _read(address, topic)
    content: dict[str, Any] = {"address": address} if description is None else asdict(description)
    if reader is not None:
        damages = reader.check() if _is_checked(reader, check) else reader.damages
        content["recording"] = {
            "topics": [
                {"name": topic.name, "type": topic.interface.name, "messages": reader.counts[topic.name]}
                for topic in reader.topics.values()
            ],
            "duration_s": (reader.end_ns - reader.start_ns) / _NS_PER_SECOND,
            "is_complete": reader.is_complete,
            "gaps": list(reader.gaps),
            "damages": [str(damage) for damage in damages],
        }
    data: dict[str, Any] = to_json_data(content)
    return data


def _print(address: str, topic: str, check: bool | None, console: Console) -> None:
    description, reader = _read(address, topic)
    if description is not None:
        _print_description(description, console)
    if reader is not None:
        _print_recording(reader, address, check, console)


def _read(address: str, topic: str) -> tuple[SourceDescription | None, BagReader | None]:
    """Read the facts of a source, and open it as a recording if it is one.

    The facts of a recording are None if it has no readable images, or those of several cameras.
    """
    from tracking_runtime.bags import BagReader
    from tracking_runtime.errors import SourceError
    from tracking_runtime.io.notes import collect_notes
    from tracking_runtime.io.source_description import describe_source
    from tracking_runtime.io.source_kinds import BAG
    from tracking_runtime.io.sources import is_live, open_source_leniently, parse_address

    parsed = parse_address(address)
    if parsed.kind != BAG:
        with collect_notes() as notes:
            source = open_source_leniently(address)
        description = describe_source(source, address, parsed.kind, is_live=is_live(address))
        return replace(description, remarks=tuple(dict.fromkeys((*notes, *description.remarks)))), None
    reader = BagReader(parsed.location)
    try:
        source = open_source_leniently(address, topic=topic)
        return describe_source(source, address, BAG), reader
    except SourceError:
        if topic or "topic" in parsed.options:
            raise
        return None, reader


def _print_description(description: SourceDescription, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(description.address), show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _list_facts(description).items():
        table.add_row(name, escape(value))
    console.print(table)
    for remark in description.remarks:
        console.print(f"warning: {remark}", style="yellow", markup=False)


def _list_facts(description: SourceDescription) -> dict[str, str]:
    """Return the facts of a source as text, by their name."""
    width, height = description.image_size
    facts = {"kind": description.kind, **description.details}
    if description.num_frames is None:
        facts["frames"] = f"live, {description.rate_hz:g} Hz"
    else:
        facts["frames"] = (
            f"{description.num_frames} at {description.rate_hz:.6g} Hz, {description.duration_s:.3f} s"
        )
    facts["image"] = f"{width} x {height} pixels, {description.encoding}"
    facts["samples"] = f"{description.num_channels} per pixel, {description.bits} bits"
    if description.mosaic is not None:
        rows, columns = description.mosaic
        cube_width, cube_height = description.box_image_size
        facts["mosaic"] = f"{rows} x {columns} filters; cubes of {cube_width} x {cube_height} pixels"
    facts["bands"] = _format_bands(description)
    truth = description.truth
    facts["truth"] = "none"
    if truth is not None:
        facts["truth"] = (
            f"{truth.num_objects} boxes of {truth.num_identities} objects in {truth.num_frames} frames; "
            f"classes: {', '.join(truth.class_names)}"
        )
    facts["geography"] = description.geography or "none"
    return facts


def _format_bands(description: SourceDescription) -> str:
    wavelengths = [f"{value:g}" for value in description.wavelengths_nm]
    if not wavelengths:
        return "wavelengths unknown" if description.num_channels > 4 else "none (gray or color)"
    if len(wavelengths) > _MAX_NAMED_BANDS:
        half = _MAX_NAMED_BANDS // 2
        wavelengths = [*wavelengths[:half], "…", *wavelengths[-half:]]
    width = (
        ""
        if not description.fwhm_nm
        else f", width {min(description.fwhm_nm):g} to {max(description.fwhm_nm):g} nm"
    )
    return f"{len(description.wavelengths_nm)} bands: {', '.join(wavelengths)} nm{width}"


def _print_recording(reader: BagReader, address: str, check: bool | None, console: Console) -> None:
    duration_s = (reader.end_ns - reader.start_ns) / _NS_PER_SECOND
    console.print(_make_topic_table(reader, address, duration_s))
    console.print(f"{reader.message_count} messages in {duration_s:.3f} s")
    is_checked = _is_checked(reader, check)
    damages = reader.check() if is_checked else reader.damages
    for text in (*(f"gap: {gap}" for gap in reader.gaps), *map(str, damages)):
        console.print(text, style="yellow", markup=False)
    if not is_checked:
        console.print("Checksums were not verified: give --check to read all messages.")
    if not reader.is_complete:
        console.print("[yellow]The recording was not finished.[/]", end=" ")
        console.print(f"Finish it with: rstrack repair {reader.path}", markup=False)
    elif damages:
        text = f"The intact messages are readable. Copy them with: rstrack repair {reader.path}"
        console.print(text, markup=False)


def _is_checked(reader: BagReader, check: bool | None) -> bool:
    return check if check is not None else _compute_size(reader.path) < _MAX_CHECKED_BYTES


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
