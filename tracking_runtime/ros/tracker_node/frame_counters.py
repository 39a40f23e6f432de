"""Frame counters of a tracker node: every published frame is counted in exactly one of them."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from tracking_runtime.ros.node.diagnostics import Value

_RATE_WINDOW_S = 5.0  # time over which input rate and loss are measured
_MAX_ARRIVALS = 200  # received frames that the rate is computed from


class _Arrival(NamedTuple):
    """Time of a received frame, and the number of frames lost just before."""

    time_s: float
    num_lost: int


@dataclass
class FrameCounters:
    """Counts of the frames since the node was configured.

    Published frames = processed + refused + failed + dropped + lost, as soon as no frame is under way.

    Attributes:
        received: frames that reached the callback.
        processed: frames that were tracked and whose result was published.
        refused: frames that the node could not use.
        failed: frames in which the tracker raised an error.
        dropped: frames that a newer frame replaced.
        lost: published frames that never arrived, by the gaps in the publisher's sequence numbers.
        last_refusal: reason of the newest refusal, empty without one.
        last_refusal_s: monotonic time of the newest refusal in seconds.
        last_failure: message of the newest failure, empty without one.
        last_failure_s: monotonic time of the newest failure in seconds.
        age_ms: age of the newest processed frame, from its stamp to its result, in milliseconds.
    """

    received: int = 0
    processed: int = 0
    refused: int = 0
    failed: int = 0
    dropped: int = 0
    lost: int = 0
    last_refusal: str = ""
    last_refusal_s: float = -float("inf")
    last_failure: str = ""
    last_failure_s: float = -float("inf")
    age_ms: float = 0.0
    _arrivals: deque[_Arrival] = field(default_factory=lambda: deque(maxlen=_MAX_ARRIVALS), repr=False)
    _last_sequence_number: int | None = field(default=None, repr=False)
    _refusal_logged_s: dict[str, float] = field(default_factory=dict, repr=False)
    _listening_since_s: float = field(default_factory=time.monotonic, repr=False)

    def count_received(self, sequence_number: int | None) -> None:
        """Count a received frame.

        Args:
            sequence_number: the publisher's number of the frame; None if several publishers share the topic.
        """
        self.received += 1
        num_lost = 0
        last = self._last_sequence_number
        if sequence_number is not None and last is not None and sequence_number > last:
            num_lost = sequence_number - last - 1
        self.lost += num_lost
        self._arrivals.append(_Arrival(time.monotonic(), num_lost))
        self._last_sequence_number = sequence_number

    def start_listening(self) -> None:
        """Measure gaps and silence from now on. Until now there was no subscription."""
        self._last_sequence_number = None
        self._listening_since_s = time.monotonic()

    def count_processed(self) -> None:
        """Count a frame that was tracked and whose result was published."""
        self.processed += 1

    def is_new_refusal(self, reason: str, period_s: float) -> bool:
        """Return whether no refusal of the same kind was counted in the last `period_s` seconds.

        Reasons of one kind differ in their numbers only.
        """
        kind = _find_kind(reason)
        now_s = time.monotonic()
        is_new = now_s - self._refusal_logged_s.get(kind, -float("inf")) >= period_s
        if is_new:
            self._refusal_logged_s = {
                each: logged_s
                for each, logged_s in self._refusal_logged_s.items()
                if now_s - logged_s < period_s
            } | {kind: now_s}
        return is_new

    def count_refused(self, reason: str) -> None:
        """Count a frame that the node cannot use."""
        self.refused += 1
        self.last_refusal = reason
        self.last_refusal_s = time.monotonic()

    def count_failed(self, message: str) -> None:
        """Count a frame in which the tracker raised an error."""
        self.failed += 1
        self.record_failure(message)

    def record_failure(self, message: str) -> None:
        """Store the message of a failure whose frame is counted already."""
        self.last_failure = message
        self.last_failure_s = time.monotonic()

    @property
    def silence_s(self) -> float:
        """Time since the newest frame, or since the subscription began, in seconds."""
        newest_s = self._arrivals[-1].time_s if self._arrivals else -float("inf")
        return time.monotonic() - max(newest_s, self._listening_since_s)

    @property
    def rate_hz(self) -> float:
        """Recent rate of received frames in hertz; 0 after a silence.

        The last frame before the window counts too. Else two frames that a busy machine hands over at once
        would look like a high rate.
        """
        now_s = time.monotonic()
        ages_s = [now_s - arrival.time_s for arrival in list(self._arrivals)]
        recent = [age_s for age_s in ages_s if age_s < _RATE_WINDOW_S]
        earlier = [age_s for age_s in ages_s if _RATE_WINDOW_S <= age_s < 2 * _RATE_WINDOW_S]
        counted = [*earlier[-1:], *recent] if recent else []
        duration_s = counted[0] - counted[-1] if counted else 0.0
        return (len(counted) - 1) / duration_s if duration_s > 0 else 0.0

    @property
    def lost_fraction(self) -> float:
        """Fraction of the recently published frames that never arrived."""
        recent = self._recent_arrivals()
        lost = sum(arrival.num_lost for arrival in recent)
        return lost / (lost + len(recent)) if recent else 0.0

    def _recent_arrivals(self) -> list[_Arrival]:
        now = time.monotonic()
        return [arrival for arrival in list(self._arrivals) if now - arrival.time_s < _RATE_WINDOW_S]

    def to_values(self) -> dict[str, Value]:
        """Return the counts as diagnostics values."""
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


def _find_kind(reason: str) -> str:
    """Return a reason without its numbers and quoted names."""
    return re.sub(r"'[^']*'|\d+(\.\d+)?", "#", reason)
