"""Files: the installed models and configuration, and files that are written whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "remote_sensing_tracking"


def list_data_folders(name: str) -> list[Path]:
    """Return the folders that may contain the package's data of one kind, in the order of the search.

    Args:
        name: name of a folder at the top of the repository: `models` or `config`.
    """
    ros_prefixes = [
        Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix
    ]
    share_folders = [prefix / "share" / PACKAGE for prefix in (*ros_prefixes, Path(sys.prefix))]
    repository = Path(__file__).resolve().parent.parent
    return [folder / name for folder in (repository, *share_folders)]


def find_data_file(folder: str, name: str) -> Path:
    """Find a file of the package's data.

    Args:
        folder: `models` or `config`.
        name: name of the file.

    Raises:
        FileNotFoundError: no folder contains the file.
    """
    candidates = [data_folder / name for data_folder in list_data_folders(folder)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"{folder}/{name} is not installed: none of {', '.join(map(str, candidates))} exists; "
        "install the package"
    )


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path`; rename it to `path` if the block succeeds, else delete it.

    Readers see the previous file or the complete new file, also if the process is killed.

    Args:
        path: file to write. Its folder must exist.

    Yields:
        Path that the block must write.
    """
    partial_path = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial_path
        os.replace(partial_path, path)
    finally:
        partial_path.unlink(missing_ok=True)
