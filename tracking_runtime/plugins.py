"""Entry-point groups through which the packages add commands, trackers, scenes and nodes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

_PREFIX = "remote_sensing_tracking"
COMMANDS = f"{_PREFIX}.commands"
TRAIN = f"{_PREFIX}.train"
IMPORT = f"{_PREFIX}.import"
BENCH = f"{_PREFIX}.bench"
TRACKERS = f"{_PREFIX}.trackers"
SCENES = f"{_PREFIX}.scenes"
CAMERAS = f"{_PREFIX}.cameras"
NODES = f"{_PREFIX}.nodes"
GRAPHS = f"{_PREFIX}.graphs"
DEMO_SCENARIOS = f"{_PREFIX}.flights"  # the group keeps its public name


def find_plugins(group: str) -> Mapping[str, EntryPoint]:
    """Return the installed entry points of a group by name, in alphabetical order, not yet loaded."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def load_plugin(group: str, name: str) -> Any:
    """Load the object that an entry point names.

    Args:
        group: the entry-point group, for example `SCENES`.
        name: the entry point's name in the group.

    Raises:
        LookupError: no entry point of the group has this name; the message lists the names.
    """
    plugins = find_plugins(group)
    if name not in plugins:
        kind = group.rpartition(".")[2].rstrip("s")
        available = ", ".join(plugins) or "none installed"
        raise LookupError(f"{kind} {name!r} is unknown; available: {available}")
    return plugins[name].load()
