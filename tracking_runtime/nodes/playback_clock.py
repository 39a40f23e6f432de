"""Clocks of the player: the time at which the next frame is published."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class PlaybackClock(Protocol):
    """A clock that paces a player. One thread plays; other threads report finished frames or stop."""

    @property
    def num_unanswered(self) -> int:
        """Number of frames whose tracks did not arrive in time."""
        ...

    def wait_for_next_frame(self) -> bool:
        """Wait until the next frame is due. Return False if the player was stopped."""
        ...

    def start_frame(self, stamp_ns: int) -> None:
        """Record that the frame with this stamp is published now."""
        ...

    def wait_for_last_frame(self) -> None:
        """Wait until the last frame is over."""
        ...

    def finish_frame(self, stamp_ns: int) -> None:
        """Record that the tracks of a frame arrived."""
        ...

    def stop(self) -> None:
        """Stop the player and end all waits."""
        ...


class FixedRateClock:
    """A clock with one frame every `1 / rate_hz` seconds. A late frame delays all later frames."""

    num_unanswered = 0

    def __init__(self, rate_hz: float) -> None:
        self._period = 1 / rate_hz
        self._due = 0.0
        self._stopped = threading.Event()

    def wait_for_next_frame(self) -> bool:
        """Wait until the next frame is due. Return False if the player was stopped."""
        now = time.monotonic()
        self._due = max(self._due + self._period, now)
        return not self._stopped.wait(self._due - now)

    def start_frame(self, stamp_ns: int) -> None:
        """Do nothing: the rate is fixed."""

    def wait_for_last_frame(self) -> None:
        """Wait for one more period."""
        self._stopped.wait(self._period)

    def finish_frame(self, stamp_ns: int) -> None:
        """Do nothing: the rate is fixed."""

    def stop(self) -> None:
        """Stop the player and end all waits."""
        self._stopped.set()


class LockStepClock:
    """A clock that waits for the tracks of the previous frame, at most `patience_s` seconds."""

    def __init__(self, patience_s: float) -> None:
        self.num_unanswered = 0
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._awaited_stamp_ns: int | None = None
        self._stopped = False

    def wait_for_next_frame(self) -> bool:
        """Wait until the next frame is due. Return False if the player was stopped."""
        with self._changed:
            self._wait_for_tracks()
            return not self._stopped

    def start_frame(self, stamp_ns: int) -> None:
        """Record the frame whose tracks are awaited."""
        with self._changed:
            self._awaited_stamp_ns = stamp_ns

    def wait_for_last_frame(self) -> None:
        """Wait until the tracks of the last frame arrive."""
        with self._changed:
            self._wait_for_tracks()

    def finish_frame(self, stamp_ns: int) -> None:
        """Record that the tracks of a frame arrived."""
        with self._changed:
            if stamp_ns == self._awaited_stamp_ns:
                self._awaited_stamp_ns = None
                self._changed.notify_all()

    def stop(self) -> None:
        """Stop the player and end all waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait_for_tracks(self) -> None:
        self._changed.wait_for(lambda: self._awaited_stamp_ns is None or self._stopped, self._patience_s)
        self.num_unanswered += self._awaited_stamp_ns is not None and not self._stopped
        self._awaited_stamp_ns = None
