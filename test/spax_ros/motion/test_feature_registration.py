"""Tests of the registration by features under rotation, zoom, shear and perspective."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from spax_ros.motion import MotionMask, MotionSettings
from spax_ros.motion.feature_registration import (
    KeyframeRegistration,
    compute_model_cost,
    register_features,
)
from spax_ros.motion.registration import register_frames
from spax_ros.transforms import IDENTITY, compose_transforms, is_affine, make_transform, transform_points

SIZE = 320
CORNERS = np.array([[x, y] for x in (20, 300) for y in (20, 300)], float)


def make_ground(seed: int = 0) -> NDArray[np.uint8]:
    """Return textured ground with small bright and dark things, 480 x 480."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.uniform(60, 150, (60, 60)).astype(np.float32), (480, 480))
    for x, y in rng.integers(10, 470, (500, 2)).tolist():
        cv2.rectangle(ground, (x, y), (x + 5, y + 3), float(rng.choice([30, 220])), -1)
    return ground.astype(np.uint8)


def make_motion(
    angle_deg: float,
    zoom: float,
    shift: tuple[float, float],
    shear: float = 0.0,
    tilt: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.float64]:
    """Return the transform that turns and zooms about the center of the frame, shears, shifts and tilts.

    A tilt is the change of the depth along the half of the frame.
    """
    motion = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), angle_deg, zoom)
    motion[0] += shear * motion[1]
    motion[:, 2] += shift
    to_center = np.array([[1, 0, -SIZE / 2], [0, 1, -SIZE / 2], [0, 0, 1]])
    perspective = np.eye(3)
    perspective[2, :2] = np.array(tilt) / (SIZE / 2)
    return make_transform(np.linalg.inv(to_center) @ perspective @ to_center @ make_transform(motion))


def view(ground: NDArray[np.uint8], motion: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the frame that a camera sees after a motion."""
    margin = (480 - SIZE) / 2
    to_frame = motion @ np.array([[1, 0, -margin], [0, 1, -margin], [0, 0, 1]])
    return np.asarray(cv2.warpPerspective(ground, to_frame, (SIZE, SIZE)), np.uint8)


def compute_error(found: NDArray[np.float64] | None, motion: NDArray[np.float64]) -> float:
    """Return the largest distance in the corners of the frame."""
    assert found is not None
    difference = transform_points(CORNERS, found) - transform_points(CORNERS, motion)
    return float(np.linalg.norm(difference, axis=1).max())


@pytest.mark.parametrize(
    ("angle_deg", "zoom", "shift", "shear"),
    [
        (0, 1, (0, 0), 0),
        (3, 1.03, (4, -3), 0.01),
        (-5, 0.93, (10, 6), -0.02),
        (25, 1.0, (0, 0), 0),
        (0, 1.12, (12, 0), 0),
    ],
)
def test_affine_motion_is_found_to_a_fraction_of_a_pixel(
    angle_deg: float, zoom: float, shift: tuple[float, float], shear: float
) -> None:
    ground = make_ground()
    motion = make_motion(angle_deg, zoom, shift, shear)

    found = register_features(view(ground, make_motion(0, 1, (0, 0))), view(ground, motion))

    assert compute_error(found, motion) < 0.5


@pytest.mark.parametrize(
    ("angle_deg", "tilt"), [(0, (0.02, 0.0)), (2, (0.0, -0.03)), (-3, (0.01, 0.02)), (0, (-0.05, 0.03))]
)
def test_perspective_is_found_to_a_fraction_of_a_pixel(angle_deg: float, tilt: tuple[float, float]) -> None:
    ground = make_ground(5)
    motion = make_motion(angle_deg, 1.01, (2, -1), tilt=tilt)
    previous, current = view(ground, make_motion(0, 1, (0, 0))), view(ground, motion)

    found = register_features(previous, current)

    assert compute_error(found, motion) < 0.3
    assert compute_error(register_frames(previous, current), motion) > 1


def test_view_without_perspective_is_affine() -> None:
    ground = make_ground(6)
    motion = make_motion(2, 1.02, (3, 1), 0.01)

    found = register_features(view(ground, make_motion(0, 1, (0, 0))), view(ground, motion))

    assert found is not None
    assert is_affine(found)


def test_model_cost_prefers_fewer_parameters_of_equal_fit_and_ignores_the_size_of_outliers() -> None:
    distances = np.array([0.5, 1.0, 0.2, 50.0])

    assert compute_model_cost(distances, 6) < compute_model_cost(distances, 8)
    assert compute_model_cost(distances, 6) == compute_model_cost(np.minimum(distances, 2.0), 6)
    assert compute_model_cost(distances / 10, 8) < compute_model_cost(np.full(4, 2.0), 6)


def test_fast_zoom_fails_as_similarity_and_holds_as_homography() -> None:
    ground = make_ground(1)
    motion = make_motion(2, 1.04, (3, 2))
    previous, current = view(ground, make_motion(0, 1, (0, 0))), view(ground, motion)

    assert compute_error(register_frames(previous, current), motion) > 2
    assert compute_error(register_features(previous, current), motion) < 0.3


def test_errors_do_not_add_up_between_keyframes() -> None:
    rng = np.random.default_rng(7)
    errors = []
    for seed in range(4):
        ground = make_ground(seed)
        registration, previous, last_motion = KeyframeRegistration(), None, None
        by_frame = by_keyframe = IDENTITY
        for index in range(10):
            expected = make_motion(
                0.8 * index, 1.004**index, (1.3 * index, -0.7 * index), tilt=(0.004 * index, 0)
            )
            noisy = view(ground, expected) + rng.normal(0, 20, (SIZE, SIZE))
            current = np.clip(noisy, 0, 255).astype(np.uint8)
            if previous is not None:
                last_motion = register_features(previous, current, last_motion)
                motion = registration.register(previous, current)
                assert last_motion is not None
                assert motion is not None
                by_frame = compose_transforms(last_motion, by_frame)
                by_keyframe = compose_transforms(motion, by_keyframe)
            previous = current
        errors.append((compute_error(by_frame, expected), compute_error(by_keyframe, expected)))

    by_frame_error, by_keyframe_error = np.mean(errors, axis=0)
    assert by_keyframe_error < 0.85 * by_frame_error


def test_keyframe_without_a_match_is_replaced() -> None:
    registration = KeyframeRegistration()
    still, other = view(make_ground(8), make_motion(0, 1, (0, 0))), make_ground(9)
    shifted = view(other, make_motion(0, 1, (3, 0)))
    unrelated = view(other, make_motion(0, 1, (0, 0)))

    assert compute_error(registration.register(still, still), make_motion(0, 1, (0, 0))) < 0.2
    assert registration.register(still, unrelated) is None
    assert compute_error(registration.register(unrelated, shifted), make_motion(0, 1, (3, 0))) < 0.2


def test_moving_objects_do_not_change_the_motion() -> None:
    ground = make_ground(2)
    motion = make_motion(1, 1.01, (2, 1))
    previous, current = view(ground, make_motion(0, 1, (0, 0))), view(ground, motion)
    for index in range(40):
        x, y = 20 + 7 * index, 30 + (53 * index) % 260
        previous[y : y + 6, x : x + 6] = 255
        current[y : y + 6, x + 6 : x + 12] = 255

    assert compute_error(register_features(previous, current), motion) < 0.5


def test_frames_without_texture_have_no_motion() -> None:
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    noise = np.random.default_rng(3).integers(0, 255, (2, SIZE, SIZE), np.uint8)

    assert register_features(flat, flat) is None
    assert register_features(noise[0], noise[1]) is None


@pytest.mark.parametrize("registration", ["similarity", "homography", "none"])
def test_mask_finds_an_object_with_its_registration(registration: str) -> None:
    ground = make_ground(4)
    mask = MotionMask(MotionSettings(registration=registration))  # type: ignore[arg-type]
    is_turning = registration == "homography"

    for frame in range(16):
        motion = (
            make_motion(2.0 * frame, 1.03 ** (frame % 4), (0, 0), tilt=(0.01 * frame, 0))
            if is_turning
            else make_motion(0, 1, (0, 0))
        )
        image = view(ground, motion)
        x, y = 100 + 3 * frame, 160
        image[y : y + 7, x : x + 7] = 250
        result = mask.update(image)

    assert result.mask[y + 3, x + 3]
    assert result.active_fraction < 0.4
    expected = np.eye(3) if not is_turning else None
    if expected is not None:
        np.testing.assert_allclose(result.transform, expected, atol=0.05)


def test_profiles_choose_their_registration() -> None:
    from spax_ros.profiles import PROFILES, make_profile_settings

    registrations = [make_profile_settings(profile).motion.registration for profile in PROFILES]

    assert registrations == ["similarity", "homography", "none"]
    with pytest.raises(ValueError, match="profile must be one of satellite, drone, fixed: got 'plane'"):
        make_profile_settings("plane")
