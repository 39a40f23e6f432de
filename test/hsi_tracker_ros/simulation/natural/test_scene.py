from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.decoder import Decoder
from hsi_tracker_ros.simulation.natural import NaturalScene
from hsi_tracker_ros.simulation.natural.light import make_natural_light
from hsi_tracker_ros.simulation.natural.shake import SLOWEST_HZ, make_shaken_path, synthesize_shake
from hsi_tracker_ros.simulation.scene import MIN_VISIBLE_FRACTION
from tracking_runtime.io import open_source

SMALL = {"size": (160, 96), "frames": 20}


def make_lights(varies: bool) -> list:
    camera = find_camera_preset("vis16")
    return [
        make_natural_light(np.random.default_rng(seed), camera, 60, (48, 32), 25.0, varies=varies)
        for seed in range(20)
    ]


def write_photographs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        image = cv2.resize(rng.integers(0, 255, (9, 12, 3), np.uint8), (120, 90))
        cv2.imwrite(str(folder / f"{number}.png"), image)


def test_equal_seeds_give_equal_frames_in_any_order() -> None:
    first, second = NaturalScene(7, **SMALL), NaturalScene(7, **SMALL)

    late, early = (second.make_frame(index) for index in (12, 0))

    np.testing.assert_array_equal(first.make_frame(0).image, early.image)
    np.testing.assert_array_equal(first.make_frame(12).image, late.image)
    assert (NaturalScene(8, **SMALL).make_frame(0).image != early.image).any()


def test_truth_is_the_box_of_the_silhouette() -> None:
    for seed in range(2):
        scene = NaturalScene(seed, attributes="OCC,OV,FM", frames=5, stride=28, size=(160, 96))
        for index in range(len(scene)):
            drawn, truth = scene.render(index), scene.make_frame(index).truth
            assert len(truth.boxes) == (drawn.visible_fraction >= MIN_VISIBLE_FRACTION)
            if len(truth.boxes):
                rows, columns = np.nonzero(drawn.silhouette)
                x, y, width, height = truth.boxes[0]
                assert (x, y) == (columns.min(), rows.min())
                assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)


def test_mosaic_decodes_to_the_cube() -> None:
    cube = NaturalScene(3, **SMALL).make_frame(2)
    scene = NaturalScene(3, kind="mosaic", **SMALL)

    raw = scene.make_frame(2)

    np.testing.assert_array_equal(Decoder(scene.spectral_info).decode(raw.image, raw.encoding), cube.image)


def test_scene_of_photographs_opens_by_address(tmp_path: Path) -> None:
    write_photographs(tmp_path)
    options = f"seed=2&frames=2&photographs={tmp_path}"

    first, second = open_source(f"scene:hyperspectral_natural?{options}")

    assert first.image.shape == (256, 512, 16)
    assert len(first.truth.boxes) == len(second.truth.boxes) == 1
    without = NaturalScene(2, frames=2).make_frame(0)
    assert (first.image != without.image).any()
    np.testing.assert_array_equal(first.truth.boxes, without.truth.boxes)


def test_noise_has_a_fixed_pattern() -> None:
    scene = NaturalScene(4, attributes="", size=(96, 64), frames=40, rate_hz=1000.0)
    frames = np.stack([scene.make_frame(index).image.astype(np.float64) for index in range(0, 40, 2)])
    light = np.stack([scene.render(index).light for index in range(0, 40, 2)])

    residuals = frames / scene.spectral_info.saturation_level - light
    bright = (light.min(axis=0) > 0.2) & (light.max(axis=0) < 0.9)

    temporal = residuals.std(axis=0)[bright].mean()
    fixed = residuals.mean(axis=0)[bright].std()
    assert fixed > 1.2 * temporal / np.sqrt(len(frames))
    assert 0.003 < temporal < 0.03


def test_shake_has_measured_spectrum() -> None:
    rate_hz = 25.0
    rng = np.random.default_rng(3)
    series = np.stack([synthesize_shake(rng, 2000, rate_hz) for _ in range(20)])

    power = np.square(np.abs(np.fft.rfft(series * np.hanning(2000)))).mean(axis=0)
    frequencies = np.fft.rfftfreq(2000, 1 / rate_hz)

    assert series.std() == pytest.approx(1, abs=0.15)
    band = (frequencies > 1.5 * SLOWEST_HZ) & (frequencies < 8)
    slope = np.polyfit(np.log(frequencies[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-4, abs=0.4)


def test_camera_stays_within_the_ground() -> None:
    for seed in range(20):
        path = make_shaken_path(np.random.default_rng(seed), 90, (160, 96), (25.6, 15.4), 25.0)
        assert (np.abs(path.shift) <= np.array([25.6, 15.4]) * 1.2 + 1).all()
        assert np.isfinite(path.angle).all()


def test_light_of_lamps_flickers_by_rows() -> None:
    lights = [light for light in make_lights(varies=True) if light.flicker_depth and light.flicker_rows]
    light = lights[0]
    cube = np.ones((32, 48, 16), np.float32)

    light.illuminate(cube, 5)

    middle = cube[:, 24].mean(axis=1) / light.vignette[:, 24]
    assert np.ptp(middle) > 0.5 * light.flicker_depth * middle.mean()


def test_exposure_follows_the_sun() -> None:
    lights = [light for light in make_lights(varies=True) if np.ptp(light.exposure) > 0.05]

    assert lights
    for light in lights:
        darkest, brightest = light.transmission.argmin(), light.transmission.argmax()
        raw = light.transmission[[darkest, brightest]]
        seen = raw * light.exposure[[darkest, brightest]]
        assert light.exposure[0] == pytest.approx(1, abs=0.2)
        assert np.log(seen[1] / seen[0]) < np.log(raw[1] / raw[0]) + 1e-9 or darkest < 10 or brightest < 10


def test_full_light_is_sun_and_sky() -> None:
    for light in make_lights(varies=False):
        np.testing.assert_allclose(light.full, light.direct + light.ambient)
        cube = np.ones((32, 48, 16), np.float32)
        light.illuminate(cube, 0)
        assert (cube <= light.full * max(light.exposure.max(), 1) * (1 + light.flicker_depth) + 1e-4).all()
