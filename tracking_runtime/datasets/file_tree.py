"""Trees of files as people keep them: with links to where the room is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def paths_below(root: Path, *, _above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Every file and folder below a folder, links followed, but for those that lead back to what they are in.

    Yields:
        Paths that begin with ``root``, in the alphabet's order.
    """
    within = _above | {root.resolve()}
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if path.resolve() in within:
                continue
            yield path
            yield from paths_below(path, _above=within)
        else:
            yield path
