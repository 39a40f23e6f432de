"""Pseudo-labels: long, fast and smooth tracks of a model in video without ground truth.

The rules are those of HiEUM: a moving object is seen for some frames, moves by some pixels, and its path is
smooth. What flickers, stands or zigzags is not labeled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spax_ros.association import TrackState
from spax_ros.tracker import SpaxTracker
from spax_ros.transforms import IDENTITY, compose_transforms, invert_transform, transform_points
from tracking_runtime.boxes import compute_centers, intersection_over_union
from tracking_runtime.frames import Frame, GroundTruth


@dataclass(frozen=True)
class LabelRules:
    """Properties of a track that becomes a label.

    Attributes:
        min_frames: frames in which the object was detected. Higher labels fewer and surer objects.
        min_speed: mean speed over the ground in pixels a frame. Higher leaves out slow objects and parallax.
        max_roughness: root mean square distance from a parabola over `min_frames` frames in pixels. Lower
            leaves out more clutter.
        min_detected: fraction of the frames from the first to the last in which the object was detected.
        min_score: mean score of its detections.
    """

    min_frames: int = 15
    min_speed: float = 0.55
    max_roughness: float = 0.6
    min_detected: float = 0.7
    min_score: float = 0.35


@dataclass(frozen=True)
class LabelTrack:
    """One track through a video.

    Attributes:
        class_id: class of its last frame.
        frames: ascending indices of the frames in which it was detected, ``(n,)``.
        boxes: boxes in the pixels of their frames, ``(n, 4)``.
        ground: centers in the pixels of the first frame of the video, ``(n, 2)``.
        scores: scores of the detections, ``(n,)``.
    """

    class_id: int
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    ground: NDArray[np.float64]
    scores: NDArray[np.float64]


@dataclass
class _Sightings:
    frames: list[int]
    boxes: list[NDArray[np.float64]]
    ground: list[NDArray[np.float64]]
    scores: list[float]
    class_id: int = 0


def collect_tracks(tracker: SpaxTracker, frames: Iterable[Frame]) -> list[LabelTrack]:
    """Track in a video and return all tracks, confirmed or not, with the frames of their detections."""
    sightings: dict[int, _Sightings] = {}
    to_first = IDENTITY
    for index, frame in enumerate(frames):
        result = tracker.track(frame.image, frame.stamp_ns)
        to_first = compose_transforms(to_first, invert_transform(result.camera_motion))
        tracks = result.tracks
        centers = transform_points(compute_centers(tracks.boxes), to_first)
        for row in np.flatnonzero(tracks.states != TrackState.COASTING):
            seen = sightings.setdefault(int(tracks.ids[row]), _Sightings([], [], [], []))
            seen.frames.append(index)
            seen.boxes.append(tracks.boxes[row])
            seen.ground.append(centers[row])
            seen.scores.append(float(tracks.scores[row]))
            seen.class_id = int(tracks.class_ids[row])
    return [
        LabelTrack(
            seen.class_id,
            np.array(seen.frames),
            np.array(seen.boxes),
            np.array(seen.ground),
            np.array(seen.scores),
        )
        for _, seen in sorted(sightings.items())
    ]


def is_label(track: LabelTrack, rules: LabelRules) -> bool:
    """Return whether a track shows a moving object beyond doubt."""
    duration = int(track.frames[-1] - track.frames[0])
    if len(track.frames) < max(rules.min_frames, 4, rules.min_detected * (duration + 1)):
        return False
    distance = float(np.hypot(*(track.ground[-1] - track.ground[0])))
    return (
        distance >= rules.min_speed * duration
        and float(track.scores.mean()) >= rules.min_score
        and compute_roughness(track, rules.min_frames) <= rules.max_roughness
    )


def compute_roughness(track: LabelTrack, num_frames: int) -> float:
    """Return the root mean square distance of the path from parabolas over some frames, in pixels."""
    errors = []
    for start in range(0, len(track.frames) - 3, num_frames):
        part = slice(start, start + num_frames)
        times = track.frames[part] - track.frames[start]
        if len(times) < 4:
            continue
        basis = np.vander(times / max(times[-1], 1), 3)
        fit, *_ = np.linalg.lstsq(basis, track.ground[part], rcond=None)
        errors.append(np.hypot(*(basis @ fit - track.ground[part]).T))
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def label_frames(tracks: Sequence[LabelTrack], num_frames: int, rules: LabelRules) -> list[GroundTruth]:
    """Return the labels of each frame. A gap between two detections is filled by interpolation."""
    rows: list[list[tuple[int, int, NDArray[np.float64]]]] = [[] for _ in range(num_frames)]
    labeled = [track for track in tracks if is_label(track, rules)]
    for identity, track in enumerate(labeled, start=1):
        frames = np.arange(track.frames[0], track.frames[-1] + 1)
        boxes = np.stack([np.interp(frames, track.frames, column) for column in track.boxes.T], axis=1)
        for frame, box in zip(frames, boxes, strict=True):
            rows[frame].append((identity, track.class_id, box))
    return [
        GroundTruth(
            np.array([identity for identity, _, _ in row], np.int64),
            np.array([class_id for _, class_id, _ in row], np.uint8),
            np.reshape([box for _, _, box in row], (-1, 4)),
        )
        for row in rows
    ]


def find_doubtful_boxes(
    tracks: Sequence[LabelTrack], num_frames: int, rules: LabelRules
) -> list[NDArray[np.float64]]:
    """Return the boxes ``(n, 4)`` of each frame that may show an object but are no labels.

    They belong to tracks with at least a third of the frames of a label. Their pixels train nothing.
    """
    boxes: list[list[NDArray[np.float64]]] = [[] for _ in range(num_frames)]
    for track in tracks:
        if len(track.frames) >= rules.min_frames / 3 and not is_label(track, rules):
            for frame, box in zip(track.frames, track.boxes, strict=True):
                boxes[frame].append(box)
    return [np.reshape(each, (-1, 4)) for each in boxes]


def compute_agreement(before: Sequence[GroundTruth], after: Sequence[GroundTruth]) -> float:
    """Return the F1 score of two labelings of one video, with boxes that overlap by at least a half.

    1 without any boxes.
    """
    num_equal = num_boxes = 0
    for first, second in zip(before, after, strict=True):
        num_boxes += len(first.boxes) + len(second.boxes)
        if len(first.boxes) and len(second.boxes):
            overlaps = intersection_over_union(first.boxes, second.boxes) >= 0.5
            num_equal += int(min(overlaps.any(axis=0).sum(), overlaps.any(axis=1).sum()))
    return 2 * num_equal / num_boxes if num_boxes else 1.0
