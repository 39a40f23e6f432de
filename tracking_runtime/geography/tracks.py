"""Positions, speeds and headings of all tracks of a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes, compute_centers
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.local_plane import compute_degree_lengths, wrap_longitude
from tracking_runtime.geography.motion import estimate_ground_motion
from tracking_runtime.geography.reference import GeographicReference

FloatArray = NDArray[np.float64]

Anchor = Literal["center", "bottom"]
"""Point of a box that is on the ground: `center`, or `bottom` (middle of the lower edge) in oblique views."""
ANCHORS: tuple[Anchor, ...] = get_args(Anchor)

DEFAULT_WINDOW_S = 1.0
_STEP_PX = 0.5  # step of the numeric derivative of positions
_STEPS_PX = np.eye(2) * _STEP_PX
DEFAULT_PIXEL_ERROR_PX = 0.5


@dataclass(frozen=True)
class GeoTracks:
    """Boxes of a video with their positions on the Earth, as parallel arrays sorted by id and frame.

    Attributes:
        frame_indices: frame of each box, from 0, (n,).
        stamps_ns: time of the frame in nanoseconds since 1970, (n,).
        ids: identity of each box, (n,).
        class_ids: class of each box, (n,); -1 if unknown.
        scores: score of each box, (n,), 0..1.
        boxes: boxes in pixels, (n, 4): x, y, width, height.
        coordinates: latitude and longitude in degrees, (n, 2); NaN where a box is not on the ground.
        speeds_m_s: ground speed, (n,); NaN if unknown.
        headings_deg: direction of motion, (n,), 0..360 clockwise from north; NaN if unknown or not
            significant.
        is_extrapolated: True outside of the control points, (n,).
    """

    frame_indices: NDArray[np.int64]
    stamps_ns: NDArray[np.int64]
    ids: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    scores: FloatArray
    boxes: Boxes
    coordinates: FloatArray
    speeds_m_s: FloatArray
    headings_deg: FloatArray
    is_extrapolated: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.ids)

    @property
    def is_located(self) -> NDArray[np.bool_]:
        """True for each box with a position, (n,)."""
        return np.asarray(np.isfinite(self.coordinates).all(axis=1))

    def select(self, rows: ArrayLike | slice) -> GeoTracks:
        """Return the rows of an index, a mask or a slice."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        return GeoTracks(*(getattr(self, each.name)[index] for each in fields(self)))

    def describe(self) -> list[str]:
        """Return lines for people: number of tracks, and of boxes of unknown or extrapolated position."""
        num_boxes = len(self)
        lines = [f"{len(np.unique(self.ids))} tracks, {num_boxes} boxes"]
        num_unknown = num_boxes - int(self.is_located.sum())
        if num_unknown:
            lines.append(f"{num_unknown} boxes are above the horizon or off the map: their position is empty")
        num_extrapolated = int(self.is_extrapolated.sum())
        if num_extrapolated:
            lines.append(f"{num_extrapolated} boxes are outside of the control points: extrapolated")
        return lines

    def split(self) -> Iterator[GeoTracks]:
        """Yield the rows of each track."""
        bounds = [0, *(np.flatnonzero(np.diff(self.ids)) + 1).tolist(), len(self)]
        for start, end in pairwise(bounds):
            if end > start:
                yield self.select(slice(start, end))


def get_anchors(boxes: ArrayLike, anchor: Anchor) -> FloatArray:
    """Return the point of each box that is on the ground, (n, 2)."""
    points = compute_centers(boxes)
    if anchor == "bottom":
        points[:, 1] += as_boxes(boxes)[:, 3] / 2
    return points


def locate_tracks(
    frames: Sequence[ScoredBoxes],
    reference: GeographicReference,
    stamps_ns: Sequence[int] | NDArray[np.int64],
    *,
    frame_numbers: Sequence[int] | None = None,
    anchor: Anchor = "center",
    window_s: float = DEFAULT_WINDOW_S,
    pixel_error_px: float = DEFAULT_PIXEL_ERROR_PX,
) -> GeoTracks:
    """Compute position, speed and heading of all tracks.

    Args:
        frames: boxes of each frame.
        reference: map from pixels to the Earth.
        stamps_ns: time of each frame in nanoseconds, ascending.
        frame_numbers: number of each frame in the video, from 1; None: all frames in order. Homographies of
            single frames are found by it.
        anchor: point of a box that is on the ground.
        window_s: window of the regression of the speed in seconds. Higher smooths more.
        pixel_error_px: standard deviation of the boxes' positions in pixels. A track that moves less has no
            heading.

    Raises:
        GeographyError: the stamps do not ascend or are fewer than the frames, or no box is on the ground.
    """
    stamps = np.asarray(stamps_ns, np.int64)
    if len(stamps) < len(frames) or (np.diff(stamps) < 0).any():
        raise GeographyError(
            f"stamps must ascend, one for each of the {len(frames)} frames: got {len(stamps)}"
        )
    indices = range(len(frames)) if frame_numbers is None else [number - 1 for number in frame_numbers]
    rows = [
        _locate_frame(index, stamp_ns, boxes, reference, anchor, pixel_error_px)
        for index, stamp_ns, boxes in zip(indices, stamps, frames, strict=False)
        if len(boxes.ids)
    ]
    if not rows:
        return _concatenate([_locate_frame(0, 0, ScoredBoxes.none(), reference, anchor, pixel_error_px)])[0]
    tracks, errors_m = _concatenate(rows)
    if not tracks.is_located.any():
        raise GeographyError(
            f"no box is on the ground: all {len(tracks)} are above the horizon or off the map; "
            "check the reference"
        )
    order = np.lexsort((tracks.frame_indices, tracks.ids))
    tracks, errors_m = tracks.select(order), errors_m[order]
    return _add_motion(tracks, errors_m, window_s)


def _locate_frame(
    index: int,
    stamp_ns: int,
    boxes: ScoredBoxes,
    reference: GeographicReference,
    anchor: Anchor,
    pixel_error_px: float,
) -> tuple[GeoTracks, FloatArray]:
    """Return the boxes of one frame without motion, and the standard deviation of each position in meters."""
    count = len(boxes.ids)
    points = get_anchors(boxes.boxes, anchor)
    shifted = np.concatenate([points, points + _STEPS_PX[0], points + _STEPS_PX[1]])
    coordinates, *neighbors = np.split(reference.locate(shifted, index), 3) if count else [np.zeros((0, 2))]
    spread_m2 = np.zeros(count)
    for neighbor in neighbors:
        degrees = neighbor - coordinates
        degrees[:, 1] = wrap_longitude(degrees[:, 1])
        spread_m2 += ((degrees / _STEP_PX * compute_degree_lengths(coordinates[:, 0])) ** 2).sum(axis=1)
    unknown = np.full(count, np.nan)
    tracks = GeoTracks(
        frame_indices=np.full(count, index, np.int64),
        stamps_ns=np.full(count, stamp_ns, np.int64),
        ids=np.asarray(boxes.ids, np.int64),
        class_ids=np.asarray(boxes.class_ids, np.int64),
        scores=np.asarray(boxes.scores, np.float64),
        boxes=as_boxes(boxes.boxes),
        coordinates=coordinates,
        speeds_m_s=unknown,
        headings_deg=unknown,
        is_extrapolated=reference.find_extrapolated(points, index) if count else np.zeros(0, bool),
    )
    return tracks, pixel_error_px * np.sqrt(spread_m2 / 2)


def _concatenate(rows: Sequence[tuple[GeoTracks, FloatArray]]) -> tuple[GeoTracks, FloatArray]:
    columns = (np.concatenate([getattr(each, field.name) for each, _ in rows]) for field in fields(GeoTracks))
    return GeoTracks(*columns), np.concatenate([errors_m for _, errors_m in rows])


def _add_motion(tracks: GeoTracks, errors_m: FloatArray, window_s: float) -> GeoTracks:
    """Fill in speed and heading of each track from its located boxes."""
    speeds = np.full(len(tracks), np.nan)
    headings = np.full(len(tracks), np.nan)
    is_located = tracks.is_located
    bounds = [0, *(np.flatnonzero(np.diff(tracks.ids)) + 1).tolist(), len(tracks)]
    for start, end in pairwise(bounds):
        rows = start + np.flatnonzero(is_located[start:end])
        if len(rows) < 2:
            continue
        times_s = (tracks.stamps_ns[rows] - tracks.stamps_ns[rows[0]]) / 1e9
        motion = estimate_ground_motion(
            times_s, tracks.coordinates[rows], window_s=window_s, position_errors_m=errors_m[rows]
        )
        speeds[rows] = motion.speeds_m_s
        headings[rows] = motion.headings_deg
    return replace(tracks, speeds_m_s=speeds, headings_deg=headings)
