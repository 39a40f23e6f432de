"""Preparation of SPAX's training clips from recordings, benchmarks and simulated scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.mask import MotionMask, MotionSettings
from spax_ros.network.grid import compute_center_shift
from spax_ros.preprocessing import BrightnessFollower, PixelEncoder, to_gray, to_uint8
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import crop_or_pad
from spax_ros.training.clips import Clip, ClipFrame, PreparedFrame, find_box_slices
from spax_ros.training.options import SceneKind
from tracking_runtime.datasets.result_files import normalize_name
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.notes import add_note
from tracking_runtime.io.sources import open_source

MAX_CLIP_FRAMES = 40
"""Maximum number of frames of a clip of a video. Longer videos become several clips."""

_FAINT_SHARE = 0.4  # fraction of the mixed scenes with faint vehicles
_PORT_SHARE = 0.4  # fraction of the other mixed scenes
_CODEC_SHARE = 0.2  # fraction of the other mixed scenes with the blocks of a video encoder
_FAINT_SNR = (1.0, 5.0)
_MIN_CLIP_FRAMES = 2  # a single frame shows no motion
_NAMELESS_CLASSES = ("object",)  # class names of a video without classes


def prepare_frames(
    frames: Iterable[Frame],
    encoder: PixelEncoder,
    settings: MotionSettings,
    recall: float = 1.0,
    seed: int = 0,
) -> Iterator[PreparedFrame]:
    """Register and mask frames one by one, as the tracker does. Yield the prepared frames.

    Args:
        frames: frames with ground truth, in the order of time.
        encoder: encoder of the network's input.
        settings: settings of the motion mask.
        recall: fraction of the objects on active pixels that the network is assumed to detect. Detected
            objects stay active in the next frame.
        seed: seed of the draw of the detected objects.

    Raises:
        FrameRefusedError: a frame differs from the first by more than some rows and columns.
    """
    rng = np.random.default_rng(seed)
    motion_mask = MotionMask(replace(settings, accumulates=encoder.needs_accumulation))
    brightness = BrightnessFollower()
    detected_boxes = None
    height = width = 0
    for frame in frames:
        if not height:
            height, width = frame.image.shape[:2]
        image = frame.image[..., ::-1] if frame.encoding == "rgb8" else frame.image
        brightness.update(image)
        image = to_uint8(image, brightness.range.white, brightness.range.black)
        image = crop_or_pad(image, height, width)
        motion = motion_mask.update(to_gray(image), previous_boxes=detected_boxes)
        truth = frame.truth or GroundTruth()
        pixels = np.flatnonzero(motion.mask)
        clip_frame = ClipFrame(
            pixels=pixels.astype(np.int32),
            inputs=encoder.encode_pixels(image, motion.residual, pixels, motion.accumulated).astype(
                np.float16
            ),
            shift=compute_center_shift(motion.transform, height, width),
            truth=truth,
        )
        yield PreparedFrame((height, width), clip_frame, has_truth=frame.truth is not None)
        is_active = [bool(motion.mask[find_box_slices(box, height, width)].any()) for box in truth.boxes]
        is_detected = np.array(is_active, bool) & (rng.random(len(is_active)) < recall)
        detected_boxes = truth.boxes[is_detected]


def prepare_videos(
    folder: Path, encoder: PixelEncoder, classes: Sequence[str], videos: Sequence[VideoSequence]
) -> Iterator[int]:
    """Add the clips of a benchmark's videos that a folder lacks. Yield the number of finished videos.

    Classes are matched by name, whatever their numbers in the benchmark.

    Args:
        folder: folder of the clips; it is created if needed.
        encoder: encoder of the network's input.
        classes: class names of the network.
        videos: videos with ground truth.

    Raises:
        SourceError: a video has no ground truth, or a class that the network does not have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, video in enumerate(videos):
        name = f"{encoder.kind}-video-{index:04d}-{normalize_name(video.name)}"
        done_file = folder / f"{name}.done"
        if not done_file.exists():
            class_ids = map_class_ids(video, classes)
            frames = prepare_frames(_change_class_ids(video, class_ids), encoder, MotionSettings())
            for number, clip in enumerate(cut_clips(frames, video.name)):
                clip.save(folder / f"{name}-{number:04d}.npz")
            done_file.touch()
        yield index + 1


def cut_clips(
    frames: Iterable[PreparedFrame], name: str, max_frames: int | None = MAX_CLIP_FRAMES
) -> Iterator[Clip]:
    """Yield the clips of a video: runs of successive frames with known ground truth.

    A frame without known ground truth would teach that it shows no objects. A note counts the frames that are
    left out.

    Args:
        frames: prepared frames in the order of time.
        name: name of the video, for the note.
        max_frames: maximum number of frames of a clip; None: no limit.
    """
    num_frames = num_unknown = num_used = 0
    clip: list[PreparedFrame] = []
    for prepared in frames:
        num_frames += 1
        num_unknown += not prepared.has_truth
        if not prepared.has_truth or len(clip) == max_frames:
            if len(clip) >= _MIN_CLIP_FRAMES:
                num_used += len(clip)
                yield Clip.from_frames(clip)
            clip = []
        if prepared.has_truth:
            clip.append(prepared)
    if len(clip) >= _MIN_CLIP_FRAMES:
        num_used += len(clip)
        yield Clip.from_frames(clip)
    if num_unknown:
        add_note(
            f"{name}: {num_frames - num_used} of {num_frames} frames are left out, because they or their "
            "neighbors have no known ground truth"
        )


def map_class_ids(video: VideoSequence, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Return the network's class id for each class id of a video, (classes of the video,).

    A video without class names has objects of the first class.

    Args:
        video: video with ground truth.
        classes: class names of the network.

    Raises:
        SourceError: the video has no ground truth, or a class that the network does not have.
    """
    if not any(truth is not None for truth in video.truth):
        raise SourceError(f"{video.name} has no ground truth, which training needs")
    names = video.class_names
    if tuple(names) == _NAMELESS_CLASSES:
        return np.zeros(1, np.uint8)
    unknown_names = sorted(set(names) - set(classes))
    if unknown_names:
        raise SourceError(
            f"classes of {video.name} must be among those of the network: got {', '.join(names)}, expected "
            f"{', '.join(classes)}; name the classes of text files with --class-names"
        )
    return np.array([list(classes).index(name) for name in names], np.uint8)


def _change_class_ids(video: VideoSequence, class_ids: NDArray[np.uint8]) -> Iterator[Frame]:
    for frame in video:
        truth = frame.truth
        if truth is not None:
            truth = replace(truth, class_ids=class_ids[truth.class_ids])
        yield replace(frame, truth=truth)


def prepare_clips(
    folder: Path,
    encoder: PixelEncoder,
    *,
    sources: Sequence[str] = (),
    num_scenes: int = 0,
    num_frames: int = 34,
    scenes: SceneKind = "land",
) -> Iterator[int]:
    """Add the clips of sources and simulated scenes that a folder lacks. Yield the number of finished clips.

    Args:
        folder: folder of the clips; it is created if needed.
        encoder: encoder of the network's input.
        sources: addresses of sequences with ground truth, as `tracking_runtime.io.sources.open_source` takes
            them. Each sequence becomes one clip, or several around frames without known ground truth.
        num_scenes: number of simulated scenes.
        num_frames: number of frames of a simulated scene.
        scenes: kind of the scenes; see `choose_scene`.

    Raises:
        SourceError: a source has no ground truth, or cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, address in enumerate(sources):
        path = folder / f"{encoder.kind}-source-{index:05d}.npz"
        if not path.is_file():
            source = open_source(address)
            truth = getattr(source, "truth", None)  # scenes have it with their frames only
            if truth is not None and all(each is None for each in truth):
                raise SourceError(
                    f"{address} has no ground truth, which training needs; add it, or state ?truth=FILE"
                )
            frames = prepare_frames(source, encoder, MotionSettings())
            clips = [*cut_clips(frames, address, max_frames=None)]
            if not clips:
                raise SourceError(
                    f"{address} has no successive frames with known ground truth, which training needs; "
                    "add it"
                )
            for number, clip in reversed([*enumerate(clips)]):  # the file without a number is the last
                clip.save(path.with_stem(f"{path.stem}-{number:04d}") if number else path)
        yield index + 1
    for seed in range(num_scenes):
        label = "scene" if scenes == "land" else scenes
        path = folder / f"{encoder.kind}-{label}-{seed:05d}.npz"
        if not path.is_file():
            Clip.from_frames([*_prepare_scene(seed, num_frames, encoder, scenes)]).save(path)
        yield len(sources) + seed + 1


def choose_scene(seed: int, num_frames: int, kind: SceneKind, size: int) -> SatelliteScene:
    """Return the scene of a seed for training.

    Args:
        seed: seed of the scene.
        num_frames: number of frames.
        kind: ``land``: towns and fields with invented traffic. ``mixed``: also measured traffic, ports with
            their disturbances, video codecs, and vehicles with a contrast of 1 to 5 standard deviations of
            the noise.
        size: width and height in pixels.
    """
    if kind == "land":
        return SatelliteScene(seed, num_frames, size)
    rng = np.random.default_rng((seed, 4))
    options: dict[str, Any] = {"traffic": rng.choice(["flow", "measured", "invented"], p=[0.4, 0.3, 0.3])}
    if rng.random() < _FAINT_SHARE:
        options |= {"snr": float(rng.uniform(*_FAINT_SNR)), "density": float(rng.uniform(30, 120))}
    else:
        if rng.random() < _PORT_SHARE:
            options["place"] = "port"
        if rng.random() < _CODEC_SHARE:
            options["codec"] = "video"
    return SatelliteScene(seed, num_frames, size, **options)


def _prepare_scene(
    seed: int, num_frames: int, encoder: PixelEncoder, kind: SceneKind
) -> Iterator[PreparedFrame]:
    """Yield the prepared frames of a simulated scene, whose motion mask has random settings."""
    rng = np.random.default_rng(seed)
    settings = MotionSettings(budget=rng.uniform(0.04, 0.09), min_contrast=rng.uniform(2.5, 4.0))
    scene = choose_scene(seed, num_frames, kind, int(rng.choice([384, 448, 512])))
    return prepare_frames(scene, encoder, settings, recall=rng.uniform(0.5, 1), seed=seed)
