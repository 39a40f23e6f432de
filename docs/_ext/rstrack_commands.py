"""The command ``rstrack`` with all sub-commands loaded, for sphinx-click.

``rstrack`` loads its sub-commands from entry points on demand. sphinx-click reads the attribute ``commands``
of a group, so this module builds plain groups of the same commands.
"""

from __future__ import annotations

import click

from tracking_runtime.cli import rstrack


def load_commands(group: click.Group) -> click.Group:
    """Return a plain group with all commands of a lazy group, recursively."""
    context = click.Context(group)
    loaded = click.Group(group.name, help=group.help, params=list(group.params))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            loaded.add_command(load_commands(command) if isinstance(command, click.Group) else command, name)
    return loaded


rstrack = load_commands(rstrack)
