"""The command `rstrack convert`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.dataset_options import add_dataset_options, add_topic_option, split_class_names
from tracking_runtime.commands.options import add_calibration_options
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
@add_calibration_options
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
    camera: str,
    white: str,
    dark: str,
    layout: Layout,
    view: HotView,
    classes: str,
    skip_malformed: bool,
    compression: Compression,
) -> None:
    """Convert every video at a PLACE to a bag, or to a folder of frames, in the folder OUTPUT.

    A PLACE is the same as of rstrack evaluate: a benchmark in its original folder, folders of frames, a COCO
    json, bags, or any other source, as a video file or a folder of cubes. Boxes, ids, classes, stamps and
    pixels stay unchanged. A bag contains the topics image, ground_truth and spectral_info. A folder contains
    img/, gt.txt (MOT), spectral_info.yaml and video.yaml.
    """
    from rich.console import Console
    from rich.markup import escape

    from tracking_runtime.datasets.batch_conversion import convert_videos
    from tracking_runtime.datasets.conversion import write_folder
    from tracking_runtime.datasets.factory import open_dataset
    from tracking_runtime.io.notes import collect_notes
    from tracking_runtime.io.source_recorder import record_source

    console = Console()
    with collect_notes() as notes:
        videos = open_dataset(
            place,
            layout=layout,
            view=view,
            class_names=split_class_names(classes),
            on_invalid_row="skip" if skip_malformed else "raise",
            topic=topic,
            camera=camera,
            white=white,
            dark=dark,
        )
        convert_video = (
            write_folder if output_format == "folder" else partial(record_source, compression=compression)
        )
        calibration = (camera, white, dark)
        description = repr(
            (str(place.resolve()), output_format, topic, layout, view, classes, compression, *calibration)
        )
        try:
            with make_progress() as progress:
                task = progress.add_task("", total=sum(len(video) for video in videos))
                for name, num_frames in convert_videos(videos, output, convert_video, task=description):
                    progress.update(task, description=name, advance=num_frames)
        except OSError as error:
            # For example, the disk is full
            raise click.ClickException(str(error)) from error
    for note in notes:
        console.print(f"[yellow]Note: {escape(note)}", soft_wrap=True)
    console.print(f"{len(videos)} videos in {output}", soft_wrap=True)
