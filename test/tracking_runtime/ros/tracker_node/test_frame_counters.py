from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.ros.tracker_node.frame_counters import FrameAccount


@given(st.lists(st.booleans(), min_size=1))
def test_every_published_frame_is_received_or_lost(arrives: list[bool]) -> None:
    account = FrameAccount()
    account.arrive(1)
    for number, is_received in enumerate([*arrives, True], start=2):
        if is_received:
            account.arrive(number)
    assert account.received + account.lost == len(arrives) + 2
    assert account.lost_share * (len(arrives) + 2) == pytest.approx(account.lost)


def test_what_came_while_nobody_listened_is_neither_lost_nor_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    account = FrameAccount()
    account.arrive(1)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert account.silence_s == pytest.approx(60, abs=1)
    account.listen()
    assert account.silence_s == 0
    account.arrive(50)
    assert account.lost == 0


def test_a_publisher_that_begins_anew_loses_nothing() -> None:
    account = FrameAccount()
    for number in (7, 8, 1, 2):
        account.arrive(number)
    assert account.lost == 0


def test_several_publishers_are_not_counted_after() -> None:
    account = FrameAccount()
    for number in (1, None, 9):
        account.arrive(number)
    assert (account.received, account.lost) == (3, 0)
