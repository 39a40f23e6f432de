"""Replay of trackers without ROS: every frame in order, or the frames that real time would leave."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_runtime.boxes import ScoredBoxes, as_boxes
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Initialization, make_initializations
from tracking_runtime.evaluation.replay import (
    find_tracker,
    list_trackers,
    make_tracker,
    replay,
    simulate_real_time,
)
from tracking_runtime.frames import Frame, GroundTruth

IMAGE = np.zeros((4, 4), np.uint8)
PERIOD_NS = 100_000_000


def make_box(index: int) -> list[float]:
    return [10.0 + index, 20.0, 30.0, 40.0]


class HashableFrame(Frame):
    """A frame that can be in a set."""

    __hash__ = object.__hash__


class FakeVideo:
    """Frames that are made on access, with one target.

    Args:
        num_frames: number of frames.
        num_absent: number of first frames without the target.

    Attributes:
        max_alive: largest number of frames that existed at the same time.
    """

    name, rate_hz, class_names, spectral_info = "fake", 10.0, ("object",), None
    attributes: tuple[str, ...] = ()

    def __init__(self, num_frames: int, num_absent: int = 2) -> None:
        self._num_frames = num_frames
        self._num_absent = num_absent
        self.max_alive = 0

    @property
    def truth(self) -> list[GroundTruth | None]:
        return [self._make_truth(index) for index in range(self._num_frames)]

    def __len__(self) -> int:
        return self._num_frames

    def __iter__(self) -> Iterator[Frame]:
        alive: weakref.WeakSet[Frame] = weakref.WeakSet()
        for index in range(self._num_frames):
            frame = HashableFrame((index + 1) * PERIOD_NS, IMAGE, "mono8", truth=self._make_truth(index))
            alive.add(frame)
            self.max_alive = max(self.max_alive, len(alive))
            yield frame

    def _make_truth(self, index: int) -> GroundTruth:
        if index < self._num_absent:
            return GroundTruth()
        return GroundTruth(np.ones(1, np.int64), np.zeros(1, np.uint8), as_boxes([make_box(index)]))


class FakeTracker:
    """A tracker that returns the true box of each frame.

    Args:
        follows_one_target: whether the tracker needs a first box.

    Attributes:
        initializations: stamp and box of each call of `initialize`.
    """

    default_model, description = "none", {"model": "fake"}

    def __init__(self, follows_one_target: bool) -> None:
        self.follows_one_target = follows_one_target
        self.initializations: list[tuple[int, list[float]]] = []

    def start_video(self, video: FakeVideo) -> None:
        pass

    def initialize(self, frame: Frame, box: np.ndarray) -> None:
        self.initializations.append((frame.stamp_ns, box[0].tolist()))

    def track(self, frame: Frame) -> ScoredBoxes:
        box = make_box(frame.stamp_ns // PERIOD_NS - 1)
        return ScoredBoxes(np.ones(1, np.int64), as_boxes([box]), np.ones(1), np.zeros(1, np.int64))


def test_replay_multi_object_tracker_sees_every_frame():
    result = replay(FakeTracker(False), FakeVideo(50))

    assert [objects.boxes[0, 0] for objects in result.prediction] == [10.0 + index for index in range(50)]
    assert (result.first_frame, result.num_dropped) == (0, 0)


def test_replay_single_target_starts_with_the_true_box():
    tracker = FakeTracker(True)

    result = replay(tracker, FakeVideo(10))

    assert tracker.initializations == [(3 * PERIOD_NS, make_box(2))]
    assert result.first_frame == 2
    np.testing.assert_array_equal(result.prediction, [make_box(index) for index in range(2, 10)])


def test_spatial_initializations_are_8_shifts_and_4_scales():
    names = [initialization.name for initialization in make_initializations("spatial", range(100))]

    assert len(names) == 12
    assert names[-4:] == ["x0.8", "x0.9", "x1.1", "x1.2"]


@pytest.mark.parametrize(
    ("present_frames", "expected"),
    [
        ([*range(40)], [*range(0, 40, 2)]),
        ([0, 1, 2], [0, 1, 2]),
        ([*range(10), *range(50, 60)], [*range(10), *range(50, 60)]),
    ],
    ids=["evenly spread", "few frames", "with an absence"],
)
def test_temporal_initializations_are_in_present_frames(present_frames, expected):
    initializations = make_initializations("temporal", present_frames)

    assert [initialization.frame for initialization in initializations] == expected


def test_replay_starts_with_the_perturbed_box():
    tracker = FakeTracker(True)
    initialization = Initialization("right", frame=5, shift=(0.1, 0), scale=0.5)

    replay(tracker, FakeVideo(10), initialization=initialization)

    x, y, width, height = make_box(5)
    stamp_ns, box = tracker.initializations[0]
    assert stamp_ns == 6 * PERIOD_NS
    np.testing.assert_allclose(box, [x + 3 + width / 4, y + height / 4, width / 2, height / 2])


def test_one_pass_initialization_keeps_the_box_bit_exact():
    truth = as_boxes([[0.1, 0.2, 0.3, 0.7]])

    np.testing.assert_array_equal(ONE_PASS.perturb_box(truth), truth)


def test_replay_video_without_target_is_refused():
    with pytest.raises(SourceError, match="fake: no frame has a true box to start from"):
        replay(FakeTracker(True), FakeVideo(4, num_absent=4))


def test_replay_holds_few_frames_in_memory():
    video = FakeVideo(10_000)

    result = replay(FakeTracker(False), video)

    assert len(result.prediction) == 10_000
    assert video.max_alive < 16


def test_replay_live_fast_tracker_drops_nothing():
    result = replay(FakeTracker(False), FakeVideo(20), live=True)

    assert result.num_dropped == 0
    assert len(result.prediction) == 20


def simulate_by_clock(busy_ms: list[int]) -> list[int]:
    """Return the indices of the tracked frames, one of which arrives every 100 ms."""
    tracked: list[int] = []
    free_at_ms = 0
    waiting = list(range(len(busy_ms)))
    while waiting:
        now_ms = max(free_at_ms, (waiting[0] + 1) * 100)
        arrived = [index for index in waiting if (index + 1) * 100 <= now_ms]
        # A frame that arrives at the very moment when the tracker becomes free does not replace an older one.
        newest = max((index for index in arrived if (index + 1) * 100 < now_ms), default=arrived[0])
        tracked.append(newest)
        free_at_ms = now_ms + busy_ms[len(tracked) - 1]
        waiting = [index for index in waiting if index > newest]
    return tracked


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_simulate_real_time_tracks_the_newest_frame(busy_ms):
    frames = list(FakeVideo(len(busy_ms)))
    tracked: list[int] = []
    num_received = 0

    for frame in simulate_real_time(iter(frames), lambda: busy_ms[len(tracked) - 1] / 1000):
        num_received += 1
        if frame is not None:
            tracked.append(frame.stamp_ns // PERIOD_NS - 1)

    assert num_received == len(frames)
    assert tracked == simulate_by_clock(busy_ms)


def test_installed_trackers_are_found():
    assert {"hanet", "spax"} <= set(list_trackers())
    assert find_tracker("hanet").follows_one_target
    assert not find_tracker("spax").follows_one_target


def test_unknown_tracker_lists_the_installed_ones():
    with pytest.raises(SourceError, match="tracker 'kcf' is unknown; available: hanet, spax"):
        find_tracker("kcf")


class ProfiledTracker(FakeTracker):
    """A tracker with settings for two kinds of cameras."""

    profiles = ("near", "far")

    def __init__(self, model: str, engine: str, *, profile: str = "near") -> None:
        super().__init__(follows_one_target=False)
        self.arguments = (model, engine, profile)


@pytest.mark.parametrize(("profile", "expected"), [("", "near"), ("far", "far")])
def test_tracker_is_made_with_its_default_model_and_the_profile(profile, expected):
    tracker = make_tracker(ProfiledTracker, engine="fast", profile=profile)

    assert tracker.arguments == ("none", "fast", expected)


@pytest.mark.parametrize(
    ("tracker_class", "message"),
    [
        (ProfiledTracker, "--profile must be one of near, far: got 'plane'"),
        (FakeTracker, "--profile must be omitted, the tracker has none: got 'plane'"),
    ],
)
def test_unknown_profile_is_refused(tracker_class, message):
    with pytest.raises(SourceError, match=message):
        make_tracker(tracker_class, profile="plane")
