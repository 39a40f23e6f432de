"""Identities that never meet, apart from each other.

Identity and association are scored by tables of every true identity against every tracked one, which fit no
memory after an hour of traffic. They need only hold identities that overlap in some frame, be it by way of
others: groups that never meet can be scored one by one, and their counts be added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LARGEST_TABLE = 1 << 18

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """What belongs to a group in one frame.

    Attributes:
        frame: its index.
        true: ``(n,)`` which of the true identities there.
        tracked: ``(m,)`` which of the tracked ones.
    """

    frame: int
    true: NDArray[np.bool_]
    tracked: NDArray[np.bool_]


def groups_apart(
    true: Sequence[Ids],
    tracked: Sequence[Ids],
    similarities: Iterable[NDArray[np.float64]],
    *,
    largest: int = LARGEST_TABLE,
) -> Iterator[list[Part]]:
    """Groups of a video's identities, none of which meets those of another; few are all one group.

    Args:
        true: identities in each frame.
        tracked: identities in each frame.
        similarities: ``(n, m)`` of the two in each frame; those above 0 have met.
        largest: true times tracked identities that may be together; only those that meet may be more.

    Yields:
        a group's share of each frame that has any of it.
    """
    names, other_names = names_of(true), names_of(tracked)
    groups = np.zeros(len(names) + len(other_names), np.int64)
    if len(names) * len(other_names) > largest:
        companies = _companies(_meetings(true, tracked, similarities), names, other_names)
        firsts = np.concatenate([_first_frames(true, names), _first_frames(tracked, other_names)])
        groups = _packed(companies, firsts, len(names), largest)
    rows = [groups[np.searchsorted(names, ids)] for ids in true]
    columns = [groups[len(names) + np.searchsorted(other_names, ids)] for ids in tracked]
    frames: dict[int, list[int]] = defaultdict(list)
    for frame, (row, column) in enumerate(zip(rows, columns, strict=True)):
        for group in np.union1d(row, column).tolist():
            frames[group].append(frame)
    for group, found in sorted(frames.items()):
        yield [Part(frame, rows[frame] == group, columns[frame] == group) for frame in found]


def names_of(frames: Sequence[Ids]) -> Ids:
    """The identities in some frames, in order."""
    return np.unique(np.concatenate([np.zeros(0, np.int64), *frames]))


def _meetings(
    true: Sequence[Ids], tracked: Sequence[Ids], similarities: Iterable[NDArray[np.float64]]
) -> NDArray[np.int64]:
    """``(n, 2)`` true and tracked identities that have met in a frame."""
    met: set[tuple[int, int]] = set()
    for here, claimed, similarity in zip(true, tracked, similarities, strict=True):
        rows, columns = np.nonzero(similarity)
        met.update(zip(here[rows].tolist(), claimed[columns].tolist(), strict=True))
    return np.array(sorted(met), np.int64).reshape(-1, 2)


def _companies(meetings: NDArray[np.int64], names: Ids, other_names: Ids) -> Ids:
    """Of each identity, the true ones first, the number of those that it has met, be it by way of others."""
    rows = np.searchsorted(names, meetings[:, 0])
    columns = np.searchsorted(other_names, meetings[:, 1]) + len(names)
    size = len(names) + len(other_names)
    graph = coo_array((np.ones(len(meetings)), (rows, columns)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _first_frames(frames: Sequence[Ids], names: Ids) -> Ids:
    """When each identity is first seen."""
    first = np.zeros(len(names), np.int64)
    for number in reversed(range(len(frames))):
        first[np.searchsorted(names, frames[number])] = number
    return first


def _packed(companies: Ids, firsts: Ids, true: int, largest: int) -> Ids:
    """The group of each identity: companies that are seen first, as long as their table is small enough."""
    count = int(companies.max()) + 1
    rows, columns = (np.bincount(part, minlength=count) for part in (companies[:true], companies[true:]))
    seen = np.full(count, firsts.max(), np.int64)
    np.minimum.at(seen, companies, firsts)
    groups = np.zeros(count, np.int64)
    group = height = width = 0
    for company in np.argsort(seen, kind="stable"):
        if height + width and (height + rows[company]) * (width + columns[company]) > largest:
            group, height, width = group + 1, 0, 0
        groups[company] = group
        height, width = height + int(rows[company]), width + int(columns[company])
    return groups[companies]
