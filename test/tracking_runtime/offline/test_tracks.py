"""Correction of all tracks of a recording."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracking_runtime.boxes import ScoredBoxes, as_boxes
from tracking_runtime.offline.tracks import OfflineSettings, correct_tracks


def make_frame(*objects):
    """Return the objects of a frame from (id, x, state) or (id, x, state, class)."""
    return ScoredBoxes(
        np.array([each[0] for each in objects], np.int64),
        as_boxes([[each[1], 20.0, 10.0, 8.0] for each in objects]),
        np.full(len(objects), 0.5),
        np.array([each[3] if len(each) > 3 else 0 for each in objects], np.int64),
        tuple(each[2] for each in objects),
    )


def find_states(frames, object_id):
    return [dict(zip(frame.ids.tolist(), frame.states, strict=True)).get(object_id, "") for frame in frames]


def test_confirmed_object_counts_from_its_first_detection():
    states = ["tentative", "tentative", "confirmed", "confirmed"]
    frames = [make_frame((7, 3.0 * index, state)) for index, state in enumerate(states)]

    corrected = correct_tracks(frames)

    assert find_states(corrected, 7) == ["confirmed"] * 4
    np.testing.assert_allclose([frame.boxes[0, 0] for frame in corrected], [0, 3, 6, 9], atol=0.02)


def test_gap_is_interpolated_between_detections():
    states = ["confirmed", "confirmed", "coasting", "coasting", "confirmed"]
    places = [0.0, 4.0, 99.0, 99.0, 16.0]  # the prediction was wrong
    frames = [make_frame((1, x, state)) for x, state in zip(places, states, strict=True)]

    corrected = correct_tracks(frames)

    assert find_states(corrected, 1) == [
        "confirmed",
        "confirmed",
        "interpolated",
        "interpolated",
        "confirmed",
    ]
    np.testing.assert_allclose([frame.boxes[0, 0] for frame in corrected], [0, 4, 8, 12, 16], atol=0.02)


def test_long_gap_and_predictions_after_the_end_are_left_out():
    frames = [make_frame((1, 0.0, "confirmed")), make_frame((1, 0.0, "confirmed"))]
    frames += [make_frame((1, 0.0, "coasting"))] * 4
    frames += [make_frame((1, 0.0, "confirmed")), make_frame((1, 0.0, "coasting"))]

    corrected = correct_tracks(frames, OfflineSettings(max_gap_frames=3))

    assert find_states(corrected, 1) == ["confirmed"] * 2 + [""] * 4 + ["confirmed", ""]


def test_object_that_was_hardly_confirmed_is_left_out():
    frames = [make_frame((1, 0.0, "tentative"), (2, 50.0, "confirmed"))] * 3

    corrected = correct_tracks(frames, OfflineSettings(min_confirmed_frames=3))

    assert [frame.ids.tolist() for frame in corrected] == [[2]] * 3


def test_object_has_the_class_of_most_detections():
    frames = [make_frame((1, 0.0, "confirmed", class_id)) for class_id in (2, 0, 2, -1)]

    assert {int(frame.class_ids[0]) for frame in correct_tracks(frames)} == {2}


def test_objects_without_states_are_confirmed():
    frame = make_frame((1, 0.0, ""))
    frames = [ScoredBoxes(frame.ids, frame.boxes, frame.scores, frame.class_ids)] * 2

    assert find_states(correct_tracks(frames), 1) == ["confirmed"] * 2


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(1, 4),
                st.floats(0, 100),
                st.sampled_from(["tentative", "confirmed", "coasting"]),
                st.integers(-1, 3),
            ),
            unique_by=lambda each: each[0],
            max_size=4,
        ),
        max_size=10,
    )
)
def test_every_confirmed_detection_stays_and_no_object_appears(rows):
    frames = [make_frame(*sorted(row)) for row in rows]

    corrected = correct_tracks(frames, OfflineSettings(min_confirmed_frames=1))

    assert len(corrected) == len(frames)
    for before, after in zip(frames, corrected, strict=True):
        confirmed = {
            i for i, state in zip(before.ids.tolist(), before.states, strict=True) if state == "confirmed"
        }
        assert confirmed <= set(after.ids.tolist())
        assert len(set(after.ids.tolist())) == len(after.ids)
        assert np.isfinite(after.boxes).all()
    known = {
        i
        for frame in frames
        for i, s in zip(frame.ids.tolist(), frame.states, strict=True)
        if s == "confirmed"
    }
    assert {i for frame in corrected for i in frame.ids.tolist()} == known
