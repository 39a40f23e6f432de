"""Identities that never meet, apart from each other.

Identity and association are scored by tables of every true identity against every tracked one, which fit no
memory after an hour of traffic. They need only hold identities that overlap in some frame, be it by way of
others: groups that never meet can be scored one by one, and their counts be added.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tracking_runtime.io.disk_list import Made

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
) -> Iterator[Sequence[Part]]:
    """Groups of a video's identities, none of which meets those of another; few are all one group.

    Args:
        true: identities in each frame.
        tracked: identities in each frame.
        similarities: ``(n, m)`` of the two in each frame; those above 0 have met.
        largest: true times tracked identities that may be together; only those that meet may be more.

    Yields:
        a group's share of each frame that has any of it.
    """
    (names, firsts), (other_names, other_firsts) = (_names_and_first_frames(ids) for ids in (true, tracked))
    groups = np.zeros(len(names) + len(other_names), np.int64)
    if len(names) * len(other_names) > largest:
        companies = _companies(_meetings(true, tracked, similarities, names, other_names), len(groups))
        groups = _packed(companies, np.concatenate([firsts, other_firsts]), len(names), largest)
    frames: dict[int, array[int]] = defaultdict(lambda: array("q"))

    def of_frame(frame: int) -> tuple[Ids, Ids]:
        rows = groups[np.searchsorted(names, true[frame])]
        return rows, groups[len(names) + np.searchsorted(other_names, tracked[frame])]

    for frame in range(len(true)):
        for group in np.union1d(*of_frame(frame)).tolist():
            frames[group].append(frame)
    for group, found in sorted(frames.items()):
        yield _parts(group, found, of_frame)


def _parts(group: int, frames: Sequence[int], of_frame: Callable[[int], tuple[Ids, Ids]]) -> Sequence[Part]:
    def part(index: int) -> Part:
        rows, columns = of_frame(frames[index])
        return Part(frames[index], rows == group, columns == group)

    return Made(len(frames), part)


def names_of(frames: Iterable[Ids]) -> Ids:
    """The identities in some frames, in order."""
    names: set[int] = set()
    for ids in frames:
        names.update(ids.tolist())
    return np.array(sorted(names), np.int64)


def _meetings(
    true: Sequence[Ids],
    tracked: Sequence[Ids],
    similarities: Iterable[NDArray[np.float64]],
    names: Ids,
    other_names: Ids,
) -> NDArray[np.int64]:
    """``(n, 2)`` places of true and tracked identities, the tracked ones after, that have met in a frame."""
    met: set[int] = set()
    for here, claimed, similarity in zip(true, tracked, similarities, strict=True):
        rows, columns = np.nonzero(similarity)
        places = np.searchsorted(names, here)[rows], np.searchsorted(other_names, claimed)[columns]
        met.update(np.ravel_multi_index(places, (len(names), len(other_names))).tolist())
    pairs = np.unravel_index(np.array(sorted(met), np.int64), (len(names), len(other_names)))
    return np.stack(pairs, axis=1) + np.array([0, len(names)])


def _companies(meetings: NDArray[np.int64], size: int) -> Ids:
    """Of each identity the number of those that it has met, be it by way of others."""
    graph = coo_array((np.ones(len(meetings)), (meetings[:, 0], meetings[:, 1])), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _names_and_first_frames(frames: Iterable[Ids]) -> tuple[Ids, Ids]:
    """The identities in some frames, in order, and when each of them is first seen."""
    firsts: dict[int, int] = {}
    for number, ids in enumerate(frames):
        for name in ids.tolist():
            firsts.setdefault(name, number)
    names = sorted(firsts)
    return np.array(names, np.int64), np.array([firsts[name] for name in names], np.int64)


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
