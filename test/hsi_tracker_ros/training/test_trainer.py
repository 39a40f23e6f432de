import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from hsi_tracker_ros.hanet.config import HANET_EDGE
from hsi_tracker_ros.hanet.network import HANet
from hsi_tracker_ros.hanet.weights import load_network, save_network
from hsi_tracker_ros.training.trainer import PAPER_RECIPE, HANetTrainer, load_network_to_refine
from tracking_runtime.errors import ModelError
from tracking_runtime.models.checkpoints import read_checkpoint


def copy_weights(trainer):
    return {key: value.clone() for key, value in trainer.export_network().state_dict().items()}


@pytest.mark.slow
def test_resumed_run_equals_uninterrupted_run(make_trainer, tmp_path):
    uninterrupted = make_trainer(tmp_path / "uninterrupted")
    losses = list(uninterrupted.run())

    interrupted = make_trainer(tmp_path / "interrupted")
    first_losses = list(islice(interrupted.run(), 2))
    interrupted.save()
    resumed = make_trainer(tmp_path / "interrupted")
    step_at_resume = resumed.step
    later_losses = list(resumed.run())

    assert step_at_resume == 2
    assert len(losses) == 4
    assert all(np.isfinite(list(step_losses.values())).all() for step_losses in losses)
    assert first_losses + later_losses == losses
    resumed_weights = copy_weights(resumed)
    for key, value in copy_weights(uninterrupted).items():
        assert torch.equal(value, resumed_weights[key]), key


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*which is a no-op")  # as on PyTorch's own meta device
def test_resumed_run_is_equal_on_another_device(make_trainer, tmp_path, other_device):
    trainer = make_trainer(tmp_path)
    run = trainer.run()
    next(run)
    trainer.save()

    trainer_elsewhere = make_trainer(tmp_path, device=other_device)
    losses_elsewhere = next(trainer_elsewhere.run())

    assert losses_elsewhere == pytest.approx(next(run), rel=1e-4)
    weights_elsewhere = trainer_elsewhere.export_network().state_dict()
    for key, value in copy_weights(trainer).items():
        torch.testing.assert_close(weights_elsewhere[key].cpu(), value, msg=key)


@pytest.mark.slow
def test_training_keeps_first_layers_and_batch_statistics(make_trainer, tmp_path):
    trainer = make_trainer(tmp_path)
    backbone = trainer.export_network().rgb.backbone
    before = {key: value.clone() for key, value in backbone.state_dict().items()}

    list(trainer.run())

    after = trainer.export_network().rgb.backbone.state_dict()
    statistic, weight = "stages.3.0.layers.1.running_mean", "stages.3.0.layers.0.weight"
    assert torch.equal(before["stem.0.weight"], after["stem.0.weight"])
    assert torch.equal(before[statistic], after[statistic])
    assert not torch.equal(before[weight], after[weight])


def test_checkpoint_of_another_network_is_refused(make_trainer, clips, recipe, tmp_path):
    make_trainer(tmp_path).save()
    other_network = HANet(replace(HANET_EDGE, channels=64))

    with pytest.raises(ModelError, match=r"checkpoint\.pt is of another network"):
        HANetTrainer(other_network, clips, recipe, tmp_path)


def test_checkpoint_has_documented_keys(make_trainer, tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.save()

    checkpoint = read_checkpoint(tmp_path / "checkpoint.pt")

    assert list(checkpoint) == ["step", "network", "optimizer", "average", "config"]
    assert json.loads(checkpoint["config"]) == trainer.network.config.to_parameters()
    assert [group["share"] for group in checkpoint["optimizer"]["param_groups"]] == [1.0, 0.2]


def test_paper_recipe_has_the_published_learning_rates():
    steps = range(0, PAPER_RECIPE.steps, 1000)

    max_rate = max(PAPER_RECIPE.compute_learning_rate(step) for step in steps)
    final_rate = PAPER_RECIPE.compute_learning_rate(PAPER_RECIPE.steps - 1)

    assert np.isclose(max_rate, 1e-3, rtol=1e-2)
    assert np.isclose(final_rate, 5e-4, rtol=1e-3)


def test_paper_recipe_trains_the_branches_in_turn(make_trainer, recipe, tmp_path):
    recipe = replace(recipe, steps=2, stages=(("rgb",), ("spectral",)), average=0.0)
    trainer = make_trainer(tmp_path, recipe)

    weights = [copy_weights(trainer)]
    for _ in trainer.run():
        weights.append(copy_weights(trainer))

    def is_changed(branch, before, after):
        names = [name for name in before if name.startswith(branch)]
        return any(not torch.equal(before[name], after[name]) for name in names)

    assert recipe.total_steps == 4
    paper_branches = [PAPER_RECIPE.find_trained_branches(step) for step in (0, PAPER_RECIPE.steps)]
    assert paper_branches == [("rgb",), ("spectral",)]
    first_stage = (weights[0], weights[2])
    second_stage = (weights[2], weights[4])
    assert is_changed("rgb.", *first_stage)
    assert not is_changed("spectral.", *first_stage)
    assert not is_changed("rgb.", *second_stage)
    assert is_changed("spectral.", *second_stage)


def test_unknown_optimizer_is_refused(make_trainer, recipe, tmp_path):
    with pytest.raises(ValueError, match="sgd or adamw"):
        make_trainer(tmp_path, replace(recipe, optimizer="lion"))


def test_models_that_cannot_be_refined_are_named(tmp_path):
    rgb_network = load_network("hanet_edge_any").extract_rgb_network()
    rgb_model = save_network(tmp_path, "pictures", rgb_network)

    with pytest.raises(ModelError, match=r"pictures.*--rgb"):
        load_network_to_refine(str(rgb_model))
    with pytest.raises(ModelError, match=r"hanet_edge_vis16.*--from hanet_edge_any --camera"):
        load_network_to_refine("hanet_edge_vis16")
