from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spax_ros.motion.mask import (
    MotionMask,
    MotionSettings,
    cell_maxima,
    enlarged,
    lessened,
    reduced,
    register,
)
from spax_ros.simulation import SatelliteScene

CLIP = Path(__file__).resolve().parents[4] / "shared/data/satellite/car-0001"


def brightness(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def ground(seed: int, size: int = 400) -> np.ndarray:
    return brightness(SatelliteScene(seed, 1, size, density=0).frame(0).image)


@settings(max_examples=15, deadline=None)
@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(-0.3, 0.3), st.floats(0.998, 1.002), st.integers(0, 2))
def test_registration_is_exact_to_a_tenth_of_a_pixel(
    x: float, y: float, degrees: float, scale: float, seed: int
) -> None:
    before = ground(seed)
    true = cv2.getRotationMatrix2D((200, 200), degrees, scale)
    true[:, 2] += x, y
    after = cv2.warpAffine(before, true, (400, 400), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    corners = np.array([[0, 0, 1], [400, 0, 1], [0, 400, 1], [400, 400, 1]], float)
    np.testing.assert_allclose(corners @ register(before, after).T, corners @ true.T, atol=0.1)


def test_registration_follows_the_ground_under_traffic_and_clouds() -> None:
    for seed in (1001, 1004, 1010):
        scene = SatelliteScene(seed, 4, 400)
        images = [brightness(frame.image) for frame in scene]
        for index in range(1, 4):
            true, found = scene.camera_motion(index), register(images[index - 1], images[index])
            corners = np.array([[0, 0], [400, 0], [0, 400], [400, 400]], float)
            expected = corners @ true[:, :2].T + true[:, 2]
            actual = (corners - 0.5) @ found[:, :2].T + found[:, 2] + 0.5
            np.testing.assert_allclose(actual, expected, atol=0.1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_image_without_structure_stands_still(level: int) -> None:
    flat = np.full((64, 96), level, np.uint8)
    np.testing.assert_allclose(register(flat, flat), np.eye(2, 3), atol=1e-6)


def test_large_images_are_registered_at_a_fraction_of_their_size() -> None:
    before = ground(3, 1300)
    true = cv2.getRotationMatrix2D((650, 650), 0.1, 1.0002)
    true[:, 2] += 5.3, -3.8
    after = cv2.warpAffine(before, true, (1300, 1300), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    (small_before, factor), (small_after, _) = reduced(before), reduced(after)
    assert small_before.shape == (650, 650)
    corners = np.array([[0, 0, 1], [1300, 0, 1], [0, 1300, 1], [1300, 1300, 1]], float)
    found = enlarged(register(small_before, small_after), factor)
    np.testing.assert_allclose(corners @ found.T, corners @ true.T, atol=0.15)
    np.testing.assert_allclose(enlarged(lessened(true, 3), 3), true)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_the_largest_of_each_cell(height: int, width: int, side: int) -> None:
    values = np.random.default_rng(height * 41 + width).random((height, width), np.float32)
    found = cell_maxima(values, side)
    assert found.shape == (-(-height // side), -(-width // side))
    for row, column in np.ndindex(found.shape):
        cell = values[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert found[row, column] == cell.max()


@pytest.mark.parametrize(("halved_side_px", "recall"), [(1280, 0.95), (400, 0.93)])
def test_moving_objects_are_in_the_mask_and_little_else(halved_side_px: int, recall: float) -> None:
    inside = total = 0
    shares = []
    for seed in (1003, 1006, 1009):
        mask = MotionMask(MotionSettings(least_budget_px=0, halved_side_px=halved_side_px))
        for index, frame in enumerate(SatelliteScene(seed, 20, 400)):
            motion = mask.update(brightness(frame.image))
            if index < 6 or frame.truth is None:
                continue
            shares.append(motion.active_share)
            column, row = (frame.truth.boxes[:, :2] + frame.truth.boxes[:, 2:] / 2).astype(int).T
            inside += int(motion.mask[row.clip(0, 399), column.clip(0, 399)].sum())
            total += len(row)
    assert total > 100
    assert inside / total >= recall
    assert np.mean(shares) <= 0.06


def test_in_halved_images_the_difference_is_still_that_of_whole_ones() -> None:
    whole = MotionMask(MotionSettings(halved_side_px=302))
    halved = MotionMask(MotionSettings(halved_side_px=301))
    for image in (brightness(frame.image) for frame in SatelliteScene(1003, 12, (301, 299))):
        expected, found = whole.update(image), halved.update(image)
    both = expected.mask & found.mask
    assert found.residual.shape == image.shape
    assert both.sum() >= 0.7 * expected.mask.sum() > 1000
    assert np.corrcoef(expected.residual[both], found.residual[both])[0, 1] > 0.97
    assert not found.residual[~cv2.dilate(found.mask.view(np.uint8), np.ones((17, 17))).astype(bool)].any()


@settings(deadline=None, max_examples=20)
@given(st.integers(33, 70), st.integers(33, 70))
def test_images_of_any_size_can_be_halved(height: int, width: int) -> None:
    mask = MotionMask(MotionSettings(halved_side_px=1))
    for level in (0, 90, 200):
        image = np.full((height, width), level, np.uint8)
        image[-9:, -9:] = 255 - level
        motion = mask.update(image)
    assert motion.mask.shape == motion.residual.shape == image.shape
    assert np.isfinite(motion.residual).all()


def test_nothing_is_active_before_there_is_anything_to_compare_with() -> None:
    assert not MotionMask().update(ground(0)).mask.any()


def test_a_frozen_stream_is_still() -> None:
    mask, image = MotionMask(), ground(0)
    for _ in range(8):
        motion = mask.update(image)
    assert motion.active_share == 0


def test_strips_of_ground_newly_seen_are_not_motion() -> None:
    wide, mask = ground(2, 600), MotionMask()
    for index in range(10):
        motion = mask.update(np.ascontiguousarray(wide[50 + 4 * index : 450 + 4 * index, 100:500]))
    assert motion.active_share < 0.01


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_where_everything_moves_the_budget_holds_and_says_so(share: float) -> None:
    rng = np.random.default_rng(0)
    mask = MotionMask(MotionSettings(budget=share, least_budget_px=0, least_contrast=1))
    for _ in range(4):
        motion = mask.update(rng.integers(0, 256, (160, 240), dtype=np.uint8))
    assert motion.active_share <= share
    assert motion.saturated


def test_black_frames_pass_and_tracking_goes_on() -> None:
    frames = [brightness(frame.image) for frame in SatelliteScene(1009, 24, 256, density=100)]
    mask = MotionMask(MotionSettings(least_budget_px=0))
    for image in [*frames[:10], np.zeros_like(frames[0]), np.zeros_like(frames[0])]:
        mask.update(image)
    for image in frames[12:]:
        motion = mask.update(image)
    assert 0 < motion.active_share <= MotionSettings().budget


def test_previous_heat_keeps_pixels_active() -> None:
    image, mask = ground(0), MotionMask()
    mask.update(image)
    heat = np.zeros(image.shape, np.float32)
    heat[100:104, 200:204] = 0.5
    motion = mask.update(image, heat)
    assert motion.mask[100:104, 200:204].all()
    assert motion.active_share < 0.02


def test_previous_heat_moves_with_the_platform() -> None:
    wide, mask = ground(2, 600), MotionMask()
    mask.update(np.ascontiguousarray(wide[100:500, 100:500]))
    heat = np.zeros((400, 400), np.float32)
    heat[200:204, 200:204] = 0.5
    motion = mask.update(np.ascontiguousarray(wide[70:470, 120:520]), heat)
    assert motion.mask[230:234, 180:184].all()
    assert not motion.mask[200:204, 208:212].any()


def test_all_of_what_was_seen_stays_active() -> None:
    wide, mask = ground(2, 600), MotionMask()
    mask.update(np.ascontiguousarray(wide[100:500, 100:500]))
    box = np.array([[120.0, 200, 140, 30]])
    motion = mask.update(np.ascontiguousarray(wide[70:470, 120:520]), previous_boxes=box)
    assert motion.mask[230:260, 100:240].all()  # the platform moved by 20 px to the right and 30 up
    assert not motion.mask[200:210, 100:240].any()
    assert motion.active_share < 0.07


@given(
    arrays(np.float64, (3, 2), elements=st.floats(-500, 900)),
    arrays(np.float64, (3, 2), elements=st.floats(0, 1200)),
)
@settings(max_examples=30, deadline=None)
def test_boxes_anywhere_keep_the_mask_within_its_budget(corners: np.ndarray, sizes: np.ndarray) -> None:
    image, mask = ground(0), MotionMask()
    mask.update(image)
    motion = mask.update(image, previous_boxes=np.concatenate([corners, sizes], axis=1))
    budget = max(MotionSettings().budget, MotionSettings().least_budget_px / image.size)
    assert motion.active_share <= budget


def test_what_moves_stays_active_where_heat_is_everywhere() -> None:
    still, mask = ground(0), MotionMask(MotionSettings(least_budget_px=0))
    heat = np.full(still.shape, 0.5, np.float32)
    for column in range(40, 100, 6):
        image = still.copy()
        image[60:66, column : column + 6] = 255
        motion = mask.update(image, heat)
    assert motion.saturated
    assert motion.mask[60:66, column : column + 6].all()
    assert 0 < motion.active_share <= MotionSettings().budget


def test_noise_does_not_last() -> None:
    still, shares = ground(0, 512) // 2 + 64, {}
    for certain in (3.0, 4.0):
        rng = np.random.default_rng(0)
        mask = MotionMask(MotionSettings(certain_contrast=certain))
        frames = [(still + rng.normal(0, 4, still.shape)).round().astype(np.uint8) for _ in range(12)]
        shares[certain] = np.mean([mask.update(frame).active_share for frame in frames][6:])
    assert shares[4.0] < 0.01
    assert shares[3.0] > 3 * shares[4.0]


def test_something_faint_counts_once_it_has_lasted() -> None:
    rng = np.random.default_rng(1)
    mask, seen = MotionMask(), []
    for index in range(24):
        image = rng.normal(100, 2, (256, 256))
        if index >= 12:
            image[128:131, 100 + 2 * index : 103 + 2 * index] += 6
        motion = mask.update(image.round().astype(np.uint8))
        seen.append(bool(motion.mask[129, 101 + 2 * index]))
    assert np.mean(seen[15:]) >= 0.8


def test_another_size_is_refused_until_reset() -> None:
    mask = MotionMask()
    mask.update(ground(0))
    other = ground(0)[:200]
    with pytest.raises(ValueError, match="200"):
        mask.update(other)
    mask.reset()
    mask.update(other)


@pytest.mark.skipif(not CLIP.is_dir(), reason=f"no real clip at {CLIP}")
def test_the_real_car_stays_in_the_mask() -> None:
    truth = np.loadtxt(CLIP / "gt.txt")[:60]
    mask, inside, shares = MotionMask(), [], []
    for number, (x, y, width, height) in enumerate(truth, start=1):
        motion = mask.update(brightness(cv2.imread(str(CLIP / f"img/{number:06d}.jpg")))[:358])
        shares.append(motion.active_share)
        if x >= 0:
            inside.append(motion.mask[int(y + height / 2), int(x + width / 2)])
    assert np.mean(inside) >= 0.97
    assert np.mean(shares) <= 0.06
