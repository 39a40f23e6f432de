"""Trackers run over videos without ROS: every frame in order, or those that real time would leave."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.boxes import as_boxes
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Start, starts
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.evaluation.replay import find_tracker, in_real_time, replay, tracker_names
from tracking_runtime.frames import Frame, GroundTruth

IMAGE = np.zeros((4, 4), np.uint8)


def box_at(index: int) -> list[float]:
    return [10.0 + index, 20.0, 30.0, 40.0]


class Video:
    """Frames with one target from the third on, made when they are asked for."""

    name, rate_hz, class_names, spectral_info = "made", 10.0, ("object",), None
    attributes: tuple[str, ...] = ()

    def __init__(self, frames: int, absent: int = 2) -> None:
        self._frames, self._absent = frames, absent
        self.most_alive = 0

    @property
    def truth(self) -> list[GroundTruth | None]:
        return [self._truth(index) for index in range(self._frames)]

    def __len__(self) -> int:
        return self._frames

    def __iter__(self) -> Iterator[Frame]:
        alive: weakref.WeakSet[Frame] = weakref.WeakSet()
        for index in range(self._frames):
            frame = _Hashable((index + 1) * 100_000_000, IMAGE, "mono8", truth=self._truth(index))
            alive.add(frame)
            self.most_alive = max(self.most_alive, len(alive))
            yield frame

    def _truth(self, index: int) -> GroundTruth:
        here = index >= self._absent
        ids = np.ones(int(here), np.int64)
        return GroundTruth(ids, np.zeros(int(here), np.uint8), as_boxes([box_at(index)] if here else []))


class _Hashable(Frame):
    """A frame that can be looked for in a set."""

    __hash__ = object.__hash__


class Echo:
    """Answers with the stamp's place in the video, or with the box that it was started with."""

    default_model, description = "none", {"model": "echo"}

    def __init__(self, follows_one_target: bool) -> None:
        self.follows_one_target = follows_one_target
        self.started: list[tuple[int, list[float]]] = []
        self.videos: list[Video] = []

    def begin(self, video: Video) -> None:
        self.videos.append(video)

    def start(self, frame: Frame, box: np.ndarray) -> None:
        self.started.append((frame.stamp_ns, box[0].tolist()))

    def track(self, frame: Frame) -> ScoredBoxes:
        index = frame.stamp_ns // 100_000_000 - 1
        return ScoredBoxes(np.ones(1, np.int64), as_boxes([box_at(index)]), np.ones(1), np.zeros(1, np.int64))


def test_every_frame_of_everything_that_moves():
    replayed = replay(Echo(False), Video(50))
    assert [found.boxes[0, 0] for found in replayed.answer] == [10.0 + index for index in range(50)]
    assert (replayed.first, replayed.dropped) == (0, 0)


def test_one_target_is_shown_where_it_first_is_and_the_given_box_is_the_first_answer():
    tracker = Echo(True)
    replayed = replay(tracker, Video(10))
    assert tracker.started == [(300_000_000, box_at(2))]
    assert replayed.first == 2
    np.testing.assert_array_equal(replayed.answer, [box_at(index) for index in range(2, 10)])


def test_perturbed_starts():
    assert [start.name for start in starts("spatial", range(100))][-4:] == ["x0.8", "x0.9", "x1.1", "x1.2"]
    assert len(starts("spatial", range(100))) == 12
    assert [start.frame for start in starts("temporal", range(40))] == list(range(0, 40, 2))
    assert [start.frame for start in starts("temporal", range(3))] == [0, 1, 2]
    away_and_back = [*range(10), *range(50, 60)]
    assert [start.frame for start in starts("temporal", away_and_back)] == away_and_back
    tracker = Echo(True)
    replay(tracker, Video(10), start=Start("right", frame=5, shift=(0.1, 0), scale=0.5))
    x, y, width, height = box_at(5)
    stamp, box = tracker.started[0]
    assert stamp == 600_000_000
    np.testing.assert_allclose(box, [x + 3 + width / 4, y + height / 4, width / 2, height / 2])
    truth = as_boxes([[0.1, 0.2, 0.3, 0.7]])
    np.testing.assert_array_equal(ONE_PASS.box(truth), truth)  # not moved by rounding either


def test_a_video_without_the_target_is_refused():
    with pytest.raises(SourceError, match="made: no frame has a true box to start from"):
        replay(Echo(True), Video(4, absent=4))


def test_ten_thousand_frames_are_never_in_memory_together():
    video = Video(10_000)
    assert len(replay(Echo(False), video).answer) == 10_000
    assert video.most_alive < 16


def test_live_a_fast_tracker_drops_nothing():
    replayed = replay(Echo(False), Video(20), live=True)
    assert replayed.dropped == 0
    assert len(replayed.answer) == 20


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_in_real_time_the_newest_frame_wins(milliseconds):
    """Against a clock: a frame is tracked unless a newer one came before the tracker was free."""
    frames = list(Video(len(milliseconds)))
    expected, free_at, waiting = [], 0, list(range(len(frames)))
    while waiting:
        now = max(free_at, (waiting[0] + 1) * 100)
        arrived = [index for index in waiting if (index + 1) * 100 <= now]
        # One that comes in the very moment in which the tracker gets free finds it free.
        chosen = max((index for index in arrived if (index + 1) * 100 < now), default=arrived[0])
        expected.append(chosen)
        free_at = now + milliseconds[len(expected) - 1]
        waiting = [index for index in waiting if index > chosen]

    tracked: list[int] = []
    due = 0
    for frame in in_real_time(iter(frames), lambda: milliseconds[len(tracked) - 1] / 1000):
        due += 1
        if frame is not None:
            tracked.append(frame.stamp_ns // 100_000_000 - 1)
    assert due == len(frames)
    assert tracked == expected


def test_the_trackers_are_offered():
    assert {"hanet", "spax"} <= set(tracker_names())
    assert find_tracker("hanet").follows_one_target and not find_tracker("spax").follows_one_target
    with pytest.raises(SourceError, match="no tracker named 'kcf'; there: hanet, spax"):
        find_tracker("kcf")
