"""When the next frame of a source is due."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Pace(Protocol):
    """Tells a player when to go on: one thread plays, others may answer or stop it."""

    @property
    def unanswered(self) -> int:
        """How many frames were waited for in vain."""
        ...

    def wait_turn(self) -> bool:
        """Return when the next frame may be played; False if no more shall be."""
        ...

    def play(self, stamp_ns: int) -> None:
        """Note that the frame of this stamp is about to be played."""
        ...

    def wait_end(self) -> None:
        """Return when the last frame has had its time."""
        ...

    def answered(self, stamp_ns: int) -> None:
        """Note that the consumer is done with a frame."""
        ...

    def stop(self) -> None:
        """Let no more frames be played."""
        ...


class SteadyPace:
    """A frame every ``1 / rate_hz`` seconds, whatever is answered; a late one puts off all that follow."""

    unanswered = 0

    def __init__(self, rate_hz: float) -> None:
        self._period = 1 / rate_hz
        self._due = 0.0
        self._stopped = threading.Event()

    def wait_turn(self) -> bool:
        """Return when the next frame may be played; False if no more shall be."""
        now = time.monotonic()
        self._due = max(self._due + self._period, now)
        return not self._stopped.wait(self._due - now)

    def play(self, stamp_ns: int) -> None:
        """Changes nothing."""

    def wait_end(self) -> None:
        """Return after a last period."""
        self._stopped.wait(self._period)

    def answered(self, stamp_ns: int) -> None:
        """Changes nothing."""

    def stop(self) -> None:
        """Let no more frames be played."""
        self._stopped.set()


class LockStep:
    """A frame as soon as the one before is answered, or has not been for ``patience_s``."""

    def __init__(self, patience_s: float) -> None:
        self.unanswered = 0
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._awaited: int | None = None
        self._stopped = False

    def wait_turn(self) -> bool:
        """Return when the next frame may be played; False if no more shall be."""
        with self._changed:
            self._wait_for_answer()
            return not self._stopped

    def play(self, stamp_ns: int) -> None:
        """Note the frame whose answer to wait for next."""
        with self._changed:
            self._awaited = stamp_ns

    def wait_end(self) -> None:
        """Return when the last frame is answered."""
        with self._changed:
            self._wait_for_answer()

    def answered(self, stamp_ns: int) -> None:
        """Note that the consumer is done with a frame."""
        with self._changed:
            if stamp_ns == self._awaited:
                self._awaited = None
                self._changed.notify_all()

    def stop(self) -> None:
        """Let no more frames be played."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait_for_answer(self) -> None:
        self._changed.wait_for(lambda: self._awaited is None or self._stopped, self._patience_s)
        self.unanswered += self._awaited is not None and not self._stopped
        self._awaited = None
