"""Conversion of the videos of a data set, each whole or not at all, and its continuation after a failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.files import atomic_folder, atomic_write, resolve_inside

_LOG_FILE = ".rstrack-convert.json"
"""File in the output folder while a conversion is unfinished: its task, and the names of finished videos."""


def convert_videos(
    videos: Sequence[VideoSequence],
    output: Path,
    convert_video: Callable[[VideoSequence, Path], Iterator[int]],
    *,
    task: str,
) -> Iterator[tuple[str, int]]:
    """Convert videos into a folder each, whose path below the output folder is the video's name.

    A video that fails leaves nothing behind. Videos that an earlier, failed run of the same task has finished
    are kept.

    Args:
        videos: videos.
        output: folder of the results. It is created if needed.
        convert_video: function that writes a video to a new folder and yields after each frame.
        task: description of input and options. A run continues only a run of the same task.

    Yields:
        Name of the current video, and number of frames finished since the last step.

    Raises:
        SourceError: a result exists already, a name leads out of the output folder, or a video cannot be
            read.
        OSError: a result cannot be written.
    """
    targets = [_find_target(output, video.name) for video in videos]
    is_new_folder = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    finished = _read_finished(output, task)
    for video, target in zip(videos, targets, strict=True):
        if target.exists() and video.name not in finished:
            raise SourceError(f"{target} exists already: choose another name")
    try:
        for video, target in zip(videos, targets, strict=True):
            if target.exists():
                yield video.name, len(video)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_folder(target) as partial_folder:
                is_empty = True
                for _ in convert_video(video, partial_folder):
                    is_empty = False
                    yield video.name, 1
                if is_empty:
                    raise SourceError(f"{video.name} must have frames to convert: got none")
            finished.append(video.name)
            _write_log(output, task, finished)
        (output / _LOG_FILE).unlink(missing_ok=True)
    finally:
        _remove_empty_folders([target.parent for target in targets], output, including_output=is_new_folder)


def _find_target(output: Path, name: str) -> Path:
    target = resolve_inside(output, name)
    if target == output.resolve():
        raise SourceError(f"the name of a video must be a path below {output}: got {name!r}")
    return output / name


def _read_finished(output: Path, task: str) -> list[str]:
    """Read the names of the videos that an earlier run of the same task has finished."""
    try:
        content = json.loads((output / _LOG_FILE).read_bytes())
        return [str(name) for name in content["finished"]] if content["task"] == task else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write_log(output: Path, task: str, finished: Sequence[str]) -> None:
    with atomic_write(output / _LOG_FILE) as path:
        path.write_text(json.dumps({"task": task, "finished": list(finished)}), encoding="utf-8")


def _remove_empty_folders(folders: Sequence[Path], output: Path, *, including_output: bool) -> None:
    """Remove the folders, and those between them and the output folder, as far as they are empty."""
    for folder in {*folders}:
        while folder != output and folder != folder.parent:
            with suppress(OSError):
                folder.rmdir()
            folder = folder.parent
    if including_output:
        with suppress(OSError):
            output.rmdir()
