from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.ros.tracker_node.mailbox import Mailbox


def test_take_after_several_puts_returns_newest() -> None:
    mailbox: Mailbox[int] = Mailbox()

    for item in (1, 2, 3):
        mailbox.put(item)

    assert mailbox.take() == 3
    assert mailbox.num_replaced == 2
    assert mailbox.take(timeout_s=0) is None


def test_take_after_wake_returns_none() -> None:
    mailbox: Mailbox[int] = Mailbox()

    mailbox.wake()

    assert mailbox.take() is None


def test_closed_mailbox_counts_discarded_items() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)

    mailbox.close()
    mailbox.put(2)

    assert mailbox.take() is None
    assert mailbox.num_replaced == 2


@given(st.integers(1, 300))
def test_every_item_is_taken_or_replaced(num_items: int) -> None:
    mailbox: Mailbox[int] = Mailbox()
    taken: list[int] = []

    def consume() -> None:
        while not mailbox.is_closed:
            item = mailbox.take()
            if item is not None:
                taken.append(item)

    consumer = threading.Thread(target=consume)
    consumer.start()
    for item in range(1, num_items + 1):
        mailbox.put(item)
    mailbox.close()
    consumer.join()

    assert len(taken) + mailbox.num_replaced == num_items
    assert taken == sorted(set(taken))
