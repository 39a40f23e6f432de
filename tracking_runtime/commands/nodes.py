"""Nodes and their parameters on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

import click
import yaml

from tracking_runtime.plugins import NODES, find_plugins

set_option = click.option(
    "--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Parameter of the node, as in YAML."
)


def find_node(name: str) -> EntryPoint:
    """Return the entry point of a node.

    Raises:
        ClickException: no node has this name; the message lists the names.
    """
    points = find_plugins(NODES)
    if name not in points:
        raise click.ClickException(f"node {name!r} is unknown; available: {', '.join(points)}")
    return points[name]


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """Parse node parameters of the form NAME=VALUE, with values as in YAML.

    Raises:
        ClickException: an assignment has no equals sign.
    """
    parameters = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise click.ClickException(f"--set must be NAME=VALUE: got {assignment}")
        parameters[name] = yaml.safe_load(value)
    return parameters
