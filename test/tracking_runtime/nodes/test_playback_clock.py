"""Frames come by the clock or by the consumer's answers."""

from __future__ import annotations

import threading
import time

from tracking_runtime.nodes.playback_clock import LockStep, SteadyPace


def test_steady_pace_keeps_its_rate_and_never_hurries_after_a_delay():
    pace = SteadyPace(50)
    start = time.monotonic()
    turns = []
    for number in range(6):
        assert pace.wait_turn()
        turns.append(time.monotonic() - start)
        if number == 2:
            time.sleep(0.1)
    due = [0, 0.02, 0.04, 0.14, 0.16, 0.18]
    assert all(turn > moment - 0.001 for turn, moment in zip(turns, due, strict=True))


def test_lock_step_waits_for_the_answer_to_the_very_frame():
    pace = LockStep(patience_s=60)
    played = []

    def play() -> None:
        for stamp in (1, 2, 3):
            pace.wait_turn()
            played.append(stamp)
            pace.play(stamp)
            turn.release()
        pace.wait_end()

    turn = threading.Semaphore(0)
    player = threading.Thread(target=play)
    player.start()
    assert turn.acquire(timeout=10)
    pace.answered(7)
    assert not turn.acquire(timeout=0.1)
    for expected in ([1, 2], [1, 2, 3]):
        pace.answered(expected[-2])
        assert turn.acquire(timeout=10)
        assert played == expected
    pace.answered(3)
    player.join(timeout=10)
    assert not player.is_alive()
    assert pace.unanswered == 0


def test_lock_step_goes_on_without_an_answer_and_counts():
    pace = LockStep(patience_s=0.01)
    for stamp in range(3):
        assert pace.wait_turn()
        pace.play(stamp)
    pace.wait_end()
    assert pace.unanswered == 3


def test_stopping_ends_every_wait():
    for pace in (SteadyPace(0.001), LockStep(60)):
        assert pace.wait_turn()
        pace.play(1)
        threading.Timer(0.05, pace.stop).start()
        assert not pace.wait_turn()
        pace.wait_end()
