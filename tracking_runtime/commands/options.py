"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

MODELS_OPTION = click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder in which the model is written.",
)


def add_import_options(command: Command) -> Command:
    """Add the arguments and options of a command that converts a published checkpoint to a model."""
    return add_options(
        command,
        click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
        click.option("-o", "--name", required=True, help="Name of the model."),
        MODELS_OPTION,
    )


def add_profile_option(command: Command) -> Command:
    """Add --profile, the kind of camera; the command gets the text `profile`, empty without the option."""
    return add_options(
        command,
        click.option(
            "--profile",
            default="",
            help="Kind of camera, for spax: satellite (drifts and jitters), drone (turns, zooms, moves, "
            "looks aslant) or fixed (stands still).  [default: satellite]",
        ),
    )


def add_calibration_options(command: Command) -> Command:
    """Add --camera, --white and --dark: the options of `open_source` for cameras and references.

    The command gets the texts `camera`, `white` and `dark`, empty without the option.
    """
    return add_options(
        command,
        click.option(
            "--camera",
            default="",
            metavar="NAME|FILE",
            help="Hyperspectral camera of the source: a name, as vis16, or a camera file. Raw mosaics are "
            "decoded to cubes. FILE?region=X,Y,W,H: the camera reads out this part of its sensor.",
        ),
        click.option(
            "--white",
            default="",
            metavar="PATH",
            help="White reference: image, cube or folder of an evenly lit white surface. Samples become "
            "reflectance.",
        ),
        click.option(
            "--dark",
            default="",
            metavar="PATH",
            help="Dark reference: image, cube or folder without light, to subtract.",
        ),
    )


def add_training_options(runs_folder: Path, default_name: str, seed: int) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of a command that trains a model.

    Args:
        runs_folder: default folder of the folders of all runs.
        default_name: description of the default name of the model, for the help.
        seed: default seed of the random numbers.
    """
    options = (
        click.option(
            "--from",
            "base_model",
            metavar="MODEL",
            help="Refine the network of this model by a recipe for refining. Default: train a new network.",
        ),
        click.option(
            "--folder",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of checkpoint, history and TensorBoard events. A run in this folder is resumed. "
            f"Default: {runs_folder}/NAME.",
        ),
        click.option(
            "--name",
            help=f"Name of the model written at the end. Default: {default_name}, or MODEL_refined.",
        ),
        MODELS_OPTION,
        click.option(
            "--steps", type=click.IntRange(1), help="Total number of batches. Default: the recipe's."
        ),
        click.option("--batch", type=click.IntRange(1), help="Samples per batch. Default: the recipe's."),
        click.option(
            "--device",
            default="cpu",
            show_default=True,
            help="Device of the training: cpu, cuda, cuda:1, ...",
        ),
        click.option("--seed", type=int, default=seed, show_default=True, help="Seed of all random numbers."),
        click.option(
            "--save-every",
            "save_every_s",
            type=float,
            default=120.0,
            show_default=True,
            help="Seconds between checkpoints.",
        ),
    )
    return lambda command: add_options(command, *options)


def add_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command, in the order of its help."""
    for option in reversed(options):
        command = option(command)
    return command
