"""Training clips cut from recordings: the HOT challenge's folders, bags, all that has spectra and truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.training.pairs import Clip, make_clip, write_clip
from tracking_runtime.datasets.sequences import VideoSequence, place_of
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.frames import Frame

CLIP_FRAMES = 6
BRIGHTEST = 99.9


def record_clips(folder: Path, videos: Sequence[VideoSequence], *, stride: int = 10) -> Iterator[str]:
    """Fill a folder with clips of videos, yielding each video's name when it is done.

    A clip's name follows from its video and where that lies, so an interrupted run goes on where it was.

    Args:
        folder: of the clips.
        videos: with one target each.
        stride: frames from one frame of a clip to the next.

    Raises:
        SourceError: a video has no spectra or cannot be read; the message names it.
    """
    for video in videos:
        known = f"{video.name} {place_of(video)} {len(video)} {stride}"
        key = hashlib.sha256(known.encode()).hexdigest()[:12]
        done = folder / f"recorded_{key}.done"
        if not done.exists():
            for number, clip in enumerate(_clips(video, stride)):
                write_clip(folder, f"recorded_{key}_{number:04d}", clip)
            folder.mkdir(parents=True, exist_ok=True)
            done.touch()
        yield video.name


def _clips(video: VideoSequence, stride: int) -> Iterator[Clip]:
    camera = video.spectral_info
    if camera is None:
        raise SourceError(
            f"{_named(video)}: nothing tells the bands of its camera, so there is no spectrum to learn"
        )
    decoder = Decoder(camera)
    kept: list[NDArray[np.float32]] = []
    boxes: list[NDArray[np.float64]] = []
    info = decoder.cube_camera
    assert info is not None
    white = info.saturation_level - info.black_level if info.saturation_level else 0.0
    for index, frame in enumerate(video):
        if index % stride:
            continue
        try:
            cube = decoder.decode(frame.image, frame.encoding).astype(np.float32) - info.black_level
        except FrameRefusedError as error:
            raise SourceError(f"{_named(video)}, frame {index + 1}: {error}") from error
        if kept and cube.shape != kept[0].shape:
            raise SourceError(
                f"{_named(video)}, frame {index + 1}: a cube of shape {cube.shape}, those before were of "
                f"{kept[0].shape}"
            )
        white = white or float(np.percentile(cube[::4, ::4].max(axis=2), BRIGHTEST))
        kept.append(cube / max(white, 1e-6))
        boxes.append(_target(frame))
        if len(kept) == CLIP_FRAMES:
            yield from _worthwhile(kept, boxes, info.wavelengths_nm)
            kept, boxes = [], []
    yield from _worthwhile(kept, boxes, info.wavelengths_nm)


def _named(video: VideoSequence) -> str:
    place = place_of(video)
    return video.name if place is None else f"{video.name} in {place}"


def _worthwhile(
    light: Sequence[NDArray[np.float32]], boxes: Sequence[NDArray[np.float64]], nm: Sequence[float]
) -> Iterator[Clip]:
    """The clip, if its target is seen at least twice."""
    if boxes and np.isfinite(np.stack(boxes)[:, 0]).sum() > 1:
        yield make_clip(light, np.stack(boxes), nm)


def _target(frame: Frame) -> NDArray[np.float64]:
    known = frame.truth is not None and len(frame.truth.boxes)
    return frame.truth.boxes[0] if frame.truth is not None and known else np.full(4, np.nan)
