"""The commands `rstrack annotations export` and `rstrack annotations import`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.dataset_options import split_class_names
from tracking_runtime.commands.progress import make_progress
from tracking_runtime.files import make_unique_name

if TYPE_CHECKING:
    from tracking_runtime.datasets.annotations import Annotations
    from tracking_runtime.datasets.sequences import VideoSequence
    from tracking_runtime.datasets.track_files import TrackFile

_FORMATS = {".xml": "cvat", ".json": "coco-video"}


@click.group("annotations")
def annotations_group() -> None:
    """Take tracks to an annotation tool, and bring corrected ones back as ground truth."""


@annotations_group.command("export")
@click.argument("tracks", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["cvat", "coco-video"]),
    help="Format of OUTPUT. Default: cvat for .xml, coco-video for .json.",
)
@click.option(
    "--source",
    default="",
    help="Video of the tracks; its number of frames and size are written. Default: up to the last track.",
)
@click.option(
    "--classes",
    default="",
    help="Names of the classes, separated by commas, in the order of their numbers, which count from 1.",
)
@click.option(
    "--tolerance",
    "tolerance_px",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Pixels by which interpolated boxes may differ. Higher leaves fewer boxes to correct. 0 keeps all.",
)
def export_annotations(
    tracks: Path, output: Path, file_format: str | None, source: str, classes: str, tolerance_px: float
) -> None:
    """Write TRACKS as annotations to the file OUTPUT.

    TRACKS is a result file of rstrack track or rstrack evaluate: JSON lines, MOT text, or boxes of one
    target. JSON lines have the names of the classes and the uncertain boxes, which become occluded.
    """
    from rich.console import Console

    from tracking_runtime.datasets.coco_video import format_coco_video
    from tracking_runtime.datasets.cvat import format_cvat
    from tracking_runtime.datasets.track_files import read_track_file
    from tracking_runtime.files import atomic_write

    file_format = file_format or _FORMATS.get(output.suffix.lower())
    if file_format is None:
        raise click.UsageError("the suffix of OUTPUT must be .xml or .json, or --format must be given")
    file = read_track_file(tracks, split_class_names(classes))
    content = _make_annotations(file, tracks, source, tolerance_px)
    lines = format_cvat(content) if file_format == "cvat" else format_coco_video(content)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(output) as path, path.open("w", encoding="utf-8") as text:
            text.writelines(lines)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    num_boxes = sum(len(track.frames) for track in content.tracks)
    num_keyframes = sum(int(track.is_keyframe.sum()) for track in content.tracks)
    Console().print(
        f"{len(content.tracks)} tracks, {num_boxes} boxes, {num_keyframes} keyframes in {output}; "
        f"labels: {', '.join(content.class_names)}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )


@annotations_group.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@click.option("--source", default="", help="Video that was annotated. Default: the images beside FILE.")
@click.option(
    "--to",
    "output_format",
    type=click.Choice(["folder", "bag", "text"]),
    default="folder",
    show_default=True,
    help="Format in OUTPUT. text: ground truth in MOT format, without images.",
)
def import_annotations(file: Path, output: Path, source: str, output_format: str) -> None:
    """Write annotations with their video to the folder OUTPUT, for rstrack evaluate and rstrack train.

    FILE is an export of CVAT ("CVAT for video 1.1", .xml or .zip) or a COCO video .json. Boxes between
    keyframes are interpolated as in the tool.
    """
    from rich.console import Console

    from tracking_runtime.datasets.annotation_videos import (
        AnnotatedSource,
        open_annotations,
        read_annotations,
    )
    from tracking_runtime.io.sources import open_source

    console = Console()
    names: set[str] = set()
    try:
        if source:
            found = read_annotations(file)
            if len(found) != 1:
                raise click.UsageError(f"--source is for one video: {file} has {len(found)}")
            videos: list[VideoSequence] = [AnnotatedSource(open_source(source), found[0])]
        else:
            videos = open_annotations(file)
        for video in videos:
            path = output / _make_file_name(video.name, names)
            _write(video, path, output_format)
            classes = ",".join(video.class_names)
            console.print(
                f"{path}: {len(video)} frames, --classes {classes}",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )
    except OSError as error:
        raise click.ClickException(str(error)) from error


def _make_annotations(file: TrackFile, path: Path, source: str, tolerance_px: float) -> Annotations:
    """Return the tracks as annotations, with the size and number of frames of the source."""
    from tracking_runtime.boxes import ScoredBoxes
    from tracking_runtime.datasets.annotations import MAX_FRAMES, make_annotations
    from tracking_runtime.errors import SourceError
    from tracking_runtime.frames import compute_box_image_size
    from tracking_runtime.io.sources import open_source

    if file.num_frames > MAX_FRAMES:
        raise SourceError(f"{path}: at most {MAX_FRAMES} frames are supported: got frame {file.num_frames}")
    frames = [ScoredBoxes.none()] * file.num_frames
    for number, boxes in zip(file.frame_numbers, file.frames, strict=True):
        frames[number - 1] = boxes
    num_frames: int | None = None
    image_size = (0, 0)
    if source:
        video = open_source(source)
        num_frames = len(video)
        first = next(iter(video), None)
        image_size = image_size if first is None else compute_box_image_size(first, video.spectral_info)
    return make_annotations(
        frames,
        name=Path(source.partition("?")[0]).name if source else path.stem,
        class_names=file.class_names,
        num_frames=num_frames,
        image_size=image_size,
        keyframe_tolerance_px=tolerance_px,
    )


def _write(video: VideoSequence, path: Path, output_format: str) -> None:
    """Write a video with its ground truth, and show the progress."""
    from tracking_runtime.datasets.conversion import write_folder
    from tracking_runtime.errors import SourceError
    from tracking_runtime.io.source_recorder import record_source

    if output_format == "text":
        _write_text(video, path.with_name(f"{path.name}.txt"))
        return
    if path.exists():
        raise SourceError(f"{path} exists already: choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps_ns: Iterator[int] = (
        write_folder(video, path) if output_format == "folder" else record_source(video, path)
    )
    try:
        with make_progress() as progress:
            task = progress.add_task(video.name, total=len(video))
            for _ in stamps_ns:
                progress.advance(task)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)  # the corrected command finds the place free
        raise


def _write_text(video: VideoSequence, path: Path) -> None:
    """Write only the ground truth, in MOT format."""
    import numpy as np

    from tracking_runtime.boxes import ScoredBoxes
    from tracking_runtime.datasets.result_files import write_tracks
    from tracking_runtime.errors import SourceError

    if path.exists():
        raise SourceError(f"{path} exists already: choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [
        ScoredBoxes.none()
        if truth is None
        else ScoredBoxes(truth.ids, truth.boxes, np.ones(len(truth.ids)), truth.class_ids.astype(np.int64))
        for truth in video.truth
    ]
    write_tracks(path, frames)


def _make_file_name(name: str, names: set[str]) -> str:
    """Return a name of a folder or file that no earlier video has, without separators of paths."""
    return make_unique_name(re.sub(r"[^\w.-]+", "_", name).strip("._")[:100] or "video", names)
