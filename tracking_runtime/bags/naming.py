"""Default names of recordings."""

from __future__ import annotations

from datetime import datetime


def make_recording_name() -> str:
    """Return the name of a recording that starts now: `recording_DATE_TIME` in local time."""
    return datetime.now().strftime("recording_%Y-%m-%d_%H-%M-%S")
