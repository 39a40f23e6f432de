"""Tests of the port with its disturbances, and of measured traffic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spax_ros.simulation import SatelliteScene
from spax_ros.simulation.disturbances import Disturbances
from spax_ros.simulation.measured_traffic import choose_size, choose_speed, choose_wait, compute_stop_rate
from spax_ros.simulation.traffic import ObjectClass
from spax_ros.transforms import (
    IDENTITY,
    compose_transforms,
    invert_transform,
    is_affine,
    make_transform,
    transform_points,
    warp_image,
)
from tracking_runtime.errors import SourceError
from tracking_runtime.io import open_source

PORT = {"place": "port", "traffic": "measured"}


def make_disturbances(seed: int, water_level: int) -> Disturbances:
    water = np.full((256, 256), water_level, np.uint8)
    return Disturbances(seed, water, np.zeros((0, 2)), [], 20, (256, 256))


def test_port_of_equal_seeds_has_equal_frames() -> None:
    first, again = (SatelliteScene(11, 4, 192, **PORT) for _ in range(2))

    np.testing.assert_array_equal(first.make_frame(3).image, again.make_frame(3).image)


@pytest.mark.parametrize("seed", range(4))
def test_port_has_slow_ships_on_half_its_area(seed: int) -> None:
    scene = SatelliteScene(seed, 30, 384, **PORT)

    ships = [mover for mover in scene._movers if mover.object_class is ObjectClass.SHIP]
    assert len(ships) >= 2
    assert max(np.abs(ship.speeds).max() for ship in ships) <= 1.25
    assert 0.25 < (scene._landscape.water > 0).mean() < 0.75


def test_port_is_a_source_and_unknown_places_are_refused() -> None:
    frame = next(iter(open_source("scene:satellite?seed=3&frames=2&size=128&place=port&traffic=measured")))

    assert frame.truth is not None
    with pytest.raises(SourceError, match="place must be one of land, port: got 'moon'"):
        open_source("scene:satellite?seed=3&place=moon")
    with pytest.raises(SourceError, match="traffic must be one of"):
        open_source("scene:satellite?seed=3&traffic=dense")


def test_water_glitters_and_land_does_not() -> None:
    flat = np.full((256, 256, 3), 80, np.uint8)

    flashes = []
    for disturbances in (make_disturbances(3, 255), make_disturbances(3, 0)):
        first, later = (disturbances.draw(flat, index, IDENTITY).astype(np.float32) for index in (5, 9))
        change = later - first
        spots = np.abs(change - cv2.blur(change, (15, 15))).max(axis=2) > 25  # without most smoke and shadows
        flashes.append(cv2.connectedComponents(spots.astype(np.uint8))[0] - 1)

    assert flashes[0] >= flashes[1] + 8  # a plume has a few


def test_disturbances_follow_the_ground() -> None:
    disturbances = make_disturbances(4, 255)
    flat = np.full((256, 256, 3), 80, np.uint8)
    shifted = make_transform([[1.0, 0, 7], [0, 1, 3]])

    at_rest = disturbances.draw(flat, 2, IDENTITY).max(axis=2)
    moved = disturbances.draw(flat, 2, shifted).max(axis=2)

    brightest = np.argwhere(at_rest[10:-20, 10:-20] > 120)[:3] + 10
    assert len(brightest)
    for row, column in brightest:
        assert int(moved[row + 3, column + 7]) == pytest.approx(int(at_rest[row, column]), abs=40)


def test_measured_traffic_has_its_medians() -> None:
    rng = np.random.default_rng(0)

    speeds = [choose_speed(rng) for _ in range(4000)]
    sizes = np.array([choose_size(rng) for _ in range(4000)])
    waits = [choose_wait(rng) for _ in range(4000)]

    assert np.median(speeds) == pytest.approx(1.18, abs=0.03)
    assert np.median(sizes, axis=0) == pytest.approx([7, 4], abs=0.3)
    assert np.median(waits) == pytest.approx(94, abs=5)
    assert (sizes[:, 0] >= sizes[:, 1]).all()


def test_stop_rate_gives_the_measured_number_of_stops() -> None:
    rate = compute_stop_rate(speed=1.0, path_px=1000, num_junctions=10)

    assert 10 * rate / 1000 == pytest.approx(3.1e-4)
    assert compute_stop_rate(0.1, 1e6, 1) == 1
    assert compute_stop_rate(1.0, 100, 0) <= 1


def test_drone_turns_and_zooms_far_more_than_a_satellite() -> None:
    changes = []
    for platform in ("drone", "satellite"):
        scene = SatelliteScene(5, 60, 192, platform=platform)
        motions = [scene.compute_camera_motion(index)[:2, :2] for index in range(1, 60)]
        angle = max(abs(np.degrees(np.arctan2(motion[1, 0], motion[0, 0]))) for motion in motions)
        zoom = max(abs(np.sqrt(np.linalg.det(motion)) - 1) for motion in motions)
        changes.append((angle, zoom))

    assert 0.5 < changes[0][0] < 3.5
    assert 0.005 < changes[0][1] < 0.05
    assert max(changes[1]) < 0.02


@pytest.mark.parametrize("platform", ["drone", "aslant"])
def test_truth_of_a_drone_lies_on_its_objects(platform: str) -> None:
    scene = SatelliteScene(5301, 12, 320, density=200, platform=platform, color=False)

    frames = list(scene)

    contrasts = []
    for frame in frames:
        assert frame.truth is not None
        for x, y, width, height in frame.truth.boxes.astype(int):
            box = frame.image[max(y, 0) : y + height + 1, max(x, 0) : x + width + 1]
            contrasts.append(int(box.max()) - int(box.min()))
    assert len(contrasts) > 20
    assert np.median(contrasts) > 30


def test_aslant_camera_shows_perspective_and_its_true_motion() -> None:
    scene = SatelliteScene(5302, 9, 320, density=0, platform="aslant", color=False)
    first, last = scene.make_frame(0).image, scene.make_frame(8).image
    motion = IDENTITY
    for index in range(9):
        motion = compose_transforms(scene.compute_camera_motion(index), motion)

    # Pixel centers are at integers + 0.5 in the scene.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    to_last = compose_transforms(invert_transform(half), compose_transforms(motion, half))
    unknown = np.zeros(first.shape, np.uint8)
    warped = warp_image(first, to_last, scene.size, background=unknown)
    is_known = warp_image(np.full_like(first, 255), to_last, scene.size, background=unknown) == 255
    difference = np.abs(warped.astype(float) - last)[is_known]
    unregistered = np.abs(first.astype(float) - last)[is_known]

    assert not is_affine(motion)
    assert is_known.mean() > 0.5
    assert np.median(difference) < 0.5 * np.median(unregistered)
    corners = np.array([[0, 0], [320, 0], [320, 320], [0, 320]], float)
    assert np.isfinite(transform_points(corners, motion)).all()
