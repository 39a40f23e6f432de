"""Lost messages by gaps in the sequence numbers of several publishers of one topic."""

from __future__ import annotations

from collections.abc import Callable


class LossCounter:
    """Counter of lost messages on one topic.

    Each publisher numbers its messages from 1, and a message does not tell its publisher. A message belongs
    to the publisher whose last number is one less. If there is none, it is the first message of a publisher
    that is new, or else the next one of the publisher with the closest smaller number, after a gap.

    Args:
        count_publishers: function that returns the current number of publishers. It is called only for a
            message that follows no other.

    Attributes:
        lost: number of messages that were published after the first received one of their publisher, and did
            not arrive.
    """

    def __init__(self, count_publishers: Callable[[], int]) -> None:
        self.lost = 0
        self._count_publishers = count_publishers
        self._last: list[int] = []  # newest number of each publisher, the one heard last at the end

    def add(self, sequence: int) -> None:
        """Count the messages lost before the message with this number."""
        if sequence - 1 in self._last:
            self._last.remove(sequence - 1)
        else:
            self._remove_publishers(self._count_publishers() - 1, sequence)
        self._last.append(sequence)

    def _remove_publishers(self, num_others: int, sequence: int) -> None:
        """Remove the publisher of a message that follows no other, and publishers that are gone."""
        smaller = [last for last in self._last if last < sequence]
        if len(self._last) > num_others and smaller:
            closest = max(smaller)
            self._last.remove(closest)
            self.lost += sequence - closest - 1
        del self._last[: max(0, len(self._last) - max(num_others, 0))]
