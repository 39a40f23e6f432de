from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.false_color import render_false_color
from hsi_tracker_ros.simulation import make_random_camera, spectra
from hsi_tracker_ros.simulation.illumination import make_illumination
from tracking_runtime.spectral_info import SpectralInfo


def test_measured_reflectances_are_physical() -> None:
    measured = spectra.load_measured_reflectances()
    assert measured.shape[0] > 400
    assert measured.shape[1] == len(spectra.GRID_NM)
    assert measured.min() > 0
    assert measured.max() < 1
    assert np.abs(np.diff(measured, axis=1)).max() < 0.2


def test_measured_reflectance_equals_measurement() -> None:
    import colour

    chart = next(iter(colour.SDS_COLOURCHECKERS.values()))
    first = next(iter(chart.values()))
    inside = (first.wavelengths >= 400) & (first.wavelengths <= 730)
    ours = np.interp(first.wavelengths[inside], spectra.GRID_NM, spectra.load_measured_reflectances()[0])
    np.testing.assert_allclose(ours, first.values[inside], atol=0.01)


def test_leaves_are_green_and_have_a_red_edge() -> None:
    leaves = spectra.make_vegetation(np.random.default_rng(0), 50)

    def at(nm: float) -> np.ndarray:
        return leaves[:, int(np.argmin(np.abs(spectra.GRID_NM - nm)))]

    assert (at(800) > at(670)).all()
    assert np.median(at(800) / at(670)) > 2
    assert (at(550) > at(670)).mean() > 0.8


def test_band_responses_sum_to_one() -> None:
    camera = find_camera_preset("vis16")
    responses = spectra.compute_band_responses(camera)
    np.testing.assert_allclose(responses.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(responses @ spectra.GRID_NM, camera.wavelengths_nm, atol=2.6)


@pytest.mark.parametrize("name", ["vis16", "hot16", "nir25"])
def test_metamer_has_same_color_and_other_spectrum(name: str) -> None:
    camera = find_camera_preset(name)
    changes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        light = make_illumination(rng, camera, 1, (8, 8), varies=False).pair[0]
        surface = spectra.load_measured_reflectances()[rng.integers(400)]
        twin = spectra.make_metamer(surface, light, camera, rng)
        assert twin.min() >= 0
        assert twin.max() <= 1
        pair = np.stack([surface, twin]) @ spectra.compute_band_responses(camera).T * light
        colors = render_false_color(pair[None], camera.wavelengths_nm, white=float(pair.max())).astype(int)
        assert np.abs(colors[0, 0] - colors[0, 1]).max() <= 1
        changes.append(float(np.abs(pair[0] - pair[1]).mean() / pair[0].mean()))
    assert np.median(changes) > 0.2


def test_illumination_is_equal_for_all_cameras() -> None:
    lights = [
        make_illumination(np.random.default_rng(3), camera, 20, (16, 12), varies=True)
        for camera in (find_camera_preset("vis16"), find_camera_preset("nir25"))
    ]
    np.testing.assert_array_equal(lights[0].level, lights[1].level)
    np.testing.assert_array_equal(lights[0].clouds, lights[1].clouds)
    assert all(light.compute_bands(7).min() > 0 for light in lights)


def test_random_cameras_are_valid() -> None:
    rng = np.random.default_rng(0)
    counts = set()
    for _ in range(200):
        camera, sample = make_random_camera(rng)
        assert isinstance(camera, SpectralInfo)
        assert sample in ("uint8", "uint16", "float32")
        assert all(400 <= nm <= 1000 for nm in camera.wavelengths_nm)
        counts.add(len(camera.wavelengths_nm))
    assert min(counts) == 3
    assert max(counts) == 40
