"""``rstrack``: commands that packages offer under entry point groups, assembled when they are asked for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

import click

COMMANDS = "remote_sensing_tracking.commands"
TRAIN = "remote_sensing_tracking.train"
IMPORT = "remote_sensing_tracking.import"
BENCH = "remote_sensing_tracking.bench"
DISTRIBUTION = "remote_sensing_tracking"


class PluginGroup(click.Group):
    """A group of the commands that are installed under an entry point group.

    One that cannot be loaded is listed with the reason, and leaves the others as they are.
    """

    def __init__(self, *args: Any, plugins: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._plugins = plugins

    @cached_property
    def _points(self) -> Mapping[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self._plugins)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the alphabet."""
        return sorted({*super().list_commands(ctx), *self._points})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name; one that says what is wrong if it cannot be loaded."""
        known = super().get_command(ctx, cmd_name)
        if known is not None or cmd_name not in self._points:
            return known
        try:
            command = self._points[cmd_name].load()
        except Exception as error:
            return _broken(cmd_name, self._points[cmd_name].value, error)
        if not isinstance(command, click.Command):
            problem = TypeError(f"it is a {type(command).__name__}, not a click command")
            return _broken(cmd_name, self._points[cmd_name].value, problem)
        return command


def _broken(name: str, value: str, error: Exception) -> click.Command:
    reason = f"{value} cannot be loaded: {error or type(error).__name__}"

    def fail() -> None:
        raise click.ClickException(reason)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        name, context_settings=settings, callback=fail, short_help=f"! {reason}", add_help_option=False
    )


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown (not installed)"


@click.group(
    cls=PluginGroup,
    plugins=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(_version(), prog_name="rstrack")
def main() -> None:
    """Tracking on board: chosen targets in hyperspectral video, every moving object in satellite video."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # what it runs is ended in order


@main.group(cls=PluginGroup, plugins=TRAIN)
def train() -> None:
    """Train a tracker's network."""


@main.group("import", cls=PluginGroup, plugins=IMPORT)
def import_() -> None:
    """Turn a published checkpoint into a model."""


@main.group(cls=PluginGroup, plugins=BENCH)
def bench() -> None:
    """Measure trackers and what this machine can carry."""


if __name__ == "__main__":
    main()
