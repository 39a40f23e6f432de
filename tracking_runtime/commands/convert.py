"""The command `rstrack convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.dataset_options import add_dataset_options, add_topic_option, split_class_names
from tracking_runtime.commands.progress import make_progress

if TYPE_CHECKING:
    from tracking_runtime.bags import Compression
    from tracking_runtime.datasets.factory import Layout
    from tracking_runtime.datasets.hot import HotView


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--to",
    "output_format",
    type=click.Choice(["bag", "folder"]),
    default="bag",
    show_default=True,
    help="Format of each video in OUTPUT.",
)
@add_topic_option
@add_dataset_options
@click.option(
    "--compression",
    type=click.Choice(["none", "zstd"]),
    default="none",
    show_default=True,
    help="Compression of bags.",
)
def convert(
    place: Path,
    output: Path,
    output_format: str,
    topic: str,
    layout: Layout,
    view: HotView,
    classes: str,
    skip_malformed: bool,
    compression: Compression,
) -> None:
    """Convert every video at a PLACE to a bag, or to a folder of frames, in the folder OUTPUT.

    A PLACE is the same as of rstrack evaluate: a benchmark in its original folder, folders of frames, a COCO
    json, or bags. Boxes, ids, classes, stamps and pixels stay unchanged. A bag contains the topics image,
    ground_truth and spectral_info. A folder contains img/, gt.txt (MOT), spectral_info.yaml and video.yaml.
    """
    from rich.console import Console

    from tracking_runtime.datasets.conversion import write_folder
    from tracking_runtime.datasets.factory import open_dataset
    from tracking_runtime.io.source_recorder import record_source

    videos = open_dataset(
        place,
        layout=layout,
        view=view,
        class_names=split_class_names(classes),
        on_invalid_row="skip" if skip_malformed else "raise",
        topic=topic,
    )
    try:
        with make_progress() as progress:
            task = progress.add_task("", total=sum(len(video) for video in videos))
            for video in videos:
                progress.update(task, description=video.name)
                path = output / video.name
                path.parent.mkdir(parents=True, exist_ok=True)
                if output_format == "folder":
                    stamps_ns = write_folder(video, path)
                else:
                    stamps_ns = record_source(video, path, compression=compression)
                for _ in stamps_ns:
                    progress.advance(task)
    except OSError as error:
        # For example, the disk is full
        raise click.ClickException(str(error)) from error
    Console().print(f"{len(videos)} videos in {output}", soft_wrap=True)
