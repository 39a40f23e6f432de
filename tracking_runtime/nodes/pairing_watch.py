"""Watch over two streams whose messages belong together in pairs."""

from __future__ import annotations

_PATIENCE_S = 5.0  # time in which a message of the other stream is expected


class PairingWatch:
    """Times of the messages since the last pair: finds streams that wait for the other one in vain."""

    def __init__(self) -> None:
        self._first_s: dict[str, float] = {}
        self._newest_s = -float("inf")

    def add(self, stream: str, now_s: float) -> None:
        """Record a message.

        Args:
            stream: name of its stream.
            now_s: monotonic time in seconds.
        """
        self._first_s.setdefault(stream, now_s)
        self._newest_s = now_s

    def clear(self) -> None:
        """Record a pair, or that none is wanted."""
        self._first_s.clear()

    def find_waiting(self, now_s: float) -> set[str]:
        """Return the streams of the messages that still arrive, for more than 5 s without a pair.

        Args:
            now_s: monotonic time in seconds.
        """
        is_idle = now_s - self._newest_s > _PATIENCE_S
        is_early = now_s - min(self._first_s.values(), default=now_s) <= _PATIENCE_S
        return set() if is_idle or is_early else {*self._first_s}
