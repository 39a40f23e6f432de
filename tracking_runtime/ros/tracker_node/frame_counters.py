"""Where the frames of a camera went: every published one is in exactly one of the counts."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from tracking_runtime.ros.node.diagnostics import Value

_RATE_WINDOW_S = 5.0


class _Arrival(NamedTuple):
    """When a frame came, and how many before it were lost."""

    time_s: float
    lost_before: int


@dataclass
class FrameAccount:
    """What became of the frames since the node was configured.

    Published frames = processed + refused + failed + dropped + lost, once none is under way.

    Attributes:
        received: came to the callback.
        processed: tracked, result published.
        refused: could not be used.
        failed: met an error in the tracker.
        dropped: made room for a newer one.
        lost: were published but never came, by gaps in the publisher's numbers.
        last_refusal: reason of the newest refusal.
        last_refusal_s: when that was, monotonic.
        last_failure_s: when a frame last failed, monotonic.
    """

    received: int = 0
    processed: int = 0
    refused: int = 0
    failed: int = 0
    dropped: int = 0
    lost: int = 0
    last_refusal: str = ""
    last_refusal_s: float = -float("inf")
    last_failure_s: float = -float("inf")
    _arrivals: deque[_Arrival] = field(default_factory=lambda: deque(maxlen=200), repr=False)
    _last_number: int | None = field(default=None, repr=False)
    _listening_since_s: float = field(default_factory=time.monotonic, repr=False)

    def arrive(self, number: int | None) -> None:
        """Count a frame that came; ``number`` as its only publisher counts, None if there are several."""
        self.received += 1
        lost = 0
        if number is not None and self._last_number is not None and number > self._last_number:
            lost = number - self._last_number - 1
        self.lost += lost
        self._arrivals.append(_Arrival(time.monotonic(), lost))
        self._last_number = number

    def listen(self) -> None:
        """Count gaps and silence from now on: nobody listened until now."""
        self._last_number = None
        self._listening_since_s = time.monotonic()

    def refuse(self, reason: str) -> None:
        """Count a frame that could not be used."""
        self.refused += 1
        self.last_refusal, self.last_refusal_s = reason, time.monotonic()

    def fail(self) -> None:
        """Count a frame that met an error."""
        self.failed += 1
        self.last_failure_s = time.monotonic()

    @property
    def silence_s(self) -> float:
        """Seconds since a frame came, or since any could have come."""
        newest_s = self._arrivals[-1].time_s if self._arrivals else -float("inf")
        return time.monotonic() - max(newest_s, self._listening_since_s)

    @property
    def rate_hz(self) -> float:
        """Frames a second that came of late; 0 after a silence."""
        recent = self._recent()
        return (len(recent) - 1) / (recent[-1].time_s - recent[0].time_s) if len(recent) > 1 else 0.0

    @property
    def lost_share(self) -> float:
        """Of the frames published of late, those that never came."""
        recent = self._recent()
        lost = sum(arrival.lost_before for arrival in recent)
        return lost / (lost + len(recent)) if recent else 0.0

    def _recent(self) -> list[_Arrival]:
        now = time.monotonic()
        return [arrival for arrival in list(self._arrivals) if now - arrival.time_s < _RATE_WINDOW_S]

    def values(self) -> dict[str, Value]:
        """The counts as diagnostics."""
        refusal: dict[str, Value] = {"last_refusal": self.last_refusal}
        if self.last_refusal:
            refusal["last_refusal_ago_s"] = round(time.monotonic() - self.last_refusal_s, 1)
        return {
            "frames_received": self.received,
            "frames_processed": self.processed,
            "frames_dropped": self.dropped,
            "frames_refused": self.refused,
            "frames_failed": self.failed,
            "frames_lost": self.lost,
            "input_rate_hz": round(self.rate_hz, 2),
            **refusal,
        }
