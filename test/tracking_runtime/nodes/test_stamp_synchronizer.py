"""What belongs to one frame finds together, and nothing waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.nodes.stamp_synchronizer import StampPairs

arrivals = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=60)


def feed(pairs: StampPairs[int, int], items: list[tuple[bool, int]]) -> list[tuple[int, int]]:
    added = [(pairs.add_first if is_first else pairs.add_second)(stamp, stamp) for is_first, stamp in items]
    return [pair for pair in added if pair]


@given(arrivals, st.integers(1, 4))
def test_pairs_are_of_one_stamp_and_every_item_is_accounted_for(items, capacity):
    pairs: StampPairs[int, int] = StampPairs(capacity)
    found = feed(pairs, items)
    assert all(first == second for first, second in found)
    pairs.clear()
    assert 2 * len(found) + pairs.unpaired == len(items)


def test_either_stream_may_come_first():
    assert feed(StampPairs(), [(True, 1), (False, 1), (False, 2), (True, 2)]) == [(1, 1), (2, 2)]


def test_frames_without_tracks_are_given_up_by_the_next_pair():
    pairs: StampPairs[int, int] = StampPairs()
    assert feed(pairs, [(True, 1), (True, 2), (True, 3), (False, 3)]) == [(3, 3)]
    assert pairs.unpaired == 2
    assert pairs.add_second(1, 1) is None


def test_recording_played_again_pairs_again():
    once = [(True, 5), (False, 5), (True, 6), (False, 6)]
    assert feed(StampPairs(), once * 2) == [(5, 5), (6, 6)] * 2
