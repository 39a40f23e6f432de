"""Where this package's models and configuration lie, however it was installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = "remote_sensing_tracking"


def folders(name: str) -> list[Path]:
    """Folders that may hold the package's data of one kind, in the order to look.

    Args:
        name: of the folder at the top of the repository: ``models`` or ``config``.
    """
    ros_prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    shares = [prefix / "share" / PACKAGE for prefix in (*ros_prefixes, Path(sys.prefix))]
    return [folder / name for folder in (Path(__file__).resolve().parent.parent, *shares)]


def find(folder: str, name: str) -> Path:
    """A file of one of those folders.

    Raises:
        FileNotFoundError: it is in none of the places it is installed to.
    """
    candidates = [place / name for place in folders(folder)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"none of {', '.join(map(str, candidates))} exists")
