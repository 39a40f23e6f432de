"""Statistics of real traffic from ground truth and video: the numbers of `measured_traffic`.

    python -m spax_ros.simulation.traffic_statistics 001.csv 002.csv --frames FOLDER --model spax_small

prints them as Python constants. The text files have a line per box: frame, id, x, y, width, height (pixels).
Contrasts need images: they are measured on the long confirmed tracks of a model in a folder of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

Array = NDArray[np.float64]

QUANTILES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 1.0)
"""Quantiles of every distribution."""

MIN_FRAMES = 40  # shortest track that counts
_SPEED_FRAMES = 12  # frames over which a speed is measured
_STOPPED_PX = 0.15  # pixels a frame; slower is a stop
_MIN_STOP_FRAMES = 5  # frames in which the speed is that of a stop
_SMOOTHING_FRAMES = 9  # boxes that are averaged to find stops
_CRUISE_QUANTILE = 0.8  # of a vehicle's speeds
_TURN_DEGREES = 30.0  # change of heading that counts as a turn
_LANE_PX = 3.0  # largest distance of a vehicle from the line of the vehicle behind
_HEADING_DEGREES = 20.0  # largest difference of the headings of two vehicles of one lane
_MAX_GAP_PX = 150.0  # distance beyond which two vehicles do not follow each other
_GAP_STEP_FRAMES = 10  # frames between samples of the gaps
_RING_PX = 4  # width of the ring around a box whose median is the ground


@dataclass(frozen=True)
class VehicleTrack:
    """Boxes of one vehicle.

    Attributes:
        frames: ascending frame numbers, ``(n,)``.
        boxes: x, y, width, height in pixels, ``(n, 4)``.
    """

    frames: NDArray[np.int64]
    boxes: Array

    @property
    def centers(self) -> Array:
        """Centers x, y ``(n, 2)``."""
        return self.boxes[:, :2] + self.boxes[:, 2:] / 2

    def smooth(self) -> VehicleTrack:
        """Return the track with boxes averaged over `_SMOOTHING_FRAMES`: those of a file are whole pixels."""
        boxes = uniform_filter1d(self.boxes, _SMOOTHING_FRAMES, axis=0, mode="nearest")
        return VehicleTrack(self.frames, boxes)

    def compute_velocities(self) -> Array:
        """Return the velocity in pixels a frame over `_SPEED_FRAMES` boxes, ``(n - 12, 2)``."""
        frames = self.frames[_SPEED_FRAMES:] - self.frames[:-_SPEED_FRAMES]
        return (self.centers[_SPEED_FRAMES:] - self.centers[:-_SPEED_FRAMES]) / frames[:, None]


@dataclass(frozen=True)
class TrafficStatistics:
    """Distributions over the vehicles, as values at `QUANTILES`.

    Attributes:
        speeds: cruising speed in pixels a frame.
        lengths: longer side of the box in pixels.
        widths: shorter side of the box in pixels.
        stop_frames: number of frames of a stop.
        stops_per_frame: stops that begin per frame of a moving vehicle.
        gap_frames: time to the position of the vehicle ahead in frames, of moving vehicles.
        followers: fraction of the moving vehicles that have a vehicle ahead.
        turns_per_px: turns of more than 30 degrees per pixel of path.
    """

    speeds: tuple[float, ...]
    lengths: tuple[float, ...]
    widths: tuple[float, ...]
    stop_frames: tuple[float, ...]
    stops_per_frame: float
    gap_frames: tuple[float, ...]
    followers: float
    turns_per_px: float


def read_tracks(paths: Iterable[Path]) -> list[list[VehicleTrack]]:
    """Return the tracks of at least `MIN_FRAMES` boxes of each text file."""
    videos = []
    for path in paths:
        rows = np.loadtxt(path, delimiter=",", usecols=range(6), ndmin=2)
        tracks = []
        for identity in np.unique(rows[:, 1]):
            own = rows[rows[:, 1] == identity]
            own = own[np.argsort(own[:, 0], kind="stable")]
            if len(own) >= MIN_FRAMES:
                tracks.append(VehicleTrack(own[:, 0].astype(np.int64), own[:, 2:6]))
        videos.append(tracks)
    return videos


def measure_traffic(videos: Sequence[Sequence[VehicleTrack]]) -> TrafficStatistics:
    """Return the statistics of the tracks of some videos.

    Raises:
        ValueError: there are no tracks of at least `MIN_FRAMES` boxes.
    """
    tracks = [track for video in videos for track in video]
    if not tracks:
        raise ValueError(f"the tracks must have at least {MIN_FRAMES} boxes: got none")
    speeds = [np.hypot(*track.compute_velocities().T) for track in tracks]
    sides = [np.sort(np.median(track.boxes[:, 2:], axis=0)) for track in tracks]
    smooth_speeds = [np.hypot(*track.smooth().compute_velocities().T) for track in tracks]
    stops = [number for values in smooth_speeds for number in _find_stops(values)]
    moving_frames = sum(int((values >= _STOPPED_PX).sum()) for values in smooth_speeds)
    gaps, num_moving = _measure_gaps(videos)
    turns, path_px = zip(*(_count_turns(track) for track in tracks), strict=True)
    return TrafficStatistics(
        speeds=to_quantiles([np.quantile(values, _CRUISE_QUANTILE) for values in speeds]),
        lengths=to_quantiles([high for _, high in sides]),
        widths=to_quantiles([low for low, _ in sides]),
        stop_frames=to_quantiles(stops),
        stops_per_frame=len(stops) / max(moving_frames, 1),
        gap_frames=to_quantiles(gaps),
        followers=len(gaps) / max(num_moving, 1),
        turns_per_px=sum(turns) / max(sum(path_px), 1.0),
    )


def to_quantiles(values: Sequence[float]) -> tuple[float, ...]:
    """Return the values at `QUANTILES`; zeros without values."""
    if not len(values):
        return (0.0,) * len(QUANTILES)
    return tuple(float(value) for value in np.quantile(values, QUANTILES))


def _find_stops(speeds: Array) -> list[int]:
    """Return the number of frames of each stop."""
    edges = np.diff(np.concatenate([[0], (speeds < _STOPPED_PX).astype(int), [0]]))
    lengths = np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)
    # Averages at both ends of a stop contain motion.
    return [int(length) + _SMOOTHING_FRAMES - 1 for length in lengths if length >= _MIN_STOP_FRAMES]


def _measure_gaps(videos: Sequence[Sequence[VehicleTrack]]) -> tuple[list[float], int]:
    """Return the gaps in frames of moving vehicles that follow another, and the number of moving vehicles."""
    gaps: list[float] = []
    num_moving = 0
    for tracks in videos:
        for positions, velocities in _list_moving_vehicles(tracks):
            num_moving += len(positions)
            speeds = np.hypot(*velocities.T)
            headings = velocities / speeds[:, None]
            offset = positions[None] - positions[:, None]
            along = np.einsum("ijk,ik->ij", offset, headings)
            across = np.abs(offset[..., 0] * headings[:, None, 1] - offset[..., 1] * headings[:, None, 0])
            is_ahead = (along > 0) & (along < _MAX_GAP_PX) & (across < _LANE_PX)
            is_ahead &= headings @ headings.T > np.cos(np.radians(_HEADING_DEGREES))
            nearest = np.where(is_ahead, along, np.inf).min(axis=1)
            gaps += (nearest / speeds)[np.isfinite(nearest)].tolist()
    return gaps, num_moving


def _list_moving_vehicles(tracks: Sequence[VehicleTrack]) -> Iterable[tuple[Array, Array]]:
    """Yield positions and velocities ``(n, 2)`` of the moving vehicles of some frames."""
    by_frame: dict[int, list[tuple[Array, Array]]] = {}
    for track in tracks:
        velocities = track.compute_velocities()
        for frame, center, velocity in zip(track.frames, track.centers, velocities, strict=False):
            if frame % _GAP_STEP_FRAMES == 0 and np.hypot(*velocity) > 2 * _STOPPED_PX:
                by_frame.setdefault(int(frame), []).append((center, velocity))
    for vehicles in by_frame.values():
        positions, velocities = (np.array(values) for values in zip(*vehicles, strict=True))
        yield positions, velocities


def _count_turns(track: VehicleTrack) -> tuple[int, float]:
    """Return the number of turns, and the length of the path in pixels."""
    velocities = track.compute_velocities()
    moving = velocities[np.hypot(*velocities.T) > 2 * _STOPPED_PX]
    if len(moving) < 2:
        return 0, 0.0
    headings = np.unwrap(np.arctan2(moving[:, 1], moving[:, 0]))
    turns, reference = 0, headings[0]
    for heading in headings:
        if abs(heading - reference) > np.radians(_TURN_DEGREES):
            turns, reference = turns + 1, heading
    return turns, float(np.hypot(*moving.T).sum())


def measure_contrasts(
    images: Iterable[NDArray[np.uint8]], boxes_by_frame: Mapping[int, Iterable[tuple[int, Array]]]
) -> tuple[float, ...]:
    """Return the distribution over the objects of their contrast in gray levels, as values at `QUANTILES`.

    The contrast is the mean of the 3 x 3 pixels at the center minus the median of a ring around the box; an
    object's is the median over its frames.

    Args:
        images: gray images ``(height, width)``.
        boxes_by_frame: id and box of each object by index of the image.
    """
    values: dict[int, list[float]] = {}
    for index, gray in enumerate(images):
        for identity, box in boxes_by_frame.get(index, ()):
            contrast = _measure_contrast(gray, box)
            if contrast is not None:
                values.setdefault(identity, []).append(contrast)
    return to_quantiles([float(np.median(each)) for each in values.values()])


def _measure_contrast(gray: NDArray[np.uint8], box: Array) -> float | None:
    """Return the contrast of a box; None at the image's border."""
    left, top, right, bottom = np.concatenate([np.floor(box[:2]), np.ceil(box[:2] + box[2:])]).astype(int)
    height, width = gray.shape
    if min(left, top) < _RING_PX or right > width - _RING_PX or bottom > height - _RING_PX:
        return None
    window = gray[top - _RING_PX : bottom + _RING_PX, left - _RING_PX : right + _RING_PX].astype(float)
    is_ring = np.ones(window.shape, bool)
    is_ring[_RING_PX:-_RING_PX, _RING_PX:-_RING_PX] = False
    x, y = (box[:2] + box[2:] / 2).astype(int)
    return float(gray[y - 1 : y + 2, x - 1 : x + 2].mean() - np.median(window[is_ring]))


def _track_video(folder: Path, model: str) -> tuple[float, ...]:
    """Return the contrasts of the long confirmed tracks in a folder of frames."""
    from spax_ros.association import TrackState
    from spax_ros.preprocessing import to_gray
    from spax_ros.tracker import load_tracker
    from tracking_runtime.io.sources import open_source

    tracker = load_tracker(model)
    images, found = [], {}
    for index, frame in enumerate(open_source(str(folder))):
        tracks = tracker.track(frame.image, frame.stamp_ns).tracks
        is_long = (tracks.states == TrackState.CONFIRMED) & (tracks.ages >= MIN_FRAMES)
        found[index] = list(zip(tracks.ids[is_long].tolist(), tracks.boxes[is_long], strict=True))
        images.append(to_gray(frame.image))
    return measure_contrasts(images, found)


def main() -> None:
    """Print the statistics as constants of `measured_traffic`."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", nargs="+", type=Path, help="text files: frame, id, x, y, width, height")
    parser.add_argument("--frames", type=Path, help="folder of frames for the contrasts")
    parser.add_argument("--model", default="spax_small", help="model that tracks in them")
    arguments = parser.parse_args()
    statistics = measure_traffic(read_tracks(arguments.truth))
    constants = {
        "SPEEDS_PX": statistics.speeds,
        "LENGTHS_PX": statistics.lengths,
        "WIDTHS_PX": statistics.widths,
        "STOP_FRAMES": statistics.stop_frames,
        "STOPS_PER_FRAME": statistics.stops_per_frame,
        "GAP_FRAMES": statistics.gap_frames,
        "FOLLOWERS": statistics.followers,
        "TURNS_PER_PX": statistics.turns_per_px,
    }
    if arguments.frames is not None:
        constants["CONTRASTS"] = _track_video(arguments.frames, arguments.model)
    for name, value in constants.items():
        values = value if isinstance(value, tuple) else (value,)
        text = ", ".join(f"{number:.3g}" for number in values)
        print(f"{name} = ({text})" if isinstance(value, tuple) else f"{name} = {text}")


if __name__ == "__main__":
    main()
