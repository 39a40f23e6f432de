"""Tests of `train_rgb` and of the command `rstrack train rgb`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hsi_tracker_ros.hanet.config import HANET_EDGE, HANetConfig
from hsi_tracker_ros.hanet.network import SiameseNetwork
from hsi_tracker_ros.hanet.weights import load_color_network, save_network
from hsi_tracker_ros.photographs import Photograph, find_photographs
from hsi_tracker_ros.tracker import load_rgb_tracker
from hsi_tracker_ros.training.object_images import read_color_image
from hsi_tracker_ros.training.options import TrainRgbOptions
from hsi_tracker_ros.training.rgb_trainer import RGB_RECIPE, RgbTrainer
from tracking_runtime.cli import rstrack
from tracking_runtime.errors import ModelError
from tracking_runtime.models.manifest import read_manifest

RECIPE = replace(RGB_RECIPE, steps=3, batch=2)


@pytest.fixture
def photograph_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        coarse = rng.integers(0, 255, (12, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (160, 120)))
    return folder


@pytest.fixture
def photographs(photograph_folder: Path) -> list[Photograph]:
    return find_photographs(photograph_folder)


def make_trainer(
    photographs: list[Photograph], folder: Path, teacher: SiameseNetwork | None = None
) -> RgbTrainer:
    torch.manual_seed(0)
    network = SiameseNetwork(replace(HANET_EDGE, spectral=None))
    return RgbTrainer(network, [], photographs, RECIPE, folder, teacher=teacher, precision=torch.float32)


@pytest.mark.slow
def test_trainer_resumed_ends_with_the_same_weights(photographs: list[Photograph], tmp_path: Path) -> None:
    whole = make_trainer(photographs, tmp_path / "whole")
    list(whole.run())
    part = make_trainer(photographs, tmp_path / "part")
    next(part.run())
    part.save()

    resumed = make_trainer(photographs, tmp_path / "part")
    assert resumed.step == 1
    list(resumed.run())

    expected = whole.export_network().state_dict()
    for key, value in resumed.export_network().state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0)


@pytest.mark.slow
def test_trainer_teacher_loss_is_lowest_for_the_teacher_itself(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    teacher = load_color_network("hanet_edge_vis16")
    random_trainer = make_trainer(photographs, tmp_path / "random", teacher)
    teacher_copy = load_color_network("hanet_edge_vis16")
    same_trainer = RgbTrainer(teacher_copy, [], photographs, RECIPE, tmp_path / "same", teacher=teacher)
    batch = next(random_trainer.draw_batches())

    losses = []
    for trainer in (random_trainer, same_trainer):
        trainer.prepare_step()
        losses.append(trainer.compute_loss(batch)[1]["teacher"])

    assert losses[1] < losses[0]


@pytest.mark.slow
def test_trainer_learns_responses_and_boxes_of_the_original(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    original = load_color_network("hanet_edge_vis16")
    copy = load_color_network("hanet_edge_vis16")
    with torch.no_grad():
        copy.rgb.get_parameter("head.box4.loc.head.3.bias").add_(0.5)  # wrong boxes, right responses
    losses = []
    for network in (load_color_network("hanet_edge_vis16"), copy):
        trainer = RgbTrainer(
            network,
            [],
            photographs,
            RECIPE,
            tmp_path,
            original=original,
            precision=torch.float32,
        )
        trainer.prepare_step()
        assert not any(module.training for module in network.modules())
        losses.append(trainer.compute_loss(next(trainer.draw_batches()))[1]["original"])

    assert losses[0] < losses[1]


@pytest.mark.slow
@pytest.mark.parametrize("light", [(), ("--light",)])
def test_command_trains_a_model_that_tracks(
    photograph_folder: Path, tmp_path: Path, light: tuple[str, ...]
) -> None:
    original = SiameseNetwork(replace(HANET_EDGE, spectral=None))
    save_network(tmp_path, "original", original)
    arguments = (
        f"--photographs {photograph_folder} --steps 2 --batch 2 --folder {tmp_path / 'run'} "
        f"--models {tmp_path} --name mine --from {tmp_path / 'original.yaml'} --teacher hanet_edge_vis16"
    ).split()
    arguments += light

    result = CliRunner().invoke(rstrack, ["train", "rgb", *arguments], catch_exceptions=False)

    assert result.exit_code == 0, result.output
    training = read_manifest(tmp_path / "mine.yaml").training
    assert training["steps_done"] == 2
    assert training["teacher"] == "hanet_edge_vis16"
    assert training["data"] == [str(photograph_folder)]
    history = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    assert set(history[0]) == {"step", "rate", "cls", "box", "teacher", *(["original"] if light else [])}
    assert load_color_network(tmp_path / "mine.yaml").config.separable_search == bool(light)
    tracker = load_rgb_tracker(tmp_path / "mine.yaml", "pytorch")
    image = read_color_image(photograph_folder / "0.png")
    tracker.set_target(image, (40, 40, 30, 20))
    (state,) = tracker.track(image, 1)
    assert np.isfinite(state.box).all()


def test_teacher_with_other_crops_is_refused(photographs: list[Photograph], tmp_path: Path) -> None:
    teacher = SiameseNetwork(HANetConfig(backbone="fear_xs"))

    with pytest.raises(ModelError, match="fear_xs"):
        make_trainer(photographs, tmp_path, teacher)


def test_options_without_data_are_refused() -> None:
    with pytest.raises(ValueError, match="--photographs"):
        TrainRgbOptions()

    result = CliRunner().invoke(rstrack, ["train", "rgb"])

    assert result.exit_code == 2
    assert "--photographs" in result.output


def test_light_without_a_model_to_fit_is_refused(photograph_folder: Path) -> None:
    arguments = ["train", "rgb", "--photographs", str(photograph_folder), "--light"]

    result = CliRunner().invoke(rstrack, arguments)

    assert result.exit_code == 2
    assert "--from" in result.output
