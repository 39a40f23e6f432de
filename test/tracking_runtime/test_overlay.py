"""Overlays show what they should, where it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracking_runtime.overlay import TRUTH_COLOR, Marks, Presence, Trails, color_of, draw_overlay, to_bgr


def marks(boxes: list[list[float]], presence: Presence = Presence.SEEN, label: str = "") -> Marks:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    n = len(array)
    return Marks(np.arange(1, n + 1), array, [presence] * n, [label] * n)


def changed(picture: np.ndarray) -> np.ndarray:
    """``(k, 2)`` x, y of the pixels drawn on a black picture."""
    rows, columns = np.nonzero(picture.any(axis=2))
    return np.stack([columns, rows], axis=1)


@pytest.mark.parametrize("presence", list(Presence))
def test_box_is_drawn_on_its_edge(presence):
    drawn = changed(draw_overlay(np.zeros((100, 120, 3), np.uint8), marks([[30, 40, 50, 30]], presence)))
    assert drawn.min(axis=0).tolist() == [30, 40]
    assert drawn.max(axis=0).tolist() == [80, 70]
    inside = (drawn > [33, 43]).all(axis=1) & (drawn < [76, 66]).all(axis=1)
    assert not inside.any()


def test_small_object_stays_visible():
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[20:26, 30:36] = 200
    drawn = draw_overlay(picture, marks([[30, 20, 6, 6]]))
    assert (drawn[20:26, 30:36] == 200).all()
    assert drawn[16:30, 26:40].any(axis=2).sum() > 36


def test_presence_tells_itself_by_the_line():
    def length(presence: Presence) -> int:
        return len(
            changed(draw_overlay(np.zeros((100, 100, 3), np.uint8), marks([[10, 10, 80, 80]], presence)))
        )

    assert length(Presence.SEEN) > length(Presence.UNSEEN)
    assert length(Presence.SEEN) > length(Presence.UNSURE)


def test_truth_is_white_and_trails_follow_the_centres():
    trails = Trails(length=5)
    for x in range(10, 60, 10):
        trails.update(marks([[x, 40, 8, 8]]))
    ((number, points),) = trails.items()
    assert number == 1
    np.testing.assert_array_equal(points, [[x + 4, 44] for x in range(10, 60, 10)])
    drawn = draw_overlay(
        np.zeros((100, 100, 3), np.uint8), marks([]), trails=trails, truth=np.array([[70.0, 70, 25, 25]])
    )
    assert drawn[44, 16:52].any(axis=1).all()
    assert (drawn[67:75, 70:95] == TRUTH_COLOR).all(axis=2).any()


def test_trail_of_a_lost_track_ends_and_old_points_are_forgotten():
    trails = Trails(length=2)
    for x in (1, 2, 3):
        trails.update(marks([[x, 0, 2, 2], [9, 9, 2, 2]]))
    assert [len(points) for _, points in trails.items()] == [2, 2]
    trails.update(marks([[5, 0, 2, 2]]))
    assert [number for number, _ in trails.items()] == [1]
    trails.clear()
    assert trails.items() == []


def test_enlarged_picture_has_enlarged_geometry():
    drawn = draw_overlay(np.zeros((50, 60, 3), np.uint8), marks([[10, 10, 30, 30]]), scale=3)
    assert drawn.shape == (150, 180, 3)
    assert changed(drawn).min(axis=0).tolist() == [30, 30]


coordinates = st.floats(-1e4, 1e4)


@given(
    st.lists(st.tuples(coordinates, coordinates, st.floats(0, 1e4), st.floats(0, 1e4)), max_size=4),
    st.text(max_size=5),
)
@settings(deadline=None, max_examples=50)
def test_any_box_and_label_can_be_drawn(boxes, label):
    trails = Trails()
    drawn = marks([list(box) for box in boxes], Presence.UNSEEN, label)
    trails.update(drawn)
    picture = draw_overlay(
        np.zeros((20, 30, 3), np.uint8), drawn, trails=trails, truth=drawn.boxes, caption=label
    )
    assert picture.shape == (20, 30, 3)


def test_colours_are_stable_and_neighbours_differ():
    assert color_of(7) == color_of(7)
    colours = np.array([color_of(number) for number in range(1, 9)], float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    assert distances[~np.eye(8, dtype=bool)].min() > 30


@pytest.mark.parametrize(
    ("shape", "kind", "encoding"),
    [
        ((8, 9), np.uint8, "mono8"),
        ((8, 9), np.uint16, "mono16"),
        ((8, 9, 3), np.uint8, "bgr8"),
        ((8, 9, 4), np.uint8, "bgra8"),
        ((8, 9, 16), np.uint8, "8UC16"),
        ((8, 9, 3), np.uint16, "16UC3"),
        ((8, 9, 2), np.float32, "32FC2"),
        ((8, 9, 25), np.float32, "32FC25"),
    ],
)
@given(data=st.data())
@settings(deadline=None, max_examples=10)
def test_every_image_becomes_a_picture(shape, kind, encoding, data):
    elements = {"elements": st.floats(0, 1, width=32)} if kind == np.float32 else {}
    image = data.draw(hnp.arrays(kind, shape, **elements))
    before = image.copy()
    picture = to_bgr(image, encoding)
    assert picture.shape == (8, 9, 3)
    assert picture.dtype == np.uint8
    picture[:] = 7
    np.testing.assert_array_equal(image, before)


def test_rgb_is_turned_and_deep_images_are_stretched():
    assert to_bgr(np.array([[[1, 2, 3]]], np.uint8), "rgb8").tolist() == [[[3, 2, 1]]]
    ramp = np.linspace(1000, 1400, 64 * 64).reshape(64, 64).astype(np.uint16)
    picture = to_bgr(ramp, "mono16")
    assert (picture.min(), picture.max()) == (0, 255)
