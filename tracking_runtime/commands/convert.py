"""``rstrack convert``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from tracking_runtime.bags import Compression
from tracking_runtime.bags.source_recorder import record
from tracking_runtime.commands.progress import counting
from tracking_runtime.datasets.conversion import write_folder
from tracking_runtime.datasets.factory import LAYOUTS, Layout, open_dataset
from tracking_runtime.datasets.hot import View
from tracking_runtime.errors import SourceError


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--to",
    "form",
    type=click.Choice(["bag", "folder"]),
    default="bag",
    show_default=True,
    help="What each video becomes.",
)
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default="auto", show_default=True, help="How the videos lie."
)
@click.option(
    "--view",
    type=click.Choice(["mosaic", "false_color", "rgb"]),
    default="mosaic",
    show_default=True,
    help="Which frames of the HOT challenge.",
)
@click.option("--classes", default="", help="Names, separated by commas, of the classes in text files.")
@click.option("--skip-malformed", is_flag=True, help="Leave out rows of truth that cannot be believed.")
@click.option(
    "--compression", type=click.Choice(["none", "zstd"]), default="none", show_default=True, help="Of bags."
)
def convert(
    place: Path,
    output: Path,
    form: str,
    layout: Layout,
    view: View,
    classes: str,
    skip_malformed: bool,
    compression: Compression,
) -> None:
    """Turn every video at a PLACE into a bag, or a bag into a folder of frames, in the folder OUTPUT.

    A PLACE is what rstrack evaluate takes: a benchmark where it lies, folders of frames, a COCO json, bags.
    Boxes, ids, classes, stamps and pixels stay as they are. A bag holds the topics image, ground_truth and
    spectral_info; a folder img/, gt.txt (MOT), spectral_info.yaml and video.yaml.
    """
    names = tuple(name for name in classes.split(",") if name)
    try:
        videos = open_dataset(
            place,
            layout=layout,
            view=view,
            class_names=names,
            malformed="skip" if skip_malformed else "raise",
        )
        with counting() as progress:
            task = progress.add_task("", total=sum(len(video) for video in videos))
            for video in videos:
                progress.update(task, description=video.name)
                target = output / video.name
                target.parent.mkdir(parents=True, exist_ok=True)
                written = (
                    write_folder(video, target)
                    if form == "folder"
                    else record(video, target, compression=compression)
                )
                for _ in written:
                    progress.advance(task)
    except (SourceError, OSError) as error:
        raise click.ClickException(str(error)) from error
    Console().print(f"{len(videos)} videos in {output}", soft_wrap=True)
