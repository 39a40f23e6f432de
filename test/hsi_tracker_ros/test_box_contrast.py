from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hsi_tracker_ros.box_contrast import MIN_CONTRAST, compute_contrast
from tracking_runtime.io import open_source

BOX = (60.0, 50.0, 30.0, 20.0)


@pytest.fixture
def cube() -> NDArray[np.float32]:
    """Return noise with an object that differs by one standard deviation in each of 8 bands."""
    cube = np.random.default_rng(0).normal(100, 10, (128, 160, 8)).astype(np.float32)
    cube[50:70, 60:90] += 10
    return cube


def test_box_of_object_has_contrast(cube: NDArray[np.float32]) -> None:
    assert compute_contrast(cube, BOX) >= MIN_CONTRAST


@pytest.mark.parametrize("box", [(10, 90, 30, 20), (0, 0, 20, 20), (140, 110, 40, 40)])
def test_box_of_background_has_no_contrast(
    cube: NDArray[np.float32], box: tuple[float, float, float, float]
) -> None:
    assert compute_contrast(cube, box) < MIN_CONTRAST


@pytest.mark.parametrize("box", [(0, 0, 160, 128), (-20, -20, 300, 300), (3, 3, 0.5, 0.5), (159, 127, 1, 1)])
def test_contrast_of_any_box_is_a_number(
    cube: NDArray[np.float32], box: tuple[float, float, float, float]
) -> None:
    assert compute_contrast(cube, box) >= 0


@pytest.mark.slow
def test_targets_of_scenes_have_contrast() -> None:
    for seed in (1, 2, 3):
        frame = next(iter(open_source(f"scene:hyperspectral?seed={seed}&frames=2")))
        assert frame.truth is not None
        assert compute_contrast(frame.image, frame.truth.boxes[0]) >= MIN_CONTRAST
