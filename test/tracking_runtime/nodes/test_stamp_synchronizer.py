"""What belongs to one frame finds together, and nothing waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.nodes.stamp_synchronizer import StampSynchronizer

arrivals = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=60)


def feed(pairs: StampSynchronizer[int, int], items: list[tuple[bool, int]]) -> list[tuple[int, int]]:
    added = [(pairs.add_first if is_first else pairs.add_second)(stamp, stamp) for is_first, stamp in items]
    return [pair for pair in added if pair]


@given(arrivals, st.integers(1, 4))
def test_pairs_have_equal_stamps_and_no_item_is_lost(items, capacity):
    pairs: StampSynchronizer[int, int] = StampSynchronizer(capacity)
    found = feed(pairs, items)
    assert all(first == second for first, second in found)
    pairs.clear()
    assert 2 * len(found) + pairs.num_unpaired == len(items)


def test_either_stream_can_arrive_first():
    assert feed(StampSynchronizer(), [(True, 1), (False, 1), (False, 2), (True, 2)]) == [(1, 1), (2, 2)]


def test_next_pair_drops_frames_without_tracks():
    pairs: StampSynchronizer[int, int] = StampSynchronizer()
    assert feed(pairs, [(True, 1), (True, 2), (True, 3), (False, 3)]) == [(3, 3)]
    assert pairs.num_unpaired == 2
    assert pairs.add_second(1, 1) is None


def test_repeated_recording_pairs_again():
    once = [(True, 5), (False, 5), (True, 6), (False, 6)]
    assert feed(StampSynchronizer(), once * 2) == [(5, 5), (6, 6)] * 2
