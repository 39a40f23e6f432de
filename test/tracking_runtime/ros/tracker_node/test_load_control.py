"""Load control of trackers that are too slow, and fast again."""

from __future__ import annotations

import pytest

from tracking_runtime.ros.tracker_node.load_control import LoadController

RATE_HZ = 10.0
NUM_FRAMES = 40  # frames in which an overload raises the level twice, and its cost is measured
NUM_FAST_FRAMES = 100  # frames without drops after which the full work returns


class CountingTracker:
    size_tolerance_px = 0

    def __init__(self, max_load_level: int) -> None:
        self.max_load_level = max_load_level
        self.level = 0
        self.targets: list[str] = []

    def reset(self) -> None:
        self.targets.clear()

    def set_load_level(self, level: int) -> None:
        self.level = level

    def copy_state_from(self, other: CountingTracker) -> None:
        self.targets = list(other.targets)


def run(load: LoadController[CountingTracker], num_frames: int, busy_ms: float, dropped: int) -> list[str]:
    """Update the load with frames of one cost and return the messages.

    Args:
        load: load control.
        num_frames: number of processed frames.
        busy_ms: time of each frame in milliseconds.
        dropped: number of dropped frames for each processed one.
    """
    messages = [load.update(busy_ms, RATE_HZ, dropped * (number + 1)) for number in range(num_frames)]
    return [message for message in messages if message]


def make_load(overload: str) -> LoadController[CountingTracker]:
    load = LoadController[CountingTracker](overload)
    load.install([CountingTracker(2), CountingTracker(0)] if overload == "light" else [CountingTracker(2)])
    return load


def test_overload_with_skip_keeps_the_full_work() -> None:
    load = make_load("skip")

    messages = run(load, NUM_FRAMES, busy_ms=300.0, dropped=2)

    assert (messages, load.shedder.level, load.tracker.level) == ([], 0, 0)
    assert "of the frames are skipped" in load.describe_overload()


def test_overload_with_shrink_raises_the_level_of_the_tracker() -> None:
    load = make_load("shrink")

    messages = run(load, NUM_FRAMES, busy_ms=300.0, dropped=2)

    assert load.tracker.level == load.shedder.level == 2
    assert [message.split(":")[0] for message in messages] == ["load level 1, was 0", "load level 2, was 1"]


def test_overload_with_light_hands_the_targets_over() -> None:
    load = make_load("light")
    load.tracker.targets.append("car")

    run(load, NUM_FRAMES, busy_ms=300.0, dropped=2)

    assert load.uses_light_model
    assert (load.tracker is load.trackers[1], load.tracker.targets) == (True, ["car"])


def test_spare_time_returns_to_the_full_work() -> None:
    load = make_load("shrink")
    run(load, NUM_FRAMES, busy_ms=300.0, dropped=2)

    messages = [load.update(5.0, RATE_HZ, 2 * NUM_FRAMES) for _ in range(2 * NUM_FAST_FRAMES)]

    assert load.tracker.level == 0
    assert [message for message in messages if message][-1] == "load level 0, was 1: full work"


def test_unknown_frame_rate_leaves_the_level() -> None:
    load = make_load("shrink")

    messages = [load.update(300.0, 0.0, 2 * number) for number in range(NUM_FRAMES)]

    assert (any(messages), load.shedder.level) == (False, 0)


@pytest.mark.parametrize("overload", ["skip", "shrink", "light"])
def test_installed_trackers_begin_at_full_work(overload: str) -> None:
    load = make_load(overload)
    run(load, NUM_FRAMES, busy_ms=300.0, dropped=2)

    load.install([CountingTracker(2), CountingTracker(0)])

    assert (load.shedder.level, load.tracker is load.trackers[0]) == (0, True)
