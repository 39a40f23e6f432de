"""Tracks as annotation tools see them: labels, boxes, occlusion and keyframes of each object of a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes, from_corners, to_corners
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.untrusted.limits import Limit

MAX_FRAMES = 1_000_000
MAX_BOXES = 10_000_000
MAX_CLASSES = 256  # class ids of ground truth are bytes
ANNOTATION_BYTES = Limit("RSTRACK_MAX_ANNOTATION_BYTES", 1 << 28, "bytes")
"""Size of a file of annotations, unpacked. The default has room for about a million boxes."""
UNKNOWN_LABEL = "object"
"""Label of objects whose class is unknown."""


@dataclass(frozen=True)
class AnnotatedTrack:
    """One object of a video, as parallel arrays in ascending order of frames. Absent frames are left out.

    Attributes:
        id: identity of the object.
        label: name of its class.
        frames: frame of each box, from 0, (n,).
        boxes: boxes in pixels, (n, 4): x, y, width, height.
        is_occluded: True where the object is partly or wholly covered, (n,).
        is_keyframe: True where a person or tracker set the box, False where the box is interpolated, (n,).
    """

    id: int
    label: str
    frames: NDArray[np.int64]
    boxes: Boxes
    is_occluded: NDArray[np.bool_]
    is_keyframe: NDArray[np.bool_]

    @property
    def is_first(self) -> NDArray[np.bool_]:
        """True for each box that begins a run of consecutive frames, (n,)."""
        return np.diff(self.frames, prepend=-2) > 1


@dataclass(frozen=True)
class Annotations:
    """Annotated objects of one video.

    Attributes:
        name: name of the video.
        tracks: objects in the order of the file.
        class_names: name of each class.
        num_frames: number of frames of the video.
        image_size: width and height in pixels; zeros if unknown.
        file_names: name of the image of each frame; empty if unknown.
    """

    name: str
    tracks: tuple[AnnotatedTrack, ...]
    class_names: tuple[str, ...]
    num_frames: int
    image_size: tuple[int, int] = (0, 0)
    file_names: tuple[str, ...] = ()

    def make_truth(self) -> list[GroundTruth]:
        """Return the objects of each frame as ground truth."""
        class_ids = {name: number for number, name in enumerate(self.class_names)}
        empty = GroundTruth()
        truths = [empty] * self.num_frames
        if not self.tracks:
            return truths
        frames = np.concatenate([track.frames for track in self.tracks])
        counts = [len(track.frames) for track in self.tracks]
        ids = np.repeat(np.array([track.id for track in self.tracks], np.int64), counts)
        classes = np.repeat(np.array([class_ids[track.label] for track in self.tracks], np.uint8), counts)
        boxes = np.concatenate([track.boxes for track in self.tracks])
        order = np.argsort(frames, kind="stable")
        starts = np.searchsorted(frames[order], np.arange(self.num_frames + 1))
        for frame in np.unique(frames).tolist():
            rows = order[starts[frame] : starts[frame + 1]]
            truths[frame] = GroundTruth(ids[rows], classes[rows], boxes[rows])
        return truths


def make_annotations(
    frames: Sequence[ScoredBoxes],
    *,
    name: str,
    class_names: Sequence[str] = (),
    num_frames: int | None = None,
    image_size: tuple[int, int] = (0, 0),
    file_names: Sequence[str] = (),
    keyframe_tolerance_px: float = 0.0,
) -> Annotations:
    """Return the tracks of a video as annotations.

    Boxes of an unknown class have the label `object`. An uncertain or coasting box is occluded.

    Args:
        frames: boxes of each frame. Lost targets must be left out.
        name: name of the video.
        class_names: name of each class id.
        num_frames: number of frames of the video; None: as many as `frames`.
        image_size: width and height in pixels; zeros if unknown.
        file_names: name of the image of each frame; empty if unknown.
        keyframe_tolerance_px: boxes that interpolation between keyframes meets within this many pixels are no
            keyframes. 0 makes every box a keyframe. Higher makes fewer boxes to correct, and moves boxes.

    Raises:
        SourceError: a box is invalid, an object is in a frame twice, or there are too many frames.
    """
    total = len(frames) if num_frames is None else num_frames
    if len(frames) > total or total > MAX_FRAMES:
        raise SourceError(
            f"{name}: tracks reach frame {len(frames)}, expected at most {min(total, MAX_FRAMES)}"
        )
    names = list(class_names)
    tracks = [thin_keyframes(track, keyframe_tolerance_px) for track in _collect_tracks(frames, names, name)]
    known = [*names, *sorted({track.label for track in tracks} - set(names))] or [UNKNOWN_LABEL]
    if len(known) > MAX_CLASSES:
        raise SourceError(f"{name}: at most {MAX_CLASSES} classes are supported: got {len(known)}")
    return Annotations(name, tuple(tracks), tuple(known), total, image_size, tuple(file_names))


def _collect_tracks(
    frames: Sequence[ScoredBoxes], class_names: Sequence[str], name: str
) -> Iterator[AnnotatedTrack]:
    """Yield the track of each id, with a keyframe in each of its frames, in the order of the ids.

    Raises:
        SourceError: a box is invalid, or an object is in a frame twice.
    """
    rows = [(index, each) for index, each in enumerate(frames) if len(each.ids)]
    if not rows:
        return
    frame_numbers = np.concatenate([np.full(len(each.ids), index, np.int64) for index, each in rows])
    ids = np.concatenate([np.asarray(each.ids, np.int64) for _, each in rows])
    boxes = np.concatenate([as_boxes(each.boxes) for _, each in rows])
    class_ids = np.concatenate([np.asarray(each.class_ids, np.int64) for _, each in rows])
    occluded = np.concatenate([_find_occluded(each) for _, each in rows])
    order = np.lexsort((frame_numbers, ids))
    for selected in np.split(order, np.flatnonzero(np.diff(ids[order])) + 1):
        track = AnnotatedTrack(
            int(ids[selected[0]]),
            _find_label(class_ids[selected], class_names),
            frame_numbers[selected],
            boxes[selected],
            occluded[selected],
            np.ones(len(selected), bool),
        )
        check_track(track, name)
        yield track


def check_track(track: AnnotatedTrack, subject: object) -> None:
    """Check the boxes and frames of a track.

    Raises:
        SourceError: a box is not finite or has no area, or a frame occurs twice.
    """
    is_valid = np.isfinite(track.boxes).all(axis=1) & (track.boxes[:, 2:] > 0).all(axis=1)
    if not is_valid.all():
        index = int(np.argmin(is_valid))
        values = ", ".join(f"{value:g}" for value in track.boxes[index])
        raise SourceError(
            f"{subject}: object {track.id} in frame {track.frames[index] + 1}: a box must be finite with a "
            f"positive width and height: got {values}"
        )
    if (np.diff(track.frames) <= 0).any():
        index = int(np.argmax(np.diff(track.frames) <= 0))
        raise SourceError(f"{subject}: object {track.id} is in frame {track.frames[index + 1] + 1} twice")


def interpolate_corners(before: Boxes, after: Boxes, shares: NDArray[np.float64]) -> Boxes:
    """Return corners left, top, right, bottom between two keyframes, (n, 4), linear in the frame number."""
    return before + np.asarray(shares)[:, None] * (after - before)


def thin_keyframes(track: AnnotatedTrack, tolerance_px: float) -> AnnotatedTrack:
    """Return a track with fewer keyframes. The other boxes are interpolated between these.

    Args:
        track: track.
        tolerance_px: largest distance of an interpolated corner from the box; 0 keeps all keyframes.
    """
    if tolerance_px <= 0 or len(track.frames) < 3:
        return track
    corners = to_corners(track.boxes)
    is_change = track.is_first | np.append(track.is_first[1:], True)
    is_change[1:] |= track.is_occluded[1:] != track.is_occluded[:-1]
    bounds = np.flatnonzero(is_change)
    is_keyframe = is_change.copy()
    for start, end in pairwise(bounds.tolist()):
        if not track.is_first[end]:
            _mark_keyframes(track.frames, corners, start, end, tolerance_px, is_keyframe)
    kept = np.flatnonzero(is_keyframe)
    thinned = corners.copy()
    for start, end in pairwise(kept.tolist()):
        inner = slice(start + 1, end)
        shares = (track.frames[inner] - track.frames[start]) / (track.frames[end] - track.frames[start])
        thinned[inner] = interpolate_corners(corners[start], corners[end], shares)
    boxes = np.where(is_keyframe[:, None], track.boxes, from_corners(thinned))
    return replace(track, boxes=boxes, is_keyframe=is_keyframe)


def _mark_keyframes(
    frames: NDArray[np.int64],
    corners: Boxes,
    start: int,
    end: int,
    tolerance_px: float,
    is_keyframe: NDArray[np.bool_],
) -> None:
    """Mark keyframes between two, by splitting at the worst box (Douglas and Peucker)."""
    waiting = [(start, end)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        inner = slice(first + 1, last)
        shares = (frames[inner] - frames[first]) / (frames[last] - frames[first])
        errors = np.abs(interpolate_corners(corners[first], corners[last], shares) - corners[inner]).max(
            axis=1
        )
        worst = int(np.argmax(errors))
        if errors[worst] > tolerance_px:
            middle = first + 1 + worst
            is_keyframe[middle] = True
            waiting += [(first, middle), (middle, last)]


def _find_occluded(frame: ScoredBoxes) -> NDArray[np.bool_]:
    states = frame.states or ("",) * len(frame.ids)
    return np.array([state in ("uncertain", "coasting") for state in states], bool)


def _find_label(class_ids: NDArray[np.int64], names: Sequence[str]) -> str:
    """Return the label of the class that most boxes of an object have; of equal counts the lowest."""
    values, counts = np.unique(class_ids, return_counts=True)
    class_id = int(values[np.argmax(counts)])
    if 0 <= class_id < len(names):
        return names[class_id]
    return UNKNOWN_LABEL if class_id < 0 else f"class_{class_id + 1}"
