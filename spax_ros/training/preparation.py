"""What SPAX is trained on: frames with truth, turned once into what the network takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spax_ros.motion.mask import MotionMask, MotionSettings
from spax_ros.network.grid import shift_at
from spax_ros.preprocessing import Inputs, as_uint8, brightness
from spax_ros.simulation import SatelliteScene
from tracking_runtime.datasets.result_files import comparable
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.sources import open_source

PIECE_FRAMES = 40  # of a clip of a long video


@dataclass(frozen=True)
class ClipFrame:
    """The active pixels of one frame, and what is there.

    Attributes:
        pixels: ``(n,)`` their flat indices.
        inputs: ``(n, channels)`` float16, as the network takes them.
        shift: where the pixels of the centre were in the previous frame, relative to here: y, x.
        truth: the objects.
    """

    pixels: NDArray[np.int32]
    inputs: NDArray[np.float16]
    shift: NDArray[np.float64]
    truth: GroundTruth


@dataclass(frozen=True)
class PreparedFrame:
    """A clip's frame and the height and width of its image."""

    size: tuple[int, int]
    frame: ClipFrame


def prepared_frames(
    source: Iterable[Frame], inputs: Inputs, motion: MotionSettings, recall: float = 1.0, seed: int = 0
) -> Iterator[PreparedFrame]:
    """Register and mask the frames of a source one by one, as the tracker does.

    Args:
        source: with ground truth.
        inputs: of the network.
        motion: how the mask is made.
        recall: share of the objects on active pixels that the network is taken to see, and that therefore
            stay active in the next frame.
        seed: of which it sees.
    """
    rng = np.random.default_rng(seed)
    mask, boxes = MotionMask(motion), None
    for frame in source:
        height, width = frame.image.shape[:2]
        image = as_uint8(frame.image[..., ::-1] if frame.encoding == "rgb8" else frame.image)
        moving = mask.update(brightness(image), previous_boxes=boxes)
        truth = frame.truth or GroundTruth()
        pixels = np.flatnonzero(moving.mask)
        yield PreparedFrame(
            (height, width),
            ClipFrame(
                pixels=pixels.astype(np.int32),
                inputs=inputs.channels(image, moving.residual, pixels).astype(np.float16),
                shift=shift_at(moving.transform, height, width),
                truth=truth,
            ),
        )
        active = [np.any(moving.mask[window(box, height, width)]) for box in truth.boxes]
        boxes = truth.boxes[np.array(active, bool) & (rng.random(len(active)) < recall)]


def window(box: NDArray[np.float64], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an image's pixels that a box x, y, width, height touches."""
    left, upper = np.floor(box[:2]).astype(int)
    right, lower = np.ceil(box[:2] + box[2:]).astype(int)
    return slice(max(upper, 0), min(max(lower, 0), height)), slice(max(left, 0), min(max(right, 0), width))


@dataclass(frozen=True)
class Clip:
    """A sequence ready for training."""

    height: int
    width: int
    frames: tuple[ClipFrame, ...]

    @classmethod
    def of(cls, frames: Sequence[PreparedFrame]) -> Clip:
        """A clip of prepared frames of one size."""
        height, width = frames[0].size
        return cls(height, width, tuple(each.frame for each in frames))

    def save(self, path: Path) -> None:
        """Write the clip to one file."""
        frames = self.frames
        columns: dict[str, list[NDArray[Any]]] = {
            "pixels": [f.pixels for f in frames],
            "inputs": [f.inputs for f in frames],
            "ids": [f.truth.ids for f in frames],
            "class_ids": [f.truth.class_ids for f in frames],
            "boxes": [f.truth.boxes for f in frames],
        }
        arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in columns.items()}
        arrays["pixel_counts"] = np.array([len(f.pixels) for f in frames])
        arrays["truth_counts"] = np.array([len(f.truth.ids) for f in frames])
        arrays["shifts"] = np.stack([f.shift for f in frames])
        arrays["size"] = np.array([self.height, self.width])
        partial = path.with_name(f".{path.name}")
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Clip:
        """Read what ``save`` wrote."""
        with np.load(path) as file:
            arrays = dict(file)
        by_pixel, by_object = np.cumsum(arrays["pixel_counts"])[:-1], np.cumsum(arrays["truth_counts"])[:-1]
        pixels = [np.split(arrays[name], by_pixel) for name in ("pixels", "inputs")]
        truth = [np.split(arrays[name], by_object) for name in ("ids", "class_ids", "boxes")]
        frames = tuple(
            ClipFrame(p, i, shift, GroundTruth(ids, classes, boxes))
            for p, i, shift, ids, classes, boxes in zip(*pixels, arrays["shifts"], *truth, strict=True)
        )
        return cls(int(arrays["size"][0]), int(arrays["size"][1]), frames)


@dataclass(frozen=True)
class CropFrame:
    """One frame of a crop: ``mask`` (S, S), ``inputs`` (C, S, S), shift from the previous one, objects."""

    mask: NDArray[np.bool_]
    inputs: NDArray[np.float32]
    shift: NDArray[np.int64]
    truth: GroundTruth


def crop(
    clip: Clip, size: int, length: int, rng: np.random.Generator, class_id: int | None = None
) -> list[CropFrame]:
    """Consecutive frames of a random square around one of the clip's objects, flipped and transposed.

    Every other crop begins with the clip, when little of the background is known and few pixels are active.

    Args:
        clip: to cut from.
        size: side of the square in pixels.
        length: of the crop in frames.
        rng: decides.
        class_id: of the object, where one is there.
    """
    last = len(clip.frames) - length
    first = 0 if rng.random() < 0.5 else int(rng.integers(min(4, last), last + 1))
    chosen = clip.frames[first : first + length]
    truth = chosen[length // 2].truth
    wanted = truth.boxes[truth.class_ids == class_id]
    boxes = wanted if len(wanted) else truth.boxes
    centre = (
        boxes[rng.integers(len(boxes))] if len(boxes) else np.array([clip.width / 2, clip.height / 2, 0, 0])
    )
    corner = centre[:2] + centre[2:] / 2 - rng.uniform(0.1, 0.9, 2) * size
    left, top = np.clip(corner, 0, [max(clip.width - size, 0), max(clip.height - size, 0)]).astype(int)
    flip_y, flip_x, transpose = rng.random(3) < 0.5
    frames = []
    for frame in chosen:
        y, x = frame.pixels // clip.width - top, frame.pixels % clip.width - left
        inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
        mask = np.zeros((size, size), bool)
        mask[y[inside], x[inside]] = True
        inputs = np.zeros((frame.inputs.shape[1], size, size), np.float32)
        inputs[:, y[inside], x[inside]] = frame.inputs[inside].T
        boxes = frame.truth.boxes - [left, top, 0, 0]
        shift = np.round(frame.shift).astype(np.int64)
        if flip_y:
            mask, inputs = mask[::-1], inputs[:, ::-1]
            boxes[:, 1], shift[0] = size - boxes[:, 1] - boxes[:, 3], -shift[0]
        if flip_x:
            mask, inputs = mask[:, ::-1], inputs[:, :, ::-1]
            boxes[:, 0], shift[1] = size - boxes[:, 0] - boxes[:, 2], -shift[1]
        if transpose:
            mask, inputs = mask.T, inputs.transpose(0, 2, 1)
            boxes, shift = boxes[:, [1, 0, 3, 2]], shift[::-1]
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        here = ((centres >= 0) & (centres < size)).all(axis=1)
        truth = GroundTruth(frame.truth.ids[here], frame.truth.class_ids[here], boxes[here])
        frames.append(CropFrame(mask, inputs, shift, truth))
    return frames


def prepare_videos(
    folder: Path, inputs: Inputs, classes: Sequence[str], videos: Sequence[VideoSequence]
) -> Iterator[int]:
    """Add a benchmark's videos to a folder of clips, as far as it lacks them; yields how many are there.

    Long videos become several clips. Classes are told apart by name, whatever their numbers in a benchmark.

    Args:
        folder: made if need be.
        inputs: of the network that will be trained on them.
        classes: of that network.
        videos: with ground truth.

    Raises:
        SourceError: a video has no truth, or classes that the network does not know.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, video in enumerate(videos):
        name = f"{inputs.kind}-video-{number:04d}-{comparable(video.name)}"
        done = folder / f"{name}.done"
        if not done.exists():
            renumbered = class_numbers(video, classes)
            frames = prepared_frames(_renumbered(video, renumbered), inputs, MotionSettings())
            for piece in count():
                some = list(islice(frames, PIECE_FRAMES))
                if len(some) < 2:
                    break
                Clip.of(some).save(folder / f"{name}-{piece:04d}.npz")
            done.touch()
        yield number + 1


def class_numbers(video: VideoSequence, classes: Sequence[str]) -> NDArray[np.uint8]:
    """For each class number of a video that of a network; a video of one nameless class has the first.

    Raises:
        SourceError: the video has no truth, or a class whose name is not among the network's.
    """
    if not any(truth is not None for truth in video.truth):
        raise SourceError(f"{video.name} has no ground truth to learn from")
    names = video.class_names
    if tuple(names) == ("object",):
        return np.zeros(1, np.uint8)
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise SourceError(
            f"{video.name} has the classes {', '.join(names)}; the network knows {', '.join(classes)}: "
            "say with --class-names what the numbers stand for"
        )
    return np.array([list(classes).index(name) for name in names], np.uint8)


def _renumbered(video: VideoSequence, numbers: NDArray[np.uint8]) -> Iterator[Frame]:
    for frame in video:
        truth = frame.truth
        yield (
            frame
            if truth is None
            else replace(frame, truth=replace(truth, class_ids=numbers[truth.class_ids]))
        )


def prepare_clips(
    folder: Path, inputs: Inputs, *, sources: Sequence[str] = (), simulated: int = 0, frames: int = 34
) -> Iterator[int]:
    """Fill a folder with clips as far as it lacks them; yields how many are there, one by one.

    Args:
        folder: made if need be.
        inputs: of the network that will be trained on them.
        sources: sequences with ground truth, as ``tracking_runtime.io.sources.open_source`` takes them; each
            becomes one clip.
        simulated: scenes to render.
        frames: of a simulated scene.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, uri in enumerate(sources):
        path = folder / f"{inputs.kind}-source-{index:05d}.npz"
        if not path.is_file():
            Clip.of([*prepared_frames(open_source(uri), inputs, MotionSettings())]).save(path)
        yield index + 1
    for seed in range(simulated):
        path = folder / f"{inputs.kind}-scene-{seed:05d}.npz"
        if not path.is_file():
            rng = np.random.default_rng(seed)
            motion = MotionSettings(budget=rng.uniform(0.04, 0.09), least_contrast=rng.uniform(2.5, 4.0))
            scene = SatelliteScene(seed, frames, int(rng.choice([384, 448, 512])))
            Clip.of([*prepared_frames(scene, inputs, motion, rng.uniform(0.5, 1), seed)]).save(path)
        yield len(sources) + seed + 1


class ClipPool:
    """The prepared clips of a folder, drawn by class with the square root of how often it is seen.

    Raises:
        SourceError: there are none.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.npz"))
        if not self.paths:
            raise SourceError(
                f"no prepared clips in {folder}; make some with `rstrack train spax --clips {folder}`"
            )
        counts: Counter[int] = Counter()
        self._showing: dict[int, list[Path]] = defaultdict(list)
        for path in self.paths:
            with np.load(path) as file:
                seen = Counter(file["class_ids"].tolist())
            counts += seen
            for class_id in seen:
                self._showing[class_id].append(path)
        self._class_ids = sorted(counts)
        shares = np.sqrt([counts[class_id] for class_id in self._class_ids])
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Clip, int | None]:
        """A clip, and a class that is in it; any clip where none shows anything."""
        if not self._class_ids:
            return Clip.load(self.paths[rng.integers(len(self.paths))]), None
        class_id = int(rng.choice(self._class_ids, p=self._shares))
        paths = self._showing[class_id]
        return Clip.load(paths[rng.integers(len(paths))]), class_id
