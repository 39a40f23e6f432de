"""Watchdog of a node's process: reports an executor that is blocked, and ends a process that hangs."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

EXIT_UNHEALTHY = 70
"""Exit status of a process that cannot recover by itself, EX_SOFTWARE of sysexits.h."""
_PERIOD_S = 1.0
_MAX_SILENCE_S = 3.0  # time without a callback that is reported
_MAX_BLOCKED_S = 60.0  # time without a callback, outside of transitions, after which the process ends
_MAX_FROZEN_S = 180.0  # time in which no Python code runs, after which the process ends
_REARM_S = 30.0  # time between two starts of the timer of `faulthandler`


class ProcessWatchdog:
    """Thread that checks every second whether the executor of a node still runs callbacks.

    The time in which the process itself does not run (SIGSTOP, sleep of the machine) does not count. If no
    Python code runs for 180 s, because native code keeps Python's lock, the process ends as well.
    """

    def __init__(self, report: Callable[[str, float], None]) -> None:
        """Create the watchdog. `start` starts its thread.

        Args:
            report: function that is called each second while no callback runs, with the name of the
                transition (empty outside of transitions), and the time since the last callback in seconds.
        """
        self._report = report
        self._is_ended = threading.Event()
        self._num_beats = 0
        self._transition = ""
        self._thread = threading.Thread(target=self._watch, name="process watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread, and the timer of `faulthandler`, which has a thread of its own."""
        _arm_freeze_timer()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._is_ended.set()
        faulthandler.cancel_dump_traceback_later()

    def beat(self) -> None:
        """Record that the executor runs a callback."""
        self._num_beats += 1

    def begin_transition(self, name: str) -> None:
        """Record a transition, which may take any time. Its end is an empty name."""
        self._transition = name
        self.beat()

    def _watch(self) -> None:
        num_beats = self._num_beats
        silence_s = 0.0
        checked_s = time.monotonic()
        armed_s = checked_s
        while not self._is_ended.wait(_PERIOD_S):
            now_s = time.monotonic()
            if now_s - armed_s > _REARM_S:
                _arm_freeze_timer()
                armed_s = now_s
            silence_s += min(now_s - checked_s, 2 * _PERIOD_S)
            checked_s = now_s
            if self._num_beats != num_beats:
                num_beats, silence_s = self._num_beats, 0.0
            if silence_s < _MAX_SILENCE_S:
                continue
            self._report(self._transition, silence_s)
            if silence_s > _MAX_BLOCKED_S and not self._transition:
                end_process(f"no callback has run for {silence_s:.0f} s")


def _arm_freeze_timer() -> None:
    """Start the timer that ends the process if no Python code runs, again if it runs already."""
    with suppress(RuntimeError):  # without memory for a thread, the process has no such timer
        faulthandler.dump_traceback_later(_MAX_FROZEN_S, exit=True)


def end_process(reason: str) -> None:
    """End the process at once with EXIT_UNHEALTHY, so that launch or systemd starts it again.

    Args:
        reason: reason for the log. The stacks of all threads follow.
    """
    print(f"the process ends with status {EXIT_UNHEALTHY}: {reason}", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)
    os._exit(EXIT_UNHEALTHY)
