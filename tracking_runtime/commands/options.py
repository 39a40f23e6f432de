"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

_MODELS = click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder it is written to.",
)


def imports_checkpoint(command: Command) -> Command:
    """What every command takes that turns a published checkpoint into a model."""
    return _with(
        command,
        click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
        click.option("-o", "--name", required=True, help="Name of the model."),
        _MODELS,
    )


def trains_model(runs: Path, default_name: str, seed: int) -> Callable[[Command], Command]:
    """What every command takes that trains a model.

    Args:
        runs: folder of the runs' folders, if none is given.
        default_name: of the model, in words.
        seed: if none is given.
    """
    options = (
        click.option(
            "--from",
            "start",
            metavar="MODEL",
            help="Refine the network of this model, by a recipe for that, instead of beginning a new one.",
        ),
        click.option(
            "--folder",
            type=click.Path(file_okay=False, path_type=Path),
            help="Checkpoint, history and TensorBoard events; a run found there is resumed. "
            f"Default: {runs}/NAME.",
        ),
        click.option(
            "--name",
            help=f"Name of the model written at the end; default: {default_name}, or MODEL_refined.",
        ),
        _MODELS,
        click.option("--steps", type=click.IntRange(1), help="Batches in all, instead of the recipe's."),
        click.option("--batch", type=click.IntRange(1), help="Samples in each, instead of the recipe's."),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ..."),
        click.option("--seed", type=int, default=seed, show_default=True, help="Of all that is random."),
        click.option(
            "--save-every",
            "save_every_s",
            type=float,
            default=120.0,
            show_default=True,
            help="Seconds between checkpoints.",
        ),
    )
    return lambda command: _with(command, *options)


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
