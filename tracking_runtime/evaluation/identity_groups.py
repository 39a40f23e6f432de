"""Groups of identities that never overlap, so that their tables fit in memory.

Identity and association metrics need tables of every true identity against every predicted one. After an hour
of traffic, such a table does not fit in memory. A table needs only identities that overlap in some frame,
directly or through others. Groups that never overlap are scored one by one, and their counts are added.
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

from tracking_runtime.io.disk_list import LazySequence

MAX_TABLE_SIZE = 1 << 18
"""Default size of a table: number of true identities times number of predicted identities."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class GroupFrame:
    """Members of a group in one frame.

    Attributes:
        frame_index: index of the frame.
        truth_mask: true objects of the frame that belong to the group, (n,) bool.
        prediction_mask: predicted objects of the frame that belong to the group, (m,) bool.
    """

    frame_index: int
    truth_mask: NDArray[np.bool_]
    prediction_mask: NDArray[np.bool_]


def find_identity_groups(
    truth_ids: Sequence[Ids],
    prediction_ids: Sequence[Ids],
    similarities: Iterable[NDArray[np.float64]],
    *,
    max_table_size: int = MAX_TABLE_SIZE,
) -> Iterator[Sequence[GroupFrame]]:
    """Split a video's identities into groups that never overlap. If all fit in one table, yield one group.

    Args:
        truth_ids: true identities in each frame.
        prediction_ids: predicted identities in each frame.
        similarities: similarity of both in each frame, (n, m). Identities overlap if it is above 0.
        max_table_size: number of true times predicted identities of a group. Only connected identities exceed
            it.

    Yields:
        Members of a group in each frame that has any.
    """
    true_names, true_first_frames = _find_first_frames(truth_ids)
    predicted_names, predicted_first_frames = _find_first_frames(prediction_ids)
    groups = np.zeros(len(true_names) + len(predicted_names), np.int64)
    if len(true_names) * len(predicted_names) > max_table_size:
        pairs = _find_overlaps(truth_ids, prediction_ids, similarities, true_names, predicted_names)
        components = _find_components(pairs, len(groups))
        first_frames = np.concatenate([true_first_frames, predicted_first_frames])
        groups = _pack_components(components, first_frames, len(true_names), max_table_size)

    def find_groups(frame_index: int) -> tuple[Ids, Ids]:
        true_groups = groups[np.searchsorted(true_names, truth_ids[frame_index])]
        predicted_indices = np.searchsorted(predicted_names, prediction_ids[frame_index])
        return true_groups, groups[len(true_names) + predicted_indices]

    frames_by_group: dict[int, array[int]] = defaultdict(lambda: array("q"))
    for frame_index in range(len(truth_ids)):
        for group in np.union1d(*find_groups(frame_index)).tolist():
            frames_by_group[group].append(frame_index)
    for group, frame_indices in sorted(frames_by_group.items()):
        yield _select_group(group, frame_indices, find_groups)


def find_unique_ids(frames: Iterable[Ids]) -> Ids:
    """Return the sorted unique ids of all frames."""
    ids: set[int] = set()
    for frame_ids in frames:
        ids.update(frame_ids.tolist())
    return np.array(sorted(ids), np.int64)


def _select_group(
    group: int, frame_indices: Sequence[int], find_groups: Callable[[int], tuple[Ids, Ids]]
) -> Sequence[GroupFrame]:
    def make_frame(index: int) -> GroupFrame:
        true_groups, predicted_groups = find_groups(frame_indices[index])
        return GroupFrame(frame_indices[index], true_groups == group, predicted_groups == group)

    return LazySequence(len(frame_indices), make_frame)


def _find_overlaps(
    truth_ids: Sequence[Ids],
    prediction_ids: Sequence[Ids],
    similarities: Iterable[NDArray[np.float64]],
    true_names: Ids,
    predicted_names: Ids,
) -> NDArray[np.int64]:
    """Return index pairs, (n, 2), of identities that overlap. Predicted ones count after true ones."""
    shape = len(true_names), len(predicted_names)
    flat_pairs: set[int] = set()
    for true, predicted, similarity in zip(truth_ids, prediction_ids, similarities, strict=True):
        rows, columns = np.nonzero(similarity)
        true_indices = np.searchsorted(true_names, true)[rows]
        predicted_indices = np.searchsorted(predicted_names, predicted)[columns]
        flat_pairs.update(np.ravel_multi_index((true_indices, predicted_indices), shape).tolist())
    pairs = np.unravel_index(np.array(sorted(flat_pairs), np.int64), shape)
    return np.stack(pairs, axis=1) + np.array([0, len(true_names)])


def _find_components(pairs: NDArray[np.int64], size: int) -> Ids:
    """Return the connected component of each identity."""
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _find_first_frames(frames: Iterable[Ids]) -> tuple[Ids, Ids]:
    """Return the sorted unique ids of all frames, and the index of the first frame of each."""
    first_frames: dict[int, int] = {}
    for frame_index, ids in enumerate(frames):
        for name in ids.tolist():
            first_frames.setdefault(name, frame_index)
    names = sorted(first_frames)
    return np.array(names, np.int64), np.array([first_frames[name] for name in names], np.int64)


def _pack_components(components: Ids, first_frames: Ids, num_true: int, max_table_size: int) -> Ids:
    """Return the group of each identity.

    Components are added to a group in the order of their first frames, until its table would be too large.

    Args:
        components: connected component of each identity, true ones first.
        first_frames: index of the first frame of each identity.
        num_true: number of true identities.
        max_table_size: number of true times predicted identities of a group.
    """
    num_components = int(components.max()) + 1
    num_rows = np.bincount(components[:num_true], minlength=num_components)
    num_columns = np.bincount(components[num_true:], minlength=num_components)
    component_first_frames = np.full(num_components, first_frames.max(), np.int64)
    np.minimum.at(component_first_frames, components, first_frames)
    groups = np.zeros(num_components, np.int64)
    group = height = width = 0
    for component in np.argsort(component_first_frames, kind="stable"):
        table_size = (height + num_rows[component]) * (width + num_columns[component])
        if height + width and table_size > max_table_size:
            group += 1
            height = width = 0
        groups[component] = group
        height += int(num_rows[component])
        width += int(num_columns[component])
    return groups[components]
