"""The command `rstrack`: a group whose sub-commands are entry points, loaded when they are used."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from typing import Any

import click

from tracking_runtime.errors import TrackingError
from tracking_runtime.plugins import BENCH, COMMANDS, IMPORT, TRAIN, find_plugins

DISTRIBUTION = "remote_sensing_tracking"


class PluginGroup(click.Group):
    """A click group of the commands that an entry-point group names.

    A command that cannot be loaded is listed with the reason. The others still work.

    Args:
        plugins: name of the entry-point group.
    """

    def __init__(self, *args: Any, plugins: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._plugins = plugins

    @cached_property
    def _points(self) -> Mapping[str, EntryPoint]:
        return find_plugins(self._plugins)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Print a `TrackingError` as one line and exit with status 1."""
        try:
            return super().invoke(ctx)
        except TrackingError as error:
            raise click.ClickException(str(error)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands in alphabetical order."""
        return sorted({*super().list_commands(ctx), *self._points})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name. If it cannot be loaded, return one that fails with the reason."""
        own_command = super().get_command(ctx, cmd_name)
        if own_command is not None or cmd_name not in self._points:
            return own_command
        try:
            command = self._points[cmd_name].load()
        except Exception as error:
            return _make_broken_command(cmd_name, self._points[cmd_name].value, error)
        if not isinstance(command, click.Command):
            problem = TypeError(f"expected a click command: got a {type(command).__name__}")
            return _make_broken_command(cmd_name, self._points[cmd_name].value, problem)
        return command


def _make_broken_command(name: str, value: str, error: Exception) -> click.Command:
    reason = f"{value} cannot be loaded: {error or type(error).__name__}"

    def fail() -> None:
        raise click.ClickException(reason)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        name, context_settings=settings, callback=fail, short_help=f"! {reason}", add_help_option=False
    )


def _read_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown (not installed)"


@click.group(
    cls=PluginGroup,
    plugins=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(_read_version(), prog_name="rstrack")
def rstrack() -> None:
    """Track chosen targets in hyperspectral video and every moving object in satellite video."""


@rstrack.group(cls=PluginGroup, plugins=TRAIN)
def train() -> None:
    """Train a tracker's network."""


@rstrack.group("import", cls=PluginGroup, plugins=IMPORT)
def import_() -> None:
    """Convert a published checkpoint to a model."""


@rstrack.group(cls=PluginGroup, plugins=BENCH)
def bench() -> None:
    """Measure trackers, engines, latency and transport on this machine."""


def main() -> None:
    """Run `rstrack`. SIGTERM exits like an exception, so that child processes are ended in order.

    OpenCV prints nothing, unless OPENCV_LOG_LEVEL is set: errors of damaged images are told in one line.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    rstrack()


if __name__ == "__main__":
    main()
