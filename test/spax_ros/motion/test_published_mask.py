from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spax_ros.motion.published_mask import SATMTB, SATVIDEODT, PublishedMotionMask, PublishedMotionSettings


def make_frames(seed: int, num_frames: int = 24) -> np.ndarray:
    """Return frames of noisy ground with one moving object."""
    rng = np.random.default_rng(seed)
    images = np.repeat(rng.integers(60, 120, (1, 80, 96), dtype=np.uint8), num_frames, axis=0)
    images += rng.integers(0, 6, images.shape, dtype=np.uint8)
    for index, image in enumerate(images):
        image[30:36, 2 * index : 2 * index + 6] = 250
    return images


@pytest.mark.parametrize("settings", [SATVIDEODT, SATMTB, PublishedMotionSettings(alpha=5, radius=3)])
def test_published_mask_follows_the_formula_of_the_paper(settings: PublishedMotionSettings) -> None:
    images = make_frames(0)
    mask = PublishedMotionMask(settings)

    for image in images:
        motion = mask.update(image)

    window = torch.from_numpy(images[-settings.window :].astype(np.float32))
    difference = (window[-1] - window[::3].median(dim=0).values).abs()
    is_moving = (difference > difference.mean() + settings.alpha * difference.std()).float()[None]
    eroded = -F.max_pool2d(-F.pad(is_moving, (1, 0, 1, 0)), 2, stride=1)
    dilated = F.max_pool2d(eroded, 2 * settings.radius + 1, stride=1, padding=settings.radius)
    np.testing.assert_array_equal(motion.mask, dilated[0].numpy() > 0)


def test_published_mask_keeps_previous_heat_active() -> None:
    mask = PublishedMotionMask(PublishedMotionSettings(alpha=5, radius=1))
    heat = np.zeros((80, 96), np.float32)
    heat[60, 70] = 0.2

    motion = mask.update(make_frames(1)[0], heat)

    expected = np.zeros((80, 96), bool)
    expected[59:62, 69:72] = True
    np.testing.assert_array_equal(motion.mask, expected)
