"""Streams that wait for each other in vain."""

from __future__ import annotations

from tracking_runtime.nodes.pairing_watch import PairingWatch


def test_pairing_watch_names_the_stream_without_a_partner() -> None:
    watch = PairingWatch()
    watch.add("image", 10.0)

    assert watch.find_waiting(14.9) == set()
    watch.add("image", 16.0)
    assert watch.find_waiting(16.1) == {"image"}


def test_pairing_watch_names_both_streams_of_other_stamps() -> None:
    watch = PairingWatch()
    watch.add("image", 0.0)
    watch.add("tracks", 6.0)

    assert watch.find_waiting(6.0) == {"image", "tracks"}


def test_pairing_watch_after_a_pair_or_without_input_is_quiet() -> None:
    watch = PairingWatch()
    watch.add("image", 0.0)
    watch.add("image", 6.0)

    assert watch.find_waiting(11.5) == set(), "no input any more"
    watch.clear()
    watch.add("image", 12.0)
    assert watch.find_waiting(12.0) == set(), "a pair has come"
