"""Frames come by the clock or by the consumer's answers."""

from __future__ import annotations

import threading
import time

from tracking_runtime.nodes.playback_clock import FixedRateClock, LockStepClock


def test_fixed_rate_clock_does_not_catch_up_after_delay():
    pace = FixedRateClock(50)
    start = time.monotonic()
    turns = []
    for number in range(6):
        assert pace.wait_for_next_frame()
        turns.append(time.monotonic() - start)
        if number == 2:
            time.sleep(0.1)
    due = [0, 0.02, 0.04, 0.14, 0.16, 0.18]
    assert all(turn > moment - 0.001 for turn, moment in zip(turns, due, strict=True))


def test_lock_step_clock_waits_for_tracks_of_the_frame():
    pace = LockStepClock(patience_s=60)
    played = []

    def play() -> None:
        for stamp in (1, 2, 3):
            pace.wait_for_next_frame()
            played.append(stamp)
            pace.start_frame(stamp)
            turn.release()
        pace.wait_for_last_frame()

    turn = threading.Semaphore(0)
    player = threading.Thread(target=play)
    player.start()
    assert turn.acquire(timeout=10)
    pace.finish_frame(7)
    assert not turn.acquire(timeout=0.1)
    for expected in ([1, 2], [1, 2, 3]):
        pace.finish_frame(expected[-2])
        assert turn.acquire(timeout=10)
        assert played == expected
    pace.finish_frame(3)
    player.join(timeout=10)
    assert not player.is_alive()
    assert pace.num_unanswered == 0


def test_lock_step_clock_continues_after_timeout():
    pace = LockStepClock(patience_s=0.01)
    for stamp in range(3):
        assert pace.wait_for_next_frame()
        pace.start_frame(stamp)
    pace.wait_for_last_frame()
    assert pace.num_unanswered == 3


def test_stopped_clock_ends_all_waits():
    for pace in (FixedRateClock(0.001), LockStepClock(60)):
        assert pace.wait_for_next_frame()
        pace.start_frame(1)
        threading.Timer(0.05, pace.stop).start()
        assert not pace.wait_for_next_frame()
        pace.wait_for_last_frame()
