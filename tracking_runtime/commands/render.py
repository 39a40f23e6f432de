"""The command `rstrack render`."""

from __future__ import annotations

from pathlib import Path

import click

from tracking_runtime.commands.dataset_options import add_topic_option
from tracking_runtime.commands.progress import make_frame_progress


@click.command()
@click.argument("bag", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="MP4 file to write. [default: BAG.mp4]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@add_topic_option
@click.option("--tracks-topic", default="", help="Topic of the tracks, if the recording has several.")
@click.option("--truth/--no-truth", default=True, show_default=True, help="Draw recorded ground truth.")
@click.option(
    "--scale",
    type=click.IntRange(0, 8),
    default=0,
    show_default=True,
    help="Factor by which images are enlarged; 0: by their size.",
)
@click.option(
    "--trail",
    type=click.IntRange(1, 1000),
    default=30,
    show_default=True,
    help="Length of the trails in frames.",
)
def render(
    bag: Path,
    output: Path | None,
    overwrite: bool,
    topic: str,
    tracks_topic: str,
    truth: bool,
    scale: int,
    trail: int,
) -> None:
    """Draw the recorded tracks on the images of the recording BAG, and write a video.

    The video shows ids, states, trails and ground truth, as the node visualizer does. Each frame keeps its
    time.
    """
    from rich.console import Console
    from rich.markup import escape

    from tracking_runtime.tracking.render import BagRendering, RenderOptions

    path = output or bag.with_name(f"{bag.resolve().stem}.mp4")
    if path.suffix.lower() != ".mp4":
        raise click.UsageError(f"the output must be an MP4 file: got {path}; name it {path.stem}.mp4")
    if path.exists() and not overwrite:
        raise click.ClickException(f"{path} exists already: choose another -o, or add --overwrite")
    rendering = BagRendering(bag, RenderOptions(topic, tracks_topic, truth, scale, trail))
    console = Console()
    try:
        with make_frame_progress(console) as progress:
            task = progress.add_task(rendering.source.name, total=len(rendering.source))
            for _ in rendering.write(path):
                progress.advance(task)
    except OSError as error:
        # For example, the disk is full
        raise click.ClickException(str(error)) from error
    console.print(f"{len(rendering.source)} frames in {escape(str(path))}", soft_wrap=True)
    if rendering.num_unpaired and rendering.tracks_topic:
        console.print(f"[yellow]{rendering.num_unpaired} frames have no tracks", soft_wrap=True)
