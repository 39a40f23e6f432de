"""Folder trees that may contain symbolic links, also to other disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def walk_paths(root: Path, *, _ancestors: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield every file and folder below a folder. Follow links, except those to a folder that contains them.

    Yields:
        Paths that begin with `root`, in alphabetical order.
    """
    ancestors = _ancestors | {root.resolve()}
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if path.resolve() in ancestors:
                continue
            yield path
            yield from walk_paths(path, _ancestors=ancestors)
        else:
            yield path
