"""Folder trees that may contain symbolic links, also to other disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tracking_runtime.errors import SourceError
from tracking_runtime.files import list_visible


def walk_paths(root: Path, *, _ancestors: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield every file and folder below a folder that is not hidden.

    Links are followed, except those to a folder that contains them.

    Yields:
        Paths that begin with `root`, in alphabetical order.

    Raises:
        SourceError: a folder cannot be read.
    """
    ancestors = _ancestors | {root.resolve()}
    try:
        paths = list_visible(root)
    except OSError as error:
        raise SourceError(f"{root} cannot be read: {error.strerror or error}") from error
    for path in paths:
        if path.is_dir():
            if path.resolve() in ancestors:
                continue
            yield path
            yield from walk_paths(path, _ancestors=ancestors)
        else:
            yield path
