from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spax_ros.motion.background import IDENTITY, Background, compose, median_of_seven

WINDOW = 20


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def test_transforms_compose_in_order() -> None:
    first, second = np.array([[0.0, -1, 3], [1, 0, 5]]), np.array([[2.0, 0, 1], [0, 2, -1]])
    point = np.array([4.0, 7.0])
    once = first[:, :2] @ point + first[:, 2]
    both = compose(second, first)
    np.testing.assert_allclose(both[:, :2] @ point + both[:, 2], second[:, :2] @ once + second[:, 2])


@settings(deadline=None)
@given(arrays(np.uint8, (7, 3, 5)))
def test_median_of_seven_images(images: np.ndarray) -> None:
    np.testing.assert_array_equal(median_of_seven(list(images)), np.median(images, axis=0))


def test_with_nothing_seen_before_a_frame_is_its_own_background() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(Background(WINDOW).at(image), image)


def test_at_some_places_it_is_what_it_is_there() -> None:
    rng = np.random.default_rng(1)
    background = Background(WINDOW)
    for index in range(10):
        background.move_on(shift(1, 2))
        frame = rng.integers(0, 255, (40, 48), np.uint8)
        y, x = (places.astype(np.float32) for places in np.mgrid[0:40:3, 0:48:5])
        found = background.at_places(x, y, frame[::3, ::5])
        if index in (0, 3, 7):  # then the median is new, and not moved on
            np.testing.assert_array_equal(found, background.at(frame)[::3, ::5])
        background.take_in(frame)


def test_what_crosses_the_ground_is_not_in_it() -> None:
    ground = np.random.default_rng(0).integers(0, 200, (32, 96), np.uint8)
    background = Background(WINDOW)
    for index in range(40):
        frame = ground.copy()
        frame[10:14, 2 * index : 2 * index + 4] = 255
        background.move_on(IDENTITY)
        if index >= 12:
            np.testing.assert_array_equal(background.at(frame), ground)
        background.take_in(frame)


def test_what_stays_becomes_ground_within_the_window() -> None:
    background, empty = Background(WINDOW), np.zeros((16, 16), np.uint8)
    parked = empty.copy()
    parked[4:8, 4:8] = 200
    taken = []
    for index in range(60):
        background.move_on(IDENTITY)
        frame = parked if index >= 30 else empty
        taken.append(int(background.at(frame)[5, 5]))
        background.take_in(frame)
    since = taken.index(200) - 30
    assert WINDOW / 3 <= since <= WINDOW


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=30))
def test_it_moves_with_the_platform(steps: list[tuple[int, int]]) -> None:
    wide = np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)
    background, left, top = Background(WINDOW), 120, 120
    background.take_in(wide[top : top + 60, left : left + 60].copy())
    for x, y in steps:
        left, top = left - x, top - y
        frame = wide[top : top + 60, left : left + 60].copy()
        background.move_on(shift(x, y))
        np.testing.assert_array_equal(background.at(frame), frame)
        background.take_in(frame)


def test_a_drifting_turning_platform_leaves_the_ground_sharp() -> None:
    rng = np.random.default_rng(3)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (300, 300), np.uint8), (0, 0), 2)
    turn = cv2.getRotationMatrix2D((50, 50), 0.2, 1.0)
    step = compose(shift(0.7, -0.4), turn)
    to_image = shift(-100, -100)
    background = Background(WINDOW)
    for index in range(40):
        frame = cv2.warpAffine(wide, to_image, (100, 100), flags=cv2.INTER_CUBIC)
        background.move_on(step)
        if index > 10:
            error = cv2.absdiff(background.at(frame), frame)[10:-10, 10:-10]
            assert error.mean() < 1.5
        background.take_in(frame)
        to_image = compose(step, to_image)
