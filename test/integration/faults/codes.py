"""Codes that make a tracker fail in one frame."""

from __future__ import annotations

from enum import IntEnum

HANG_S = 9.0
"""Time for which a tracker hangs, in seconds."""


class Code(IntEnum):
    """Last three digits of a stamp in nanoseconds, and the fault of the tracker in this frame."""

    NONE = 0
    RAISE = 901
    HANG = 902
    EXIT = 903
    MEMORY = 904
    BREAK = 905
