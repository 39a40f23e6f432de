from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.network import SpaxNetwork
from spax_ros.training.clips import ClipPool
from spax_ros.training.trainer import SpaxTrainer, TrainingSettings
from spax_ros.weights import load_spax, save_spax
from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_checkpoint

CONFIG = replace(VARIANTS["small"], widths=(4, 4, 4, 4), head_width=4)
SETTINGS = TrainingSettings(steps=4, learning_rate=1e-3, batch=1, crop=64, unroll=2, stretches=1)


def make_trainer(
    clip_folder: Path,
    run_folder: Path,
    config: SpaxConfig = CONFIG,
    settings: TrainingSettings = SETTINGS,
    device: str = "cpu",
) -> SpaxTrainer:
    return SpaxTrainer(config, settings, ClipPool(clip_folder), run_folder, device=device)


def test_resumed_run_equals_uninterrupted_run(clip_folder: Path, tmp_path: Path) -> None:
    uninterrupted = make_trainer(clip_folder, tmp_path / "uninterrupted")
    losses = [step_losses["total"] for step_losses in uninterrupted.run()]

    interrupted = make_trainer(clip_folder, tmp_path / "interrupted")
    run = interrupted.run()
    first_losses = [next(run)["total"] for _ in range(2)]
    interrupted.save()
    resumed = make_trainer(clip_folder, tmp_path / "interrupted")
    step_at_resume = resumed.step
    later_losses = [step_losses["total"] for step_losses in resumed.run()]

    assert step_at_resume == 2
    assert len(losses) == 4
    assert first_losses + later_losses == pytest.approx(losses)
    for name, value in uninterrupted.averaged_weights.items():
        torch.testing.assert_close(resumed.averaged_weights[name], value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*which is a no-op")  # as on PyTorch's own meta device
@pytest.mark.parametrize("variant", ["small", "base_satmtb"])
def test_resumed_run_is_equal_on_another_device(
    variant: str, clip_folder: Path, tmp_path: Path, other_device: str
) -> None:
    full_config = VARIANTS[variant]
    widths = (4,) * full_config.num_levels
    config = replace(full_config, inputs="gray_residual", widths=widths, head_width=4)
    trainer = make_trainer(clip_folder, tmp_path / "run", config)
    run = trainer.run()
    next(run)
    trainer.save()

    trainer_elsewhere = make_trainer(clip_folder, tmp_path / "run", config, device=other_device)
    losses_elsewhere = next(trainer_elsewhere.run())

    assert losses_elsewhere == pytest.approx(next(run), rel=1e-4)
    for name, value in trainer.averaged_weights.items():
        torch.testing.assert_close(trainer_elsewhere.averaged_weights[name].cpu(), value)


def test_state_is_carried_through_the_segments_of_a_clip(clip_folder: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, stretches=2)
    trainer = make_trainer(clip_folder, tmp_path / "run", settings=settings)
    segments = []
    compute_loss = trainer.compute_loss

    def record_segment(batch):
        segments.append(batch)
        return compute_loss(batch)

    trainer.compute_loss = record_segment  # type: ignore[method-assign]
    list(trainer.run())

    assert [segment.state is None for segment in segments] == [True, False, True, False]
    assert [segment.previous_frames is None for segment in segments] == [True, False, True, False]
    assert trainer.clips_seen == 2


def test_weights_of_another_network_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    other_weights = SpaxNetwork(replace(CONFIG, head_width=8)).state_dict()

    with pytest.raises(ModelError, match=r"(?s)not of the network.*head"):
        SpaxTrainer(CONFIG, SETTINGS, ClipPool(clip_folder), tmp_path, other_weights)


def test_normalization_is_frozen_from_settle_at_on(clip_folder: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=8, settle_at=0.5)
    trainer = make_trainer(clip_folder, tmp_path, settings=settings)

    statistics = []
    for _ in trainer.run():
        weights = trainer.network.state_dict()
        statistics.append({name: value.clone() for name, value in weights.items() if "running" in name})

    assert any(not torch.equal(value, statistics[3][name]) for name, value in statistics[0].items())
    for name, value in statistics[4].items():
        torch.testing.assert_close(value, statistics[7][name])
        torch.testing.assert_close(value, trainer.averaged_weights[name])


def test_checkpoint_of_another_network_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    make_trainer(clip_folder, tmp_path).save()

    with pytest.raises(ModelError, match=r"checkpoint\.pt is of another network"):
        make_trainer(clip_folder, tmp_path, replace(CONFIG, head_width=8))


def test_damaged_checkpoint_is_named_in_error(clip_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"junk")

    with pytest.raises(ModelError, match=r"checkpoint\.pt"):
        make_trainer(clip_folder, tmp_path)


def test_checkpoint_has_documented_keys(clip_folder: Path, tmp_path: Path) -> None:
    make_trainer(clip_folder, tmp_path).save()

    checkpoint = read_checkpoint(tmp_path / "checkpoint.pt")

    counters = ["step", "clips_seen"]
    assert list(checkpoint) == ["config", "settings", *counters, "weights", "averaged", "optimiser"]
    assert checkpoint["settings"] == vars(SETTINGS)


def test_trained_weights_become_a_model(clip_folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    trainer = make_trainer(clip_folder, tmp_path / "run", settings=replace(SETTINGS, steps=1))
    list(trainer.run())
    incomplete_weights = dict(trainer.averaged_weights)
    incomplete_weights.pop("mask_layer.weight")

    path = save_spax(models, "tiny", CONFIG, trainer.averaged_weights, training=trainer.describe())
    incomplete_path = save_spax(models, "broken", CONFIG, incomplete_weights)

    assert load_spax(path).config == CONFIG
    with pytest.raises(ModelError, match=r"(?s)broken\.yaml.*mask_layer"):
        load_spax(incomplete_path)


@pytest.mark.parametrize("variant", ["light", "small"])
def test_shipped_model_has_the_config_of_its_variant(variant: str) -> None:
    assert load_spax(f"spax_{variant}").config == VARIANTS[variant]
