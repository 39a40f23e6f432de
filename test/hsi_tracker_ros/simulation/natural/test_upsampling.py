from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.cubes.false_color import make_false_color_matrix
from hsi_tracker_ros.cubes.spectral_angles import compute_spectral_angles
from hsi_tracker_ros.simulation.natural.upsampling import (
    SpectralUpsampling,
    divide_into_materials,
    load_materials,
)
from hsi_tracker_ros.simulation.spectra import GRID_NM
from tracking_runtime.spectral_info import SpectralInfo

FINE_CAMERA = SpectralInfo(tuple(GRID_NM.tolist()), (5.0,) * len(GRID_NM))


def make_image(seed: int = 0, side: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.15, 0.5, (side, side, 3)).astype(np.float32)


def make_equal_fractions(image: np.ndarray, num_materials: int) -> np.ndarray:
    return np.full((*image.shape[:2], num_materials), 1 / num_materials, np.float32)


def test_upsampled_colors_are_those_of_the_image() -> None:
    image = make_image()
    upsampling = SpectralUpsampling(FINE_CAMERA)
    materials = upsampling.choose_materials(np.full((3, 3), 0.3), np.random.default_rng(1))

    cube = upsampling.upsample(image, make_equal_fractions(image, 3), materials)

    colors = cube @ make_false_color_matrix(FINE_CAMERA.wavelengths_nm)
    np.testing.assert_allclose(colors, image, atol=0.03)


def test_materials_of_one_color_differ_in_spectra() -> None:
    image = np.full((2, 2, 3), 0.3, np.float32)
    upsampling = SpectralUpsampling(find_camera_preset("nir25"))
    numbers = upsampling.choose_materials(np.full((12, 3), 0.3), np.random.default_rng(2))

    cubes = [upsampling.upsample(image, make_equal_fractions(image, 1), numbers[[i]]) for i in range(12)]

    spectra = np.stack([cube[0, 0] for cube in cubes]).astype(np.float64)
    assert np.median(compute_spectral_angles(spectra, spectra[:1])) > 0.02


def test_chosen_materials_have_similar_colors() -> None:
    library = load_materials()
    upsampling = SpectralUpsampling(FINE_CAMERA)
    green = np.array([[0.05, 0.12, 0.07]])

    numbers = np.concatenate(
        [upsampling.choose_materials(green, np.random.default_rng(seed)) for seed in range(20)]
    )

    blue, own_green, red = library.colors[numbers].T
    assert (own_green > red).mean() > 0.8
    assert (own_green > blue).mean() > 0.8


@pytest.mark.parametrize("camera", ["vis16", "nir25", "cms_v9"])
def test_look_alike_has_equal_color_and_other_spectrum(camera: str) -> None:
    info = find_camera_preset(camera)
    image = make_image(3)
    upsampling = SpectralUpsampling(info)
    rng = np.random.default_rng(4)
    fractions, colors = divide_into_materials(image, rng, 3)
    cube = upsampling.upsample(image, fractions, upsampling.choose_materials(colors, rng))
    light = rng.uniform(0.5, 1.5, cube.shape[2]).astype(np.float32)

    twin = upsampling.make_look_alike(cube, light, rng)

    matrix = make_false_color_matrix(info.wavelengths_nm)
    colors, twin_colors = (np.clip((each * light) @ matrix, 0, None) for each in (cube, twin))
    assert np.abs(colors - twin_colors).mean() < 0.02 * colors.mean()
    spectra = (each.mean(axis=(0, 1), dtype=np.float64)[None] for each in (cube, twin))
    assert compute_spectral_angles(*spectra)[0, 0] > 0.02


@pytest.mark.parametrize("num_bands", [1, 2, 3])
def test_look_alike_of_few_bands_is_physical(num_bands: int) -> None:
    info = SpectralInfo(tuple(np.linspace(480, 620, num_bands).tolist()))
    cube = np.random.default_rng(8).uniform(0.2, 0.6, (6, 6, num_bands)).astype(np.float32)

    twin = SpectralUpsampling(info).make_look_alike(
        cube, np.ones(num_bands, np.float32), np.random.default_rng(9)
    )

    assert twin.shape == cube.shape
    assert ((twin > 0) & (twin <= 1.2)).all()


def test_reflectances_stay_physical() -> None:
    image = np.random.default_rng(5).uniform(0, 1, (16, 16, 3)).astype(np.float32)
    upsampling = SpectralUpsampling(find_camera_preset("vis16"))
    fractions, colors = divide_into_materials(image, np.random.default_rng(6), 5)

    cube = upsampling.upsample(
        image, fractions, upsampling.choose_materials(colors, np.random.default_rng(7))
    )

    assert cube.min() > 0
    assert cube.max() <= 1.2
    np.testing.assert_allclose(fractions.sum(axis=2), 1, rtol=1e-5)


def test_regions_of_one_color_have_one_material() -> None:
    image = np.full((20, 40, 3), (0.05, 0.1, 0.4), np.float32)
    image[:, 20:] = (0.4, 0.1, 0.05)

    fractions, colors = divide_into_materials(image, np.random.default_rng(1), 8)

    reds = colors[:, 2] > colors[:, 0]
    assert reds.any()
    assert not reds.all()
    assert fractions[:, :20][..., reds].sum(axis=2).min() > 0.99
    assert fractions[:, 20:][..., ~reds].sum(axis=2).min() > 0.99
