"""The command `rstrack track`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracking_runtime.commands.dataset_options import add_topic_option
from tracking_runtime.commands.options import add_calibration_options, add_profile_option
from tracking_runtime.commands.progress import make_frame_progress
from tracking_runtime.files import make_unique_name

if TYPE_CHECKING:
    from rich.console import Console

    from tracking_runtime.tracking.report import TrackReport
    from tracking_runtime.tracking.runs import OpenedJob, TrackJob

_DEFAULT_OUTPUT = Path("tracks")


class BoxType(click.ParamType):
    """A box `x,y,width,height` in pixels."""

    name = "x,y,w,h"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Parse a box. Fail unless it has four finite numbers and a size."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(text) for text in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 4 or not all(abs(number) < float("inf") for number in numbers):
            self.fail(f"a box must be four numbers x,y,width,height: got {value!r}", param, ctx)
        if min(numbers[2:]) <= 0:
            self.fail(f"width and height of a box must be above 0: got {value!r}", param, ctx)
        return numbers


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Folder of the results; with several sources, of a folder for each. [default: {_DEFAULT_OUTPUT}; "
    "none with --stream]",
)
@click.option("--overwrite", is_flag=True, help="Replace the results of an earlier run in the folder.")
@click.option(
    "--box",
    "boxes",
    type=BoxType(),
    multiple=True,
    help="Box of a target in the first frame, in pixels; may be repeated. HA-Net tracks the targets.",
)
@click.option("--select", is_flag=True, help="Draw the boxes in a window that shows the first frame.")
@click.option(
    "--tracker",
    default="",
    help="Tracker: spax (all moving objects) or hanet (chosen targets). Default: by source and boxes.",
)
@click.option("--model", default="", help="Name or path of the model. Default: the tracker's.")
@click.option("--engine", default="auto", show_default=True, help="Engine that runs the model.")
@add_profile_option
@click.option(
    "--start",
    "first_frame",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of the first frame to track.",
)
@click.option("--frames", "num_frames", type=click.IntRange(1), help="Number of frames to track.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Track every N-th frame.",
    metavar="N",
)
@add_topic_option
@add_calibration_options
@click.option(
    "--geography",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the map from pixels to the Earth: YAML, world file or GeoTIFF.",
)
@click.option(
    "--ground-sample-distance",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="METERS",
    help="Size of a pixel on the ground, for speeds in m/s and sizes in meters. Default: by the map, if any.",
)
@click.option("--no-video", is_flag=True, help="Write no overlay video.")
@click.option(
    "--scale",
    type=click.IntRange(0, 8),
    default=0,
    show_default=True,
    help="Factor by which the overlay is enlarged; 0: by the size of the images.",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Use later frames too (non-causal): passes backward, smoothed tracks, interpolated gaps. The source "
    "is read twice.",
)
@click.option("--stream", is_flag=True, help="Write the tracks of each frame to stdout, as a line of JSON.")
def track(
    sources: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    boxes: tuple[tuple[float, ...], ...],
    select: bool,
    tracker: str,
    model: str,
    engine: str,
    profile: str,
    first_frame: int,
    num_frames: int | None,
    every: int,
    topic: str,
    camera: str,
    white: str,
    dark: str,
    geography: Path | None,
    ground_sample_distance: float,
    no_video: bool,
    scale: int,
    offline: bool,
    stream: bool,
) -> None:
    """Track the objects in each SOURCE, and write tracks, an overlay video and a report.

    A SOURCE is a video file, a folder of images or cubes, a cube, a recording, a live stream (rtsp://...) or
    the index of a camera. Neither ROS nor ground truth is needed. SPAX tracks all moving objects of ordinary
    video. HA-Net tracks the targets that --box or --select choose, in ordinary and hyperspectral video.

    The folder gets tracks.txt (MOT), tracks.csv, tracks.jsonl, overlay.mp4, summary.json and report.html. For
    a source with a position on the Earth, it also gets tracks.geojson and tracks.kml. With a map or
    --ground-sample-distance, the files have speeds in m/s and sizes in meters. The files of an interrupted
    run are complete up to its last frame.
    """
    from rich.console import Console

    from tracking_runtime.boxes import as_boxes
    from tracking_runtime.tracking.runs import TrackJob
    from tracking_runtime.tracking.session import TrackOptions

    options = TrackOptions(
        boxes=as_boxes(boxes),
        first_frame=first_frame,
        num_frames=num_frames,
        every=every,
        draws_video=not no_video,
        scale=scale,
        row_stream=sys.stdout if stream else None,
        is_offline=offline,
    )
    calibration = {"camera": camera, "white": white, "dark": dark}
    jobs = [
        TrackJob(
            address,
            topic,
            calibration,
            tracker,
            model,
            engine,
            profile,
            select,
            geography,
            options,
            ground_sample_distance,
        )
        for address in sources
    ]
    folder = output or (None if stream else _DEFAULT_OUTPUT)
    _run_jobs(jobs, folder, overwrite, Console(stderr=stream))


def _run_jobs(jobs: Sequence[TrackJob], output: Path | None, overwrite: bool, console: Console) -> None:
    """Run the jobs one after the other. A job that fails does not stop the others."""
    from rich.markup import escape

    from tracking_runtime.errors import TrackingError
    from tracking_runtime.tracking.output_folder import OutputFolder
    from tracking_runtime.tracking.runs import open_job

    num_failed = 0
    names: set[str] = set()
    for job in jobs:
        try:
            opened = open_job(job)
            name = _make_folder_name(opened.source.name, names)
            path = output if output is None or len(jobs) == 1 else output / name
            folder = None if path is None else OutputFolder(path, overwrites=overwrite)
            report = _run_with_progress(opened, folder, console)
        except TrackingError as error:
            if len(jobs) == 1:
                raise
            num_failed += 1
            console.print(f"[red]{escape(job.address)}: {escape(str(error))}", soft_wrap=True)
            continue
        except OSError as error:
            # For example, the disk is full
            raise click.ClickException(str(error)) from error
        _print_result(report, path, console)
        if report.run.exit_status:
            raise click.exceptions.Exit(report.run.exit_status)
    if num_failed:
        raise click.ClickException(f"{num_failed} of {len(jobs)} sources could not be tracked")


def _run_with_progress(opened: OpenedJob, folder: Any, console: Console) -> TrackReport:
    from tracking_runtime.tracking.runs import run_job

    with make_frame_progress(console) as progress:
        task = progress.add_task(opened.source.name, total=opened.num_selected)
        return run_job(opened, folder, lambda run: progress.update(task, completed=run.num_tracked))


def _make_folder_name(name: str, names: set[str]) -> str:
    """Return a name of a folder that no earlier source has, and add the name to `names`."""
    return make_unique_name(name.replace("/", "_").lstrip(".") or "source", names)


def _print_result(report: TrackReport, folder: Path | None, console: Console) -> None:
    from rich.markup import escape

    run = report.run
    ending = "[yellow]interrupted:[/] " if run.was_interrupted else ""
    console.print(
        f"{ending}{len(run.statistics.tracks)} tracks in {run.num_tracked} frames of {escape(report.name)}, "
        f"{report.frames_per_second:.1f} frames/s",
        soft_wrap=True,
    )
    for count, fate in ((run.num_refused, "refused"), (run.num_dropped, "dropped")):
        if count:
            console.print(f"[yellow]{count} frames {fate}", soft_wrap=True)
    for note in run.notes:
        console.print(f"[yellow]{escape(note)}", soft_wrap=True)
    if folder is not None:
        console.print(f"{', '.join(report.files)} in {escape(str(folder))}", soft_wrap=True)
        console.print(f"Open [bold]{escape(str((folder / 'report.html').resolve()))}[/]", soft_wrap=True)
