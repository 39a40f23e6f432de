from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spax_ros.motion.background import Background, compute_median_of_seven
from spax_ros.transforms import IDENTITY, compose_transforms, make_transform

WINDOW = 20


def make_translation(x: float, y: float) -> np.ndarray:
    return make_transform([[1.0, 0.0, x], [0.0, 1.0, y]])


@settings(deadline=None)
@given(arrays(np.uint8, (7, 3, 5)))
def test_median_of_seven_equals_numpy(images: np.ndarray) -> None:
    np.testing.assert_array_equal(compute_median_of_seven(list(images)), np.median(images, axis=0))


def test_background_of_first_frame_is_the_frame() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)

    np.testing.assert_array_equal(Background(WINDOW).estimate(image), image)


def test_background_at_positions_equals_the_whole_one() -> None:
    rng = np.random.default_rng(1)
    background = Background(WINDOW)

    for index in range(10):
        background.advance(make_translation(1, 2))
        frame = rng.integers(0, 255, (40, 48), np.uint8)
        y, x = (positions.astype(np.float32) for positions in np.mgrid[0:40:3, 0:48:5])
        values = background.estimate_at(x, y, frame[::3, ::5])
        if index in (0, 3, 7):  # frames in which the median is computed, not warped
            np.testing.assert_array_equal(values, background.estimate(frame)[::3, ::5])
        background.add_frame(frame)


def test_what_comes_into_view_is_background_once_a_sample_shows_it() -> None:
    ground = np.random.default_rng(3).integers(0, 200, (40, 200), np.uint8)
    background = Background(WINDOW)

    for index in range(12):
        view = ground[:, 4 * index : 4 * index + 48].copy()
        background.advance(make_translation(-4, 0))
        if index >= 7:  # all seven samples are taken; of the newest 4 columns none shows anything
            newest_age = 1 + (index - 7) % 3
            changed = view.copy()
            changed[:, : 48 - 4 * newest_age] += 50
            estimate = background.estimate(changed)
            np.testing.assert_array_equal(estimate[:, : 48 - 4 * newest_age], view[:, : 48 - 4 * newest_age])
        background.add_frame(view)


def test_moving_object_is_not_in_the_background() -> None:
    ground = np.random.default_rng(0).integers(0, 200, (32, 96), np.uint8)
    background = Background(WINDOW)

    for index in range(40):
        frame = ground.copy()
        frame[10:14, 2 * index : 2 * index + 4] = 255
        background.advance(IDENTITY)
        if index >= 12:
            np.testing.assert_array_equal(background.estimate(frame), ground)
        background.add_frame(frame)


def test_parked_object_becomes_background_within_the_window() -> None:
    background, empty = Background(WINDOW), np.zeros((16, 16), np.uint8)
    parked = empty.copy()
    parked[4:8, 4:8] = 200

    values = []
    for index in range(60):
        background.advance(IDENTITY)
        frame = parked if index >= 30 else empty
        values.append(int(background.estimate(frame)[5, 5]))
        background.add_frame(frame)

    num_frames = values.index(200) - 30
    assert WINDOW / 3 <= num_frames <= WINDOW


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=30))
def test_background_moves_with_the_camera(steps: list[tuple[int, int]]) -> None:
    wide = np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)
    background, left, top = Background(WINDOW), 120, 120
    background.add_frame(wide[top : top + 60, left : left + 60].copy())

    for x, y in steps:
        left, top = left - x, top - y
        frame = wide[top : top + 60, left : left + 60].copy()
        background.advance(make_translation(x, y))
        np.testing.assert_array_equal(background.estimate(frame), frame)
        background.add_frame(frame)


def test_background_of_a_turning_camera_is_sharp() -> None:
    rng = np.random.default_rng(3)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (300, 300), np.uint8), (0, 0), 2)
    rotation = make_transform(cv2.getRotationMatrix2D((50, 50), 0.2, 1.0))
    step = compose_transforms(make_translation(0.7, -0.4), rotation)
    to_image = make_translation(-100, -100)
    background = Background(WINDOW)

    for index in range(40):
        frame = cv2.warpAffine(wide, to_image[:2], (100, 100), flags=cv2.INTER_CUBIC)
        background.advance(step)
        if index > 10:
            error = cv2.absdiff(background.estimate(frame), frame)[10:-10, 10:-10]
            assert error.mean() < 1.5
        background.add_frame(frame)
        to_image = compose_transforms(step, to_image)
