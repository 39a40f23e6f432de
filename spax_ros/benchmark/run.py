"""Contenders over clips, and their figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spax_ros.association import AssociationSettings, GaussianTracker, Tracks, TrackState
from spax_ros.benchmark.trackers import REFERENCE, Contender, association_contenders
from spax_ros.decoding import Detections
from spax_ros.tracker import SpaxTracker
from tracking_runtime.evaluation.multi_object import FrameBoxes, MotScores, evaluate
from tracking_runtime.frames import Frame

_IDS_PER_CLIP = 1 << 32


@dataclass(frozen=True)
class Result:
    """Figures of one contender over all clips as one sequence.

    Attributes:
        name: of the contender.
        exchanged: as of the contender.
        scores: with IoU >= 0.3.
        milliseconds: median of a frame, from image to tracks.
        operations: pairs of a multiplication and an addition in the network, mean of a frame; NaN: none.
        active_share: mean share of the pixels that are active; NaN: no mask.
    """

    name: str
    exchanged: str
    scores: MotScores
    milliseconds: float
    operations: float = float("nan")
    active_share: float = float("nan")


@dataclass(frozen=True)
class Costs:
    """What each frame of the reference cost: active pixels, and milliseconds from image to tracks."""

    active_pixels: tuple[int, ...]
    milliseconds: tuple[float, ...]

    def line(self) -> tuple[float, float]:
        """Milliseconds for no pixel, and for each."""
        slope, constant = np.polyfit(self.active_pixels, self.milliseconds, 1)
        return float(constant), float(slope)


@dataclass
class _Account:
    """What a contender did so far."""

    tracked: list[FrameBoxes] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    operations: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)

    def result(self, name: str, exchanged: str, truth: Sequence[FrameBoxes]) -> Result:
        scores = evaluate(truth, self.tracked)
        return Result(
            name, exchanged, scores, float(np.median(self.milliseconds)), _mean(self.operations),
            _mean(self.shares),
        )  # fmt: skip


def run(
    clips: Iterable[Iterable[Frame]], contenders: Sequence[Contender], on_frame: Callable[[], None]
) -> tuple[list[Result], Costs]:
    """Figures of each contender and of each association of the reference's detections.

    Args:
        clips: their frames with truth.
        contenders: the first is the reference.
        on_frame: called after each frame of each contender.
    """
    accounts = {contender.name: _Account() for contender in contenders}
    associations = association_contenders()
    replayed = {name: _Account() for name in associations}
    truth: list[FrameBoxes] = []
    for number, clip in enumerate(clips):
        frames = list(clip)
        truth += [_truth(frame, number) for frame in frames]
        for contender in contenders:
            seen = _follow(contender, frames, number, accounts[contender.name], on_frame)
            if contender.name == REFERENCE:
                for name, settings in associations.items():
                    _replay(seen, settings, number, replayed[name])
    results = [accounts[each.name].result(each.name, each.exchanged, truth) for each in contenders]
    results += [account.result(name, "association", truth) for name, account in replayed.items()]
    reference = accounts[REFERENCE]
    return results, Costs(tuple(reference.pixels), tuple(reference.milliseconds))


@dataclass(frozen=True)
class _Seen:
    """A frame's detections, for another association; ``image_size`` is width and height."""

    stamp_ns: int
    image_size: tuple[int, int]
    detections: Detections
    camera_motion: NDArray[np.float64]
    milliseconds: float


def _follow(
    contender: Contender, frames: Sequence[Frame], clip: int, account: _Account, on_frame: Callable[[], None]
) -> list[_Seen]:
    tracker = contender.start()
    seen = []
    for frame in frames:
        begin = time.perf_counter_ns()
        tracks = tracker.track(frame.image, frame.stamp_ns)
        milliseconds = (time.perf_counter_ns() - begin) / 1e6
        account.milliseconds.append(milliseconds)
        account.tracked.append(_confirmed(tracks, clip))
        if isinstance(tracker, SpaxTracker):
            account.operations.append(tracker.operations)
            account.shares.append(tracker.active_share)
            account.pixels.append(int(tracker.motion_mask.sum()))
            size = frame.image.shape[1], frame.image.shape[0]
            found, motion = tracker.detections, tracker.camera_motion
            seen.append(_Seen(frame.stamp_ns, size, found, motion, milliseconds))
        on_frame()
    return seen


def _replay(seen: Sequence[_Seen], settings: AssociationSettings, clip: int, account: _Account) -> None:
    tracker = GaussianTracker(settings)
    for frame in seen:
        found = frame.detections
        tracks = tracker.update(
            found.boxes, found.scores, found.class_ids, frame.stamp_ns, camera_motion=frame.camera_motion
        )
        account.tracked.append(_confirmed(tracks.within(*frame.image_size), clip))
        account.milliseconds.append(frame.milliseconds)


def _truth(frame: Frame, clip: int) -> FrameBoxes:
    if frame.truth is None:
        return FrameBoxes(np.zeros(0, np.int64), np.zeros((0, 4)))
    return FrameBoxes(frame.truth.ids + clip * _IDS_PER_CLIP, frame.truth.boxes)


def _confirmed(tracks: Tracks, clip: int) -> FrameBoxes:
    seen = tracks.states == TrackState.CONFIRMED
    return FrameBoxes(tracks.ids[seen] + clip * _IDS_PER_CLIP, tracks.boxes[seen])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
