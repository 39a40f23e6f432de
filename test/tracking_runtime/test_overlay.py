"""Overlays show tracks and ground truth at their positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracking_runtime.overlay import (
    TRUTH_COLOR,
    TrackDrawing,
    TrackVisibility,
    Trails,
    compute_track_color,
    draw_overlay,
    to_bgr,
)

COORDINATES = st.floats(-1e4, 1e4)
SIZES = st.floats(0, 1e4)


def make_drawing(
    boxes: list[list[float]], visibility: TrackVisibility = TrackVisibility.SEEN, label: str = ""
) -> TrackDrawing:
    array = np.array(boxes, np.float64).reshape(-1, 4)
    num_tracks = len(array)
    return TrackDrawing(np.arange(1, num_tracks + 1), array, [visibility] * num_tracks, [label] * num_tracks)


def make_black_image(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def find_drawn_pixels(image: np.ndarray) -> np.ndarray:
    """Return x, y of the pixels that are not black, (k, 2)."""
    rows, columns = np.nonzero(image.any(axis=2))
    return np.stack([columns, rows], axis=1)


@pytest.mark.parametrize("visibility", list(TrackVisibility))
def test_box_is_drawn_on_its_edge(visibility):
    image = draw_overlay(make_black_image(100, 120), make_drawing([[30, 40, 50, 30]], visibility))

    pixels = find_drawn_pixels(image)
    assert pixels.min(axis=0).tolist() == [30, 40]
    assert pixels.max(axis=0).tolist() == [80, 70]
    inside = (pixels > [33, 43]).all(axis=1) & (pixels < [76, 66]).all(axis=1)
    assert not inside.any()


def test_small_object_stays_visible():
    image = make_black_image(60, 60)
    image[20:26, 30:36] = 200

    image = draw_overlay(image, make_drawing([[30, 20, 6, 6]]))

    assert (image[20:26, 30:36] == 200).all()
    assert image[16:30, 26:40].any(axis=2).sum() > 36


def test_visibility_changes_the_line_of_a_box():
    num_pixels = {
        visibility: len(
            find_drawn_pixels(
                draw_overlay(make_black_image(100, 100), make_drawing([[10, 10, 80, 80]], visibility))
            )
        )
        for visibility in TrackVisibility
    }

    assert num_pixels[TrackVisibility.SEEN] > num_pixels[TrackVisibility.UNSEEN]
    assert num_pixels[TrackVisibility.SEEN] > num_pixels[TrackVisibility.UNSURE]


def test_trails_connect_the_centers_and_truth_is_white():
    trails = Trails(length=5)
    for x in range(10, 60, 10):
        trails.update(make_drawing([[x, 40, 8, 8]]))

    ((track_id, points),) = trails.items()
    truth = np.array([[70.0, 70, 25, 25]])
    image = draw_overlay(make_black_image(100, 100), make_drawing([]), trails=trails, truth=truth)

    assert track_id == 1
    np.testing.assert_array_equal(points, [[x + 4, 44] for x in range(10, 60, 10)])
    assert image[44, 16:52].any(axis=1).all()
    assert (image[67:75, 70:95] == TRUTH_COLOR).all(axis=2).any()


def test_trails_drop_ended_tracks_and_old_points():
    trails = Trails(length=2)

    for x in (1, 2, 3):
        trails.update(make_drawing([[x, 0, 2, 2], [9, 9, 2, 2]]))
    assert [len(points) for _, points in trails.items()] == [2, 2]

    trails.update(make_drawing([[5, 0, 2, 2]]))
    assert [track_id for track_id, _ in trails.items()] == [1]

    trails.clear()
    assert trails.items() == []


def test_scale_enlarges_image_and_boxes():
    image = draw_overlay(make_black_image(50, 60), make_drawing([[10, 10, 30, 30]]), scale=3)

    assert image.shape == (150, 180, 3)
    assert find_drawn_pixels(image).min(axis=0).tolist() == [30, 30]


@given(
    st.lists(st.tuples(COORDINATES, COORDINATES, SIZES, SIZES), max_size=4),
    st.text(max_size=5),
)
@settings(deadline=None, max_examples=50)
def test_any_box_and_label_can_be_drawn(boxes, label):
    drawing = make_drawing([list(box) for box in boxes], TrackVisibility.UNSEEN, label)
    trails = Trails()
    trails.update(drawing)

    image = draw_overlay(make_black_image(20, 30), drawing, trails=trails, truth=drawing.boxes, caption=label)

    assert image.shape == (20, 30, 3)


def test_track_colors_are_stable_and_neighbors_differ():
    colors = np.array([compute_track_color(track_id) for track_id in range(1, 9)], float)

    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2)

    assert compute_track_color(7) == compute_track_color(7)
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
def test_to_bgr_accepts_every_encoding_and_copies(shape, kind, encoding, data):
    elements = {"elements": st.floats(0, 1, width=32)} if kind == np.float32 else {}
    image = data.draw(hnp.arrays(kind, shape, **elements))
    original = image.copy()

    bgr_image = to_bgr(image, encoding)

    assert bgr_image.shape == (8, 9, 3)
    assert bgr_image.dtype == np.uint8
    bgr_image[:] = 7
    np.testing.assert_array_equal(image, original)


def test_to_bgr_swaps_rgb():
    assert to_bgr(np.array([[[1, 2, 3]]], np.uint8), "rgb8").tolist() == [[[3, 2, 1]]]


def test_to_bgr_stretches_16_bit_images():
    ramp = np.linspace(1000, 1400, 64 * 64).reshape(64, 64).astype(np.uint16)

    bgr_image = to_bgr(ramp, "mono16")

    assert (bgr_image.min(), bgr_image.max()) == (0, 255)
