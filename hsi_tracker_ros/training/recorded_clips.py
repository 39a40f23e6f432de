"""Training clips from recordings: HOT folders, bags, and other videos with bands and ground truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.training.clips import SUBSAMPLING, CubeClip, make_clip, write_clip
from tracking_runtime.datasets.sequences import VideoSequence, find_source_path
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.frames import Frame
from tracking_runtime.io.notes import add_note

CLIP_FRAMES = 6
"""Maximum number of frames of a clip."""

_MIN_VISIBLE_FRAMES = 2  # clips in which the target is visible less often give no pairs of different frames
_MAX_NAMED = 5  # videos that a note names
_WHITE_PERCENTILE = 99.9  # of a video's first cube, if the camera's saturation level is unknown
_MIN_WHITE_LEVEL = 1e-6


@dataclass(frozen=True)
class _CubeFrame:
    """A decoded frame.

    Attributes:
        number: number of the frame in its video, counted from 1.
        cube: digital numbers above black, (height, width, bands).
        box: box of the target, (4,); NaN if it is not visible.
    """

    number: int
    cube: NDArray[np.float32]
    box: NDArray[np.float64]


def cut_recorded_clips(folder: Path, videos: Sequence[VideoSequence], *, stride: int = 10) -> Iterator[str]:
    """Cut videos into clips in a folder. Yield the name of each finished video.

    The name of a clip depends on the path of its video, so that an interrupted call can be repeated. Videos
    that were cut before are skipped. A note names the videos that give no clip.

    Args:
        folder: folder of the clips; it is created if needed.
        videos: videos with one target each.
        stride: frames from one frame of a clip to the next. Higher makes pairs differ more.

    Raises:
        SourceError: a video has no bands or cannot be read, or no video gives a clip. The message names the
            video.
    """
    useless: list[str] = []
    for video in videos:
        identity = f"{video.name} {find_source_path(video)} {len(video)} {stride}"
        key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        done_file = folder / f"recorded_{key}.done"
        if not done_file.exists():
            num_clips = 0
            for clip in _cut_clips(video, stride):
                write_clip(folder, f"recorded_{key}_{num_clips:04d}", clip)
                num_clips += 1
            if num_clips:
                done_file.touch()
            else:
                useless.append(_explain_useless(video, stride))
        yield video.name
    if useless:
        named = "; ".join(useless[:_MAX_NAMED]) + ("; …" if len(useless) > _MAX_NAMED else "")
        text = f"{len(useless)} of {len(videos)} videos give no clips to train on: {named}"
        if len(useless) == len(videos):
            raise SourceError(f"{text}; give videos with the ground truth of their target")
        add_note(text)


def _explain_useless(video: VideoSequence, stride: int) -> str:
    """Return the name of a video that gives no clip, and the reason."""
    if not _has_target(video):
        return f"{_describe_video(video)} has no ground truth"
    return (
        f"{_describe_video(video)}: the target is visible in fewer than {_MIN_VISIBLE_FRAMES} of the "
        f"{-(-len(video) // stride)} frames that are used"
    )


def _has_target(video: VideoSequence) -> bool:
    return any(truth is not None and len(truth.boxes) for truth in video.truth)


def _cut_clips(video: VideoSequence, stride: int) -> Iterator[CubeClip]:
    camera = video.spectral_info
    if camera is None:
        raise SourceError(
            f"{_describe_video(video)} has no description of its camera's bands; add spectral_info.yaml"
        )
    if not _has_target(video):
        return
    decoder = Decoder(camera)
    info = decoder.cube_camera
    assert info is not None
    white_level = info.saturation_level - info.black_level if info.saturation_level else 0.0
    cubes: list[NDArray[np.float32]] = []
    boxes: list[NDArray[np.float64]] = []
    for frame in _decode_frames(video, decoder, info.black_level, stride):
        if cubes and frame.cube.shape != cubes[0].shape:
            raise SourceError(
                f"{_describe_video(video)}, frame {frame.number}: cubes must have one shape: "
                f"got {frame.cube.shape}, expected {cubes[0].shape}"
            )
        white_level = white_level or _estimate_white_level(frame.cube)
        cubes.append(frame.cube / max(white_level, _MIN_WHITE_LEVEL))
        boxes.append(frame.box)
        if len(cubes) == CLIP_FRAMES:
            yield from _make_useful_clip(cubes, boxes, info.wavelengths_nm)
            cubes = []
            boxes = []
    yield from _make_useful_clip(cubes, boxes, info.wavelengths_nm)


def _decode_frames(
    video: VideoSequence, decoder: Decoder, black_level: float, stride: int
) -> Iterator[_CubeFrame]:
    for index, frame in enumerate(video):
        if index % stride:
            continue
        number = index + 1
        try:
            cube = decoder.decode(frame.image, frame.encoding).astype(np.float32) - black_level
        except FrameRefusedError as error:
            raise SourceError(f"{_describe_video(video)}, frame {number}: {error}") from error
        yield _CubeFrame(number, cube, _find_target_box(frame))


def _estimate_white_level(cube: NDArray[np.float32]) -> float:
    brightest_bands = cube[::SUBSAMPLING, ::SUBSAMPLING].max(axis=2)
    return float(np.percentile(brightest_bands, _WHITE_PERCENTILE))


def _describe_video(video: VideoSequence) -> str:
    path = find_source_path(video)
    return video.name if path is None else f"{video.name} in {path}"


def _make_useful_clip(
    cubes: Sequence[NDArray[np.float32]],
    boxes: Sequence[NDArray[np.float64]],
    wavelengths_nm: Sequence[float],
) -> Iterator[CubeClip]:
    """Yield the clip if its target is visible often enough."""
    if boxes and np.isfinite(np.stack(boxes)[:, 0]).sum() >= _MIN_VISIBLE_FRAMES:
        yield make_clip(cubes, np.stack(boxes), wavelengths_nm)


def _find_target_box(frame: Frame) -> NDArray[np.float64]:
    if frame.truth is None or not len(frame.truth.boxes):
        return np.full(4, np.nan)
    return frame.truth.boxes[0]
