"""White and dark references: exact reflectance, references of lines and of selected bands, and errors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tracking_runtime.errors import SourceError
from tracking_runtime.io.notes import collect_notes
from tracking_runtime.io.sources import open_source
from tracking_runtime.spectral_info import Calibration

RNG = np.random.default_rng(8)
REFLECTANCE = RNG.uniform(0.05, 0.95, (6, 7, 4)).astype(np.float32)
DARK = RNG.uniform(20, 60, (6, 7, 4)).astype(np.float32)
WHITE = (DARK + RNG.uniform(500, 900, (6, 7, 4))).astype(np.float32)
IMAGE = DARK + REFLECTANCE * (WHITE - DARK)


def write(path, array):
    np.save(path, array)
    return path


def test_reflectance_is_that_of_the_scene(tmp_path):
    image, white, dark = (
        write(tmp_path / f"{name}.npy", array) for name, array in (("a", IMAGE), ("w", WHITE), ("d", DARK))
    )

    source = open_source(f"{image}?wavelengths=450-750", white=white, dark=dark)

    np.testing.assert_allclose(next(iter(source)).image, REFLECTANCE, rtol=1e-4)
    assert source.spectral_info.calibration == Calibration.DARK | Calibration.FLAT | Calibration.REFLECTANCE
    assert next(iter(source)).encoding == "32FC4"


def test_reflectance_of_lines_and_frames_takes_their_mean(tmp_path):
    lines = np.stack([WHITE[0] - 3, WHITE[0], WHITE[0] + 3])
    frames = np.stack([DARK - 1, DARK + 1])
    image = write(tmp_path / "a.npy", IMAGE)
    white, dark = write(tmp_path / "w.npy", lines), write(tmp_path / "d.npy", frames)

    result = next(iter(open_source(image, white=white, dark=dark))).image

    np.testing.assert_allclose(result, (IMAGE - DARK) / (WHITE[:1] - DARK), rtol=1e-4)


def test_reflectance_reference_may_have_options(tmp_path):
    image = write(tmp_path / "a.npy", IMAGE)
    np.savez(tmp_path / "refs.npz", white=WHITE, dark=DARK)

    source = open_source(
        image, white=f"{tmp_path}/refs.npz?variable=white", dark=f"{tmp_path}/refs.npz?variable=dark"
    )

    np.testing.assert_allclose(next(iter(source)).image, REFLECTANCE, rtol=1e-4)


def test_reflectance_of_selected_bands_takes_those_of_the_references(tmp_path):
    image, white, dark = (
        write(tmp_path / f"{name}.npy", array) for name, array in (("a", IMAGE), ("w", WHITE), ("d", DARK))
    )

    selected = next(iter(open_source(image, white=white, dark=dark, bands="4,2"))).image
    single = next(iter(open_source(image, white=white, dark=dark, bands="3"))).image

    np.testing.assert_allclose(selected, REFLECTANCE[..., [3, 1]], rtol=1e-4)
    np.testing.assert_allclose(single, REFLECTANCE[..., 2], rtol=1e-4)


def test_dark_alone_is_subtracted(tmp_path):
    image, dark = write(tmp_path / "a.npy", IMAGE), write(tmp_path / "d.npy", DARK)

    source = open_source(f"{image}?wavelengths=450-750", dark=dark)

    np.testing.assert_allclose(next(iter(source)).image, IMAGE - DARK, rtol=1e-4)
    assert source.spectral_info.calibration == Calibration.DARK


def test_reflectance_of_images_in_a_folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), np.full((4, 5), 60, np.uint8))
    cv2.imwrite(str(tmp_path / "white.png"), np.full((4, 5), 240, np.uint8))

    source = open_source(f"folder:{folder}?white={tmp_path / 'white.png'}")

    np.testing.assert_allclose(next(iter(source)).image, 0.25)


def test_reflectance_without_light_is_zero_with_a_note(tmp_path):
    unlit = WHITE.copy()
    unlit[2, 3, 1] = DARK[2, 3, 1] - 1
    image, white, dark = (
        write(tmp_path / f"{name}.npy", array) for name, array in (("a", IMAGE), ("w", unlit), ("d", DARK))
    )

    with collect_notes() as notes:
        result = next(iter(open_source(image, white=white, dark=dark))).image

    assert result[2, 3, 1] == 0
    assert len(notes) == 1 and "1 of 168 samples are not brighter" in notes[0]


@pytest.mark.parametrize(
    ("white", "dark", "reason"),
    [
        (DARK, WHITE, "must be brighter than the dark reference: .* exchange the references"),
        (WHITE[:, :5], None, r"w\.npy must fit the frames: got 5 x 6 pixels and 4 bands, expected 7 x 6"),
        (WHITE[..., :3], None, "3 bands, expected 7 x 6 pixels and 4 bands"),
        (None, DARK[:, :5], r"d\.npy must fit the frames"),
    ],
)
def test_reflectance_of_unusable_references_is_an_error(tmp_path, white, dark, reason):
    options = {
        name: write(tmp_path / f"{name[0]}.npy", array)
        for name, array in (("white", white), ("dark", dark))
        if array is not None
    }
    image = write(tmp_path / "a.npy", IMAGE)

    with pytest.raises(SourceError, match=reason):
        list(open_source(image, **options))


def test_reflectance_of_corrected_frames_is_refused(tmp_path):
    write(tmp_path / "a.npy", IMAGE)
    (tmp_path / "spectral_info.yaml").write_text("wavelengths_nm: [1, 2, 3, 4]\ncalibration: 8\n")

    with pytest.raises(SourceError, match="is corrected already"):
        open_source(tmp_path / "a.npy", white=tmp_path / "a.npy")


def test_reflectance_without_a_reference_file_names_it(tmp_path):
    image = write(tmp_path / "a.npy", IMAGE)

    with pytest.raises(SourceError, match=r"none\.npy"):
        list(open_source(image, white=tmp_path / "none.npy"))
