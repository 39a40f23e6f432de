"""Body of the commands that train a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import Progress

from tracking_runtime.commands.progress import make_progress

_Options = TypeVar("_Options")


def run_training(
    make_options: Callable[[], _Options], train: Callable[[_Options, Progress], Path | None]
) -> None:
    """Run a training with a progress bar and print the path of the model.

    Args:
        make_options: function that makes the options of the run. A ValueError is a mistake of the user.
        train: function that trains, from the options and progress bars to the model's manifest.
    """
    from tracking_runtime.training.distributed import is_first_process

    try:
        options = make_options()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    console = Console()
    with make_progress(console, is_shown=is_first_process()) as progress:
        manifest_path = train(options, progress)
    if manifest_path is not None:
        console.print(f"wrote {manifest_path}")
