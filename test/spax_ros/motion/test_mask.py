from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spax_ros.motion.mask import MotionMask, MotionSettings, compute_cell_maxima
from spax_ros.preprocessing import to_gray
from spax_ros.simulation import SatelliteScene

CLIP = Path(__file__).resolve().parents[4] / "shared/data/satellite/car-0001"


def make_ground(seed: int, size: int = 400) -> np.ndarray:
    return to_gray(SatelliteScene(seed, 1, size, density=0).make_frame(0).image)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_cell_maxima_are_the_largest_values(height: int, width: int, side: int) -> None:
    values = np.random.default_rng(height * 41 + width).random((height, width), np.float32)

    maxima = compute_cell_maxima(values, side)

    assert maxima.shape == (-(-height // side), -(-width // side))
    for row, column in np.ndindex(maxima.shape):
        cell = values[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert maxima[row, column] == cell.max()


@pytest.mark.parametrize(("min_halved_side_px", "recall"), [(1280, 0.95), (400, 0.93)])
def test_mask_contains_moving_objects_and_little_else(min_halved_side_px: int, recall: float) -> None:
    num_found = num_objects = 0
    fractions = []

    for seed in (1003, 1006, 1009):
        mask = MotionMask(MotionSettings(min_budget_px=0, min_halved_side_px=min_halved_side_px))
        for index, frame in enumerate(SatelliteScene(seed, 20, 400)):
            motion = mask.update(to_gray(frame.image))
            if index < 6 or frame.truth is None:
                continue
            fractions.append(motion.active_fraction)
            column, row = (frame.truth.boxes[:, :2] + frame.truth.boxes[:, 2:] / 2).astype(int).T
            num_found += int(motion.mask[row.clip(0, 399), column.clip(0, 399)].sum())
            num_objects += len(row)

    assert num_objects > 100
    assert num_found / num_objects >= recall
    assert np.mean(fractions) <= 0.06


def test_residual_of_halved_image_has_full_resolution() -> None:
    full_mask = MotionMask(MotionSettings(min_halved_side_px=302))
    halved_mask = MotionMask(MotionSettings(min_halved_side_px=301))

    for image in (to_gray(frame.image) for frame in SatelliteScene(1003, 12, (301, 299))):
        full, halved = full_mask.update(image), halved_mask.update(image)

    is_active = full.mask & halved.mask
    assert halved.residual.shape == image.shape
    assert is_active.sum() >= 0.7 * full.mask.sum() > 1000
    assert np.corrcoef(full.residual[is_active], halved.residual[is_active])[0, 1] > 0.97
    near_active = cv2.dilate(halved.mask.view(np.uint8), np.ones((17, 17))).astype(bool)
    assert not halved.residual[~near_active].any()


@settings(deadline=None, max_examples=20)
@given(st.integers(33, 70), st.integers(33, 70))
def test_images_of_any_size_are_halved(height: int, width: int) -> None:
    mask = MotionMask(MotionSettings(min_halved_side_px=1))

    for level in (0, 90, 200):
        image = np.full((height, width), level, np.uint8)
        image[-9:, -9:] = 255 - level
        motion = mask.update(image)

    assert motion.mask.shape == motion.residual.shape == image.shape
    assert np.isfinite(motion.residual).all()


def test_mask_of_first_frame_is_empty() -> None:
    assert not MotionMask().update(make_ground(0)).mask.any()


def test_mask_of_frozen_stream_is_empty() -> None:
    mask, image = MotionMask(), make_ground(0)

    for _ in range(8):
        motion = mask.update(image)

    assert motion.active_fraction == 0


def test_ground_that_enters_the_image_is_not_motion() -> None:
    wide, mask = make_ground(2, 600), MotionMask()

    for index in range(10):
        motion = mask.update(np.ascontiguousarray(wide[50 + 4 * index : 450 + 4 * index, 100:500]))

    assert motion.active_fraction < 0.01


@pytest.mark.parametrize("budget", [0.02, 0.1])
def test_mask_of_noise_is_within_budget_and_saturated(budget: float) -> None:
    rng = np.random.default_rng(0)
    mask = MotionMask(MotionSettings(budget=budget, min_budget_px=0, min_contrast=1))

    for _ in range(4):
        motion = mask.update(rng.integers(0, 256, (160, 240), dtype=np.uint8))

    assert motion.active_fraction <= budget
    assert motion.is_saturated


def test_mask_recovers_after_black_frames() -> None:
    frames = [to_gray(frame.image) for frame in SatelliteScene(1009, 24, 256, density=100)]
    black = np.zeros_like(frames[0])
    mask = MotionMask(MotionSettings(min_budget_px=0))

    for image in [*frames[:10], black, black, *frames[12:]]:
        motion = mask.update(image)

    assert 0 < motion.active_fraction <= MotionSettings().budget


def test_previous_heat_keeps_pixels_active() -> None:
    image, mask = make_ground(0), MotionMask()
    mask.update(image)
    heat = np.zeros(image.shape, np.float32)
    heat[100:104, 200:204] = 0.5

    motion = mask.update(image, heat)

    assert motion.mask[100:104, 200:204].all()
    assert motion.active_fraction < 0.02


def test_previous_heat_moves_with_the_camera() -> None:
    wide, mask = make_ground(2, 600), MotionMask()
    mask.update(np.ascontiguousarray(wide[100:500, 100:500]))
    heat = np.zeros((400, 400), np.float32)
    heat[200:204, 200:204] = 0.5

    motion = mask.update(np.ascontiguousarray(wide[70:470, 120:520]), heat)

    assert motion.mask[230:234, 180:184].all()
    assert not motion.mask[200:204, 208:212].any()


def test_whole_area_of_previous_boxes_is_active() -> None:
    wide, mask = make_ground(2, 600), MotionMask()
    mask.update(np.ascontiguousarray(wide[100:500, 100:500]))
    box = np.array([[120.0, 200, 140, 30]])

    motion = mask.update(np.ascontiguousarray(wide[70:470, 120:520]), previous_boxes=box)

    # The camera moved by 20 pixels to the right and 30 up.
    assert motion.mask[230:260, 100:240].all()
    assert not motion.mask[200:210, 100:240].any()
    assert motion.active_fraction < 0.07


@pytest.mark.slow
@given(
    arrays(np.float64, (3, 2), elements=st.floats(-500, 900)),
    arrays(np.float64, (3, 2), elements=st.floats(0, 1200)),
)
@settings(max_examples=30, deadline=None)
def test_mask_with_any_previous_boxes_is_within_budget(corners: np.ndarray, sizes: np.ndarray) -> None:
    image, mask = make_ground(0), MotionMask()
    mask.update(image)

    motion = mask.update(image, previous_boxes=np.concatenate([corners, sizes], axis=1))

    budget = max(MotionSettings().budget, MotionSettings().min_budget_px / image.size)
    assert motion.active_fraction <= budget


def test_moving_object_stays_active_with_heat_everywhere() -> None:
    ground, mask = make_ground(0), MotionMask(MotionSettings(min_budget_px=0))
    heat = np.full(ground.shape, 0.5, np.float32)

    for column in range(40, 100, 6):
        image = ground.copy()
        image[60:66, column : column + 6] = 255
        motion = mask.update(image, heat)

    assert motion.is_saturated
    assert motion.mask[60:66, column : column + 6].all()
    assert 0 < motion.active_fraction <= MotionSettings().budget


def test_noise_below_certain_contrast_is_not_motion() -> None:
    ground, fractions = make_ground(0, 512) // 2 + 64, {}

    for certain_contrast in (3.0, 4.0):
        rng = np.random.default_rng(0)
        mask = MotionMask(MotionSettings(certain_contrast=certain_contrast))
        frames = [(ground + rng.normal(0, 4, ground.shape)).round().astype(np.uint8) for _ in range(12)]
        fractions[certain_contrast] = np.mean([mask.update(frame).active_fraction for frame in frames][6:])

    assert fractions[4.0] < 0.01
    assert fractions[3.0] > 3 * fractions[4.0]


def test_faint_object_is_active_once_it_has_lasted() -> None:
    rng = np.random.default_rng(1)
    mask, is_active = MotionMask(), []

    for index in range(24):
        image = rng.normal(100, 2, (256, 256))
        if index >= 12:
            image[128:131, 100 + 2 * index : 103 + 2 * index] += 6
        motion = mask.update(image.round().astype(np.uint8))
        is_active.append(bool(motion.mask[129, 101 + 2 * index]))

    assert np.mean(is_active[15:]) >= 0.8


def test_frame_of_other_size_needs_a_reset() -> None:
    mask = MotionMask()
    mask.update(make_ground(0))
    other = make_ground(0)[:200]

    with pytest.raises(ValueError, match="200"):
        mask.update(other)

    mask.reset()
    mask.update(other)


@pytest.mark.skipif(not CLIP.is_dir(), reason=f"no real clip at {CLIP}")
def test_mask_contains_the_car_of_the_real_clip() -> None:
    truth = np.loadtxt(CLIP / "gt.txt")[:60]
    mask, is_found, fractions = MotionMask(), [], []

    for number, (x, y, width, height) in enumerate(truth, start=1):
        image = to_gray(cv2.imread(str(CLIP / f"img/{number:06d}.jpg")))
        motion = mask.update(image[:358])
        fractions.append(motion.active_fraction)
        if x >= 0:
            is_found.append(motion.mask[int(y + height / 2), int(x + width / 2)])

    assert np.mean(is_found) >= 0.97
    assert np.mean(fractions) <= 0.06


def test_faint_object_lasts_under_a_fast_camera() -> None:
    """The camera moves by several cells a frame. The contrast is too low to count in a single frame."""
    rng = np.random.default_rng(5)
    ground = to_gray(SatelliteScene(1, 1, (900, 300), density=0).make_frame(0).image)
    mask = MotionMask(MotionSettings(certain_contrast=1e6))
    num_active = 0

    for index in range(14):
        view = ground[:, 40 * index : 40 * index + 300] + rng.normal(0, 2, (300, 300))
        x = 280 - 38 * (index - 7)  # on the ground the object moves by 2 pixels a frame
        if index >= 7:
            view[150:156, x : x + 8] += 40
        motion = mask.update(np.clip(view, 0, 255).astype(np.uint8))
        np.testing.assert_allclose(motion.transform[:2, 2], [-40 if index else 0, 0], atol=0.3)
        if index >= 9:
            num_active += int(motion.mask[153, x + 4])

    assert num_active >= 4
