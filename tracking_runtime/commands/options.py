"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def imports_checkpoint(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every command takes that turns a published checkpoint into a model."""
    options = (
        click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
        click.option("-o", "--name", required=True, help="Name of the model."),
        click.option(
            "--models",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("models"),
            show_default=True,
            help="Folder it is written to.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
