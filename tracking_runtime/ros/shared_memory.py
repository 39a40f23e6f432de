"""Settings of Fast DDS and malloc for images of megabytes between processes of one machine.

A process reads both from its environment when it starts, so the program that starts the nodes sets them.
`rstrack bench transport` measures their effect.
"""

from __future__ import annotations

import ctypes
import fcntl
import re
import time
from pathlib import Path

from tracking_runtime.files import find_data_file

PROFILE = "fastdds_shm.xml"
"""File name of the Fast DDS profile."""
PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
"""Environment variable of the profile in Fast DDS 2, the version of Jazzy. Fast DDS 3: FASTDDS_..."""

# A message is copied several times on its way. By default glibc takes memory of this size from the kernel for
# each copy and gives it back, so that every page faults and is zeroed again. 32 MiB is the highest threshold.
_MMAP_BYTES = 32 << 20
_TRIM_BYTES = 256 << 20
_MALLOC_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(_MMAP_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_TRIM_BYTES),
}
_M_TRIM_THRESHOLD = -1  # option of mallopt(3)
_M_MMAP_THRESHOLD = -3  # option of mallopt(3)
_SHARED_MEMORY = Path("/dev/shm")
_SEGMENT_NAME = re.compile(r"fast(rtps|dds)_[0-9a-f]{16}")
_LOCK_SUFFIX = "_el"  # of the file that a process locks beside its segment


def find_shared_memory_profile() -> Path:
    """Return the path of the Fast DDS profile that this package ships.

    Raises:
        FileNotFoundError: the profile is not installed.
    """
    return find_data_file("config", PROFILE)


def make_shared_memory_environment() -> dict[str, str]:
    """Return the environment variables for every node's process on one machine."""
    return {PROFILE_VARIABLE: str(find_shared_memory_profile())} | _MALLOC_ENVIRONMENT


def set_malloc_thresholds() -> None:
    """Give this process the malloc settings that the environment gives a process at its start."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def free_abandoned_memory(folder: Path = _SHARED_MEMORY, *, older_than_s: float = 10.0) -> int:
    """Remove Fast DDS segments of killed processes, and return the number of bytes freed.

    Each process takes a segment of tens of megabytes and locks a file beside it while it lives. Nothing else
    removes the segment of a killed process, so that repeated kills would fill the memory.

    Args:
        folder: folder of the segments.
        older_than_s: lowest age of a segment in seconds. A new segment may not be locked yet.
    """
    num_bytes = 0
    for lock in folder.glob(f"fast*{_LOCK_SUFFIX}"):
        segment = lock.with_name(lock.name.removesuffix(_LOCK_SUFFIX))
        try:
            if not _SEGMENT_NAME.fullmatch(segment.name) or time.time() - lock.stat().st_mtime < older_than_s:
                continue
            with lock.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = segment.stat().st_size if segment.exists() else 0
                segment.unlink(missing_ok=True)
                lock.unlink()
        except OSError:  # locked by a living process, owned by another user, or removed at the same time
            continue
        num_bytes += size
    return num_bytes


def remove_shared_memory_settings(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment without the settings of this module."""
    return {k: v for k, v in environment.items() if k not in _MALLOC_ENVIRONMENT and k != PROFILE_VARIABLE}
