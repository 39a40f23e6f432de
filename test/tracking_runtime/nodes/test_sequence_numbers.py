"""Lost messages of a topic with several publishers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.nodes.sequence_numbers import LossCounter


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), max_size=60), st.data())
def test_loss_counter_without_losses_counts_none(order, data):
    starts = [data.draw(st.integers(1, 1000)) for _ in range(4)]
    seen: set[int] = set()
    counter = LossCounter(lambda: len(seen))

    for publisher, _ in order:
        seen.add(publisher)
        counter.add(starts[publisher])
        starts[publisher] += 1

    assert counter.lost == 0


@given(st.lists(st.booleans(), min_size=2, max_size=60).filter(lambda received: received[0] and received[-1]))
def test_loss_counter_of_one_publisher_counts_all(received):
    counter = LossCounter(lambda: 1)

    for number, is_received in enumerate(received, start=7):
        if is_received:
            counter.add(number)

    assert counter.lost == received.count(False)


def test_loss_counter_of_two_publishers_counts_each():
    counter = LossCounter(lambda: 2)

    for number in (100, 1, 101, 2, 104, 3, 5, 105):
        counter.add(number)

    assert counter.lost == 2 + 1


def test_loss_counter_of_a_restarted_publisher_counts_none():
    counter = LossCounter(lambda: 1)

    for number in (100, 101, 1, 2):
        counter.add(number)

    assert counter.lost == 0
