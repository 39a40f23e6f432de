"""Memory of a node's process."""

from __future__ import annotations

import contextlib
import ctypes


def free_unused_memory() -> None:
    """Give memory that the process has freed back to the system. Needs the C library of GNU."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
