"""The function `train_spax` and the command `rstrack train spax`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from spax_ros.network.config import VARIANTS, SpaxConfig
from spax_ros.network.network import SpaxNetwork
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import SpaxTracker
from spax_ros.training.run import TrainSpaxOptions, train_spax
from spax_ros.weights import load_spax, save_spax
from tracking_runtime.cli import rstrack
from tracking_runtime.models.checkpoints import read_checkpoint
from tracking_runtime.models.manifest import load_model

CONFIG = replace(VARIANTS["small"], widths=(4, 4, 4, 4), head_width=4)


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["train", "spax", *map(str, arguments)])


def test_function_trains_writes_model_and_history(clip_folder: Path, tmp_path: Path) -> None:
    options = TrainSpaxOptions(
        clips=clip_folder,
        simulated=0,
        folder=tmp_path / "run",
        models=tmp_path / "models",
        name="trained",
        steps=1,
        batch=1,
    )

    manifest_path = train_spax(options)

    assert manifest_path == tmp_path / "models" / "trained.yaml"
    manifest = load_model(manifest_path, "spax").manifest
    assert manifest.training["data"] == ["0 simulated clips"]
    assert manifest.training["settings"]["seed"] == 317
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"checkpoint.pt", "history.jsonl"} <= files


def test_refined_model_stays_near_its_base_model(clip_folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    network = SpaxNetwork(CONFIG)
    base_model = save_spax(models, "tiny", replace(CONFIG, memory="window"), network.state_dict())
    paths = ["--clips", clip_folder, "--folder", tmp_path / "run", "--models", models]

    result = run_command("--from", base_model, "--simulated", 0, "--steps", 1, *paths)

    assert result.exit_code == 0, result.output
    model = load_model(models / "tiny_refined.yaml", "spax")
    assert model.manifest.training["begun_from"] == str(base_model)
    assert SpaxConfig.from_parameters(model.manifest.parameters) == CONFIG
    for name, value in network.named_parameters():
        torch.testing.assert_close(model.weights[name], value, atol=1e-3, rtol=0)


def test_network_with_accumulation_begins_as_its_base_model(tmp_path: Path) -> None:
    network = SpaxNetwork(CONFIG)
    base_model = save_spax(tmp_path / "models", "tiny", CONFIG, network.state_dict())
    options = TrainSpaxOptions(
        base_model=str(base_model),
        accumulate=True,
        clips=tmp_path / "clips",
        simulated=1,
        scenes="mixed",
        folder=tmp_path / "run",
        models=tmp_path / "models",
        steps=1,
        batch=1,
    )

    model = load_spax(train_spax(options) or "")

    assert model.config == replace(CONFIG, inputs="gray_residual_velocity")
    weight = model.network.state_dict()["stem.0.conv.weight"]
    assert weight.shape == (4, 5, 3, 3)
    assert float(weight[:, 2:].abs().max()) < 0.01
    assert [path.name for path in (tmp_path / "clips").iterdir()] == [
        "gray_residual_velocity-mixed-00000.npz"
    ]
    tracker = SpaxTracker(model)
    for frame in SatelliteScene(1, 3, 128):
        assert tracker.track(frame.image, frame.stamp_ns).motion_mask.shape == (128, 128)


def test_accumulation_of_a_published_variant_is_an_error(tmp_path: Path) -> None:
    arguments = ["--variant", "base_satvideodt", "--accumulate", "--models", tmp_path]

    result = run_command(*arguments)

    assert result.exit_code == 1
    assert "--variant small or light" in result.output


def test_missing_device_is_named(clip_folder: Path, tmp_path: Path) -> None:
    paths = ["--clips", clip_folder, "--folder", tmp_path / "run"]

    result = run_command("--device", "cuda:99", "--simulated", 0, *paths)

    assert result.exit_code == 1
    assert "cuda:99" in result.output


@pytest.mark.slow
def test_two_processes_train_one_model(
    clip_folder: Path, tmp_path: Path, torchrun: Callable[[int], list[str]]
) -> None:
    models = tmp_path / "models"
    command = [sys.executable, *torchrun(2), "-m", "tracking_runtime.cli", "train", "spax"]
    sizes = ["--simulated", "0", "--steps", "2", "--batch", "1"]
    paths = ["--clips", str(clip_folder), "--folder", str(tmp_path / "run"), "--models", str(models)]

    result = subprocess.run(
        [*command, *sizes, *paths, "--name", "shared"], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.count("wrote") == 1
    assert load_spax(models / "shared.yaml").config == VARIANTS["small"]
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert (checkpoint["step"], checkpoint["clips_seen"]) == (2, 2)
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
