"""``rstrack engine``: the networks that engines made ready and keep."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from tracking_runtime.engines.cache import EngineCache


@click.group()
def engine() -> None:
    """Look after the engines that are kept in $RSTRACK_ENGINE_CACHE, by default ~/.cache/rstrack/engines."""


@engine.command("list")
def list_() -> None:
    """Show what is kept."""
    _show(EngineCache())


@engine.command()
def verify() -> None:
    """Show what is kept, and fail if anything is damaged; trackers make that again when they need it."""
    cache = EngineCache()
    _show(cache)
    damaged = [entry for entry in cache.entries() if entry.damage]
    if damaged:
        raise click.ClickException(f"{len(damaged)} damaged: `rstrack engine clear` removes all")


@engine.command()
def clear() -> None:
    """Remove everything that is kept; the next start of a tracker makes what it needs."""
    cache = EngineCache()
    click.echo(f"{cache.clear()} engines removed from {cache.folder}")


def _show(cache: EngineCache) -> None:
    table = Table("engine", "made", "MB", "state", "key")
    for entry in cache.entries():
        state = f"[red]{entry.damage}" if entry.damage else "whole"
        made = entry.created.isoformat(sep=" ", timespec="minutes")
        table.add_row(entry.label, made, f"{entry.megabytes:.1f}", state, entry.folder.name[:12])
    console = Console()
    console.print(table)
    console.print(f"in {cache.folder}", soft_wrap=True)
