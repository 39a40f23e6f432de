"""Notes for users about input that was read with a loss: rows left out, frames without an image, clipping.

A reader adds a note and continues. The command that runs it collects the notes, and tells them on the
terminal and in its report. Without a collector they go to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_logger = logging.getLogger(__name__)
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def add_note(text: str) -> None:
    """Add a note to those that the caller collects, once. Log it as a warning if nobody collects."""
    notes = _collected.get()
    if notes is None:
        _logger.warning(text)
    elif text not in notes:
        notes.append(text)


def is_collecting() -> bool:
    """Return whether a caller in this thread collects notes."""
    return _collected.get() is not None


@contextmanager
def collect_notes() -> Iterator[list[str]]:
    """Yield a list that receives the notes added in this thread inside the block, also in functions."""
    notes: list[str] = []
    token = _collected.set(notes)
    try:
        yield notes
    finally:
        _collected.reset(token)
