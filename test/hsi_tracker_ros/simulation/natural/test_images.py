from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.simulation.natural.images import NaturalImages
from tracking_runtime.errors import SourceError

RED_BGR = (0, 0, 255)


def write_photograph(folder: Path, name: str = "a", size: tuple[int, int] = (120, 90)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    image[30:60, 40:80] = RED_BGR
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), image)
    return path


def compute_spectrum_slope(image: np.ndarray) -> float:
    """Return the exponent of the frequency in the radially averaged power spectrum."""
    gray = image.mean(axis=2)
    side = min(gray.shape)
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.abs(np.fft.fft2((gray[:side, :side] - gray.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    edges = np.geomspace(4 / side, 0.25, 8)
    means = [power[(frequency >= low) & (frequency < high)].mean() for low, high in pairwise(edges)]
    return float(np.polyfit(np.log(np.sqrt(edges[:-1] * edges[1:])), np.log(means), 1)[0])


def test_images_without_photographs_have_natural_spectrum() -> None:
    images = NaturalImages()

    slopes = [
        compute_spectrum_slope(images.draw_scene(np.random.default_rng(seed), (192, 192)))
        for seed in range(4)
    ]

    assert -3.2 < np.mean(slopes) < -1.6


def test_scene_is_linear_photograph_of_any_size(tmp_path: Path) -> None:
    write_photograph(tmp_path)

    image = NaturalImages(tmp_path).draw_scene(np.random.default_rng(0), (400, 200))

    assert image.shape == (200, 400, 3)
    assert image.dtype == np.float32
    gray = ((128 / 255 + 0.055) / 1.055) ** 2.4
    assert np.median(image[..., 2]) == pytest.approx(gray, abs=0.01)
    assert 0 <= image.min() <= image.max() <= 1


def test_object_is_the_labeled_box(tmp_path: Path) -> None:
    path = write_photograph(tmp_path)
    path.with_suffix(".txt").write_text(f"0 {60 / 120} {45 / 90} {40 / 120} {30 / 90}\n")

    image = NaturalImages(tmp_path).draw_object(np.random.default_rng(0))

    assert image.shape == (40, 40, 3)
    np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), (0, 0, 1), atol=1e-3)


@pytest.mark.parametrize("box", ["0 0.5 0.5 0.05 0.05", "0 0.5 0.5 0.95 0.95"])
def test_boxes_of_extreme_size_are_no_objects(tmp_path: Path, box: str) -> None:
    path = write_photograph(tmp_path)
    path.with_suffix(".txt").write_text(box + "\n")

    image = NaturalImages(tmp_path).draw_object(np.random.default_rng(0))

    assert image.shape[0] == image.shape[1] <= 0.4 * 90


def test_invalid_photographs_are_refused(tmp_path: Path) -> None:
    small = write_photograph(tmp_path / "small", size=(100, 40))
    (tmp_path / "empty").mkdir()
    broken = write_photograph(tmp_path / "broken")
    broken.write_bytes(broken.read_bytes()[:60])

    with pytest.raises(SourceError, match=r"a\.png must have at least 64 pixels.*got 100 x 40"):
        NaturalImages(small.parent).draw_scene(np.random.default_rng(0), (64, 64))
    with pytest.raises(SourceError, match="contains no photographs"):
        NaturalImages(tmp_path / "empty")
    with pytest.raises(SourceError, match=r"a\.png"):
        NaturalImages(broken.parent).draw_object(np.random.default_rng(0))
