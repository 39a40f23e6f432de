"""How far engines are from ready, told while they are built: that may take minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildProgress:
    """How far a build is.

    Attributes:
        stage: which network, and what is done with it.
        share: of the whole that is behind, 0..1, estimated.
        finish_s: when it may be ready if it goes on as until now, on the monotonic clock; None: unknown.
    """

    stage: str
    share: float
    finish_s: float | None

    @property
    def seconds_left(self) -> float | None:
        """Until it may be ready; None: unknown."""
        return None if self.finish_s is None else max(self.finish_s - time.monotonic(), 0.0)

    def __str__(self) -> str:
        left = self.seconds_left
        return f"{self.stage}, {self.share:.0%}" + ("" if left is None else f", about {left:.0f} s left")


class _Follower:
    """Who is told, and which part of the whole is at work."""

    def __init__(self, tell: Callable[[BuildProgress], None]) -> None:
        self._tell, self._began_s = tell, time.monotonic()
        self._part, self._parts, self._share = 0, 1, 0.0

    def begin(self, part: int, parts: int) -> None:
        self._part, self._parts, self._share = part, parts, 0.0

    def tell(self, stage: str, share: float | None) -> None:
        self._share = self._share if share is None else share
        whole = (self._part + self._share) / self._parts
        now = time.monotonic()
        finish_s = now + (now - self._began_s) * (1 - whole) / whole if whole > 0 else None
        self._tell(BuildProgress(stage, whole, finish_s))


_follower: ContextVar[_Follower | None] = ContextVar("follower", default=None)


@contextmanager
def followed(tell: Callable[[BuildProgress], None]) -> Iterator[None]:
    """Be told of every stage of what this thread builds in the block."""
    token = _follower.set(_Follower(tell))
    try:
        yield
    finally:
        _follower.reset(token)


def part(index: int, count: int) -> None:
    """Tell who follows that what is built from now on is one of so many, all alike."""
    follower = _follower.get()
    if follower is not None:
        follower.begin(index, count)


def stage(text: str, share: float | None = None) -> None:
    """Tell who follows what begins now, and which share of this engine's build is behind, 0..1.

    Args:
        text: which network, and what is done with it.
        share: None: as much as before.
    """
    follower = _follower.get()
    if follower is not None:
        follower.tell(text, share)
