"""Accumulation of differences along a bank of velocities."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spax_ros.motion.accumulation import (
    MAX_SPEED_PX,
    AccumulatedMotion,
    accumulate_along_bank,
    make_velocity_bank,
)
from spax_ros.motion.mask import MotionMask, MotionSettings

BANK = make_velocity_bank()
SIGMA = 3.0  # gray levels, noise of the test images


def draw_mover(index: int, contrast: float, velocity: tuple[float, float]) -> np.ndarray:
    """Return the noise of a frame with a body of 4 x 6 pixels on gray ground."""
    rng = np.random.default_rng([7, index])
    image = 90 + SIGMA * rng.standard_normal((256, 256))
    x, y = 110 + velocity[0] * index, 100 + velocity[1] * index
    body = np.zeros((256, 256))
    body[120:124, 120:126] = contrast
    image += cv2.warpAffine(body, np.array([[1, 0, x - 120], [0, 1, y - 120]]), (256, 256))
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def find_strongest(accumulated: AccumulatedMotion) -> tuple[float, float, np.ndarray]:
    """Return x and y of the strongest pixel of the image, and its velocity."""
    row, column = np.unravel_index(accumulated.strength.argmax(), accumulated.strength.shape)
    return 2 * column + 1.0, 2 * row + 1.0, accumulated.velocities[row, column]


def test_bank_covers_the_disc_without_standing_still() -> None:
    speeds = np.hypot(*BANK.T)

    assert speeds.min() == 0.5
    assert 1.4 < speeds.max() <= MAX_SPEED_PX
    assert len(np.unique(BANK, axis=0)) == len(BANK) == 36


@settings(max_examples=20, deadline=None)
@given(st.integers(0, len(BANK) - 1), st.sampled_from([-1.0, 1.0]), st.integers(1, 8))
def test_sum_along_the_true_velocity_is_largest(index: int, sign: float, num_frames: int) -> None:
    frames = []
    for age in range(num_frames - 1, -1, -1):
        image = np.zeros((40, 40), np.float32)
        x, y = np.floor(20 - BANK[index] * age + 0.5).astype(int)
        image[y, x] = sign
        frames.append(image)

    sums, indices = accumulate_along_bank(frames, BANK)

    assert sums[20, 20] == sums.max()
    np.testing.assert_allclose(sums[20, 20], np.sqrt(num_frames), rtol=1e-6)
    if num_frames == 8:
        assert indices[20, 20] == index


def test_noise_has_the_same_sums_for_any_number_of_frames() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.standard_normal((64, 64)).astype(np.float32) for _ in range(8)]

    sums = [accumulate_along_bank(frames[-number:], BANK)[0].mean() for number in (6, 8)]

    assert 2.0 < min(sums) <= max(sums) < 2.6


def test_mask_finds_mover_fainter_than_noise_and_its_velocity() -> None:
    velocity = (1.0, -0.5)
    plain, accumulating = MotionMask(), MotionMask(MotionSettings(accumulates=True, min_budget_px=0))
    found = []

    for index in range(30):
        gray = draw_mover(index, 1.2 * SIGMA, velocity)
        assert plain.update(gray).accumulated is None
        motion = accumulating.update(gray)
        assert motion.accumulated is not None
        if index >= 20:
            x, y, estimate = find_strongest(motion.accumulated)
            true_x, true_y = 113 + velocity[0] * index, 102 + velocity[1] * index
            is_near = np.hypot(x - true_x, y - true_y) < 5
            is_active = bool(motion.mask[int(true_y), int(true_x)])
            found.append(is_near and is_active and np.hypot(*(estimate - velocity)) <= 0.75)
            assert motion.active_fraction < 0.06

    assert sum(found) >= 8


def test_samples_are_those_of_the_halved_image() -> None:
    strength = np.arange(12, dtype=np.float32).reshape(3, 4)
    velocities = np.stack([strength, -strength], axis=-1)

    values, sampled = AccumulatedMotion(strength, velocities).sample(np.array([0, 3, 6]), np.array([1, 2, 8]))

    assert values.tolist() == [0, 5, 11]
    assert sampled.tolist() == [[0, 0], [5, -5], [11, -11]]


def test_reset_accumulator_starts_anew() -> None:
    mask = MotionMask(MotionSettings(accumulates=True))
    frames = [draw_mover(index, 2 * SIGMA, (1.0, 0.0)) for index in range(6)]
    first = [mask.update(frame) for frame in frames]

    mask.reset()
    second = [mask.update(frame) for frame in frames]

    for before, after in zip(first, second, strict=True):
        assert before.accumulated is not None
        assert after.accumulated is not None
        np.testing.assert_array_equal(before.accumulated.strength, after.accumulated.strength)
