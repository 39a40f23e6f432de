"""Options of the commands that open a dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

_OPTIONS = (
    click.option(
        "--layout",
        type=click.Choice(["auto", "annotations", "bag", "coco", "hot", "folders", "truth", "source"]),
        default="auto",
        show_default=True,
        help="Layout of the videos. truth: text files of ground truth, without images. source: one "
        "video file, cube, or folder of cubes.",
    ),
    click.option(
        "--view",
        type=click.Choice(["mosaic", "false_color", "rgb"]),
        default="mosaic",
        show_default=True,
        help="Camera of the HOT challenge.",
    ),
    click.option(
        "--classes",
        default="",
        help="Names of the classes in text files, separated by commas. Text files number them from 1.",
    ),
    click.option(
        "--skip-malformed",
        is_flag=True,
        help="Leave out invalid rows. A frame with an invalid row of ground truth does not count.",
    ),
)


def add_topic_option(command: Command) -> Command:
    """Add --topic, the topic of a recording's images, to a command."""
    return click.option(
        "--topic",
        default="",
        help="Topic of the images, raw or compressed, if a recording has several. Also bag:PATH?topic=TOPIC.",
    )(command)


def add_dataset_options(command: Command) -> Command:
    """Add --layout, --view, --classes and --skip-malformed to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def split_class_names(classes: str) -> tuple[str, ...]:
    """Split the value of --classes into names."""
    return tuple(name for name in classes.split(",") if name)
