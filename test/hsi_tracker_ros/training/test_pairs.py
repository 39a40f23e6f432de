from dataclasses import replace

import numpy as np
import pytest
import torch

from hsi_tracker_ros.hanet.config import HANET_EDGE
from hsi_tracker_ros.hanet.crops import compute_template_side
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.training.pairs import AugmentationSettings, PairDataset, stack_pairs
from hsi_tracker_ros.training.trainer import HANetTrainer

STEADY = AugmentationSettings(search_shift=0, search_scale=0, template_shift=0, template_scale=0, unpaired=0)


def test_pair_shows_the_target_in_its_box(clips):
    pair = PairDataset(clips, HANET_EDGE, STEADY, seed=0, length=1)[0]

    left, top, right, bottom = pair.box.tolist()
    side = compute_template_side(np.array([0, 0, right - left, bottom - top]))
    assert np.isclose((left + right) / 2, 127.5, atol=1e-3)
    assert np.isclose(side, 127, rtol=1e-3)
    assert pair.template_image.shape == (3, 127, 127)
    assert pair.search_cube.shape[1:] == (127, 127)


def test_pair_depends_on_seed_and_index_alone(clips):
    dataset, equal_dataset = (
        PairDataset(clips, HANET_EDGE, AugmentationSettings(), seed=5, length=9) for _ in range(2)
    )

    assert torch.equal(dataset[7].search_image, equal_dataset[7].search_image)
    assert not torch.equal(dataset[7].search_image, dataset[6].search_image)


def test_search_crop_elsewhere_does_not_show_the_target(clips):
    augmentation = AugmentationSettings(unpaired=0, elsewhere=1)
    dataset = PairDataset(clips, HANET_EDGE, augmentation, seed=0, length=12)

    pairs = [dataset[index] for index in range(12)]

    assert not all(pair.is_paired for pair in pairs)
    for pair in pairs:
        left, top, right, bottom = pair.box.tolist()
        is_outside = right < 0 or bottom < 0 or left > 255 or top > 255
        assert is_outside != bool(pair.is_paired)


def test_batch_has_the_bands_of_its_widest_camera(clips):
    dataset = PairDataset(clips, HANET_EDGE, AugmentationSettings(), seed=0, length=6)

    batch = stack_pairs([dataset[index] for index in range(6)])

    band_counts = (batch.wavelengths_nm > 0).sum(dim=1)
    assert batch.search_cube.shape[1] == band_counts.max()
    for cube, num_bands in zip(batch.search_cube, band_counts, strict=True):
        assert not cube[num_bands:].any()


def test_dataset_refuses_network_without_spectral_branch(clips):
    config = replace(HANET_EDGE, spectral=None)

    with pytest.raises(ValueError, match="spectral branch"):
        PairDataset(clips, config, AugmentationSettings(), seed=0, length=1)


@pytest.mark.slow
def test_cameras_of_1_to_256_bands_train_together(tmp_path, make_random_clip, recipe):
    clips = [make_random_clip(num_bands) for num_bands in (1, 4, 100, 256)]
    augmentation = AugmentationSettings(blur=1)

    pairs = [PairDataset([clip], HANET_EDGE, augmentation, seed=0, length=1)[0] for clip in clips]
    batch = stack_pairs(pairs[1:3])
    trainer = HANetTrainer(HANet(HANET_EDGE), clips, replace(recipe, steps=2, batch=4), tmp_path)
    losses = list(trainer.run())

    assert [len(pair.search_cube) for pair in pairs] == [1, 4, 100, 256]
    assert batch.template_cube.shape == (2, 100, 63, 63)
    assert batch.search_cube.shape == (2, 100, 127, 127)
    for number, pair in enumerate(pairs[1:3]):
        num_bands = len(pair.wavelengths_nm)
        for name in ("template_cube", "search_cube", "wavelengths_nm"):
            assert torch.equal(getattr(batch, name)[number, :num_bands], getattr(pair, name))
            assert not getattr(batch, name)[number, num_bands:].any()
    assert len(losses) == 2
    assert all(np.isfinite(list(step_losses.values())).all() for step_losses in losses)
