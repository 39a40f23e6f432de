"""The function `train_hanet` and the command `rstrack train hanet`."""

import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from hsi_tracker_ros.cubes.camera_presets import find_camera_preset
from hsi_tracker_ros.hanet.weights import load_network
from hsi_tracker_ros.tracker import load_tracker
from hsi_tracker_ros.training.run import TrainHanetOptions, train_hanet
from hsi_tracker_ros.training.trainer import REFINEMENT_RECIPE
from tracking_runtime.cli import rstrack
from tracking_runtime.models.manifest import read_manifest


def run_in_process(*arguments):
    return CliRunner().invoke(rstrack, ["train", "hanet", *map(str, arguments)])


def run_as_subprocess(*arguments, launcher=()):
    command = [sys.executable, *launcher, "-m", "tracking_runtime.cli", "train", "hanet"]
    command += map(str, arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_function_trains_writes_model_and_history(clip_folder, tmp_path):
    options = TrainHanetOptions(
        clips=clip_folder,
        count=0,
        folder=tmp_path / "run",
        models=tmp_path,
        name="trained",
        steps=1,
        batch=2,
    )

    manifest_path = train_hanet(options)

    assert manifest_path == tmp_path / "trained.yaml"
    assert read_manifest(manifest_path).training["steps_done"] == 1
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"checkpoint.pt", "history.jsonl"} <= files


def test_refined_model_stays_near_its_base_model(clip_folder, tmp_path):
    arguments = ["--from", "hanet_edge_any", "--camera", "vis16", "--steps", 1, "--batch", 2, "--count", 0]
    paths = ["--clips", clip_folder, "--folder", tmp_path / "run", "--models", tmp_path]

    result = run_in_process(*arguments, *paths)

    assert result.exit_code == 0, result.output
    manifest = read_manifest(tmp_path / "hanet_edge_any_refined.yaml")
    assert manifest.training["initial_weights"] == "model hanet_edge_any"
    assert manifest.training["recipe"]["learning_rate"] == REFINEMENT_RECIPE.learning_rate
    camera = find_camera_preset("vis16")
    base_weights = load_network("hanet_edge_any").bake(camera.wavelengths_nm).state_dict()
    weights = load_network(tmp_path / "hanet_edge_any_refined.yaml").state_dict()
    names = [name for name in base_weights if name.endswith("weight")]
    assert 0 < max((weights[name] - base_weights[name]).abs().max() for name in names) < 0.01


def test_options_from_and_rgb_exclude_each_other():
    result = run_in_process("--from", "hanet_edge_any", "--rgb", "hanet_edge_any")

    assert result.exit_code == 2
    assert "--rgb" in result.output


@pytest.mark.parametrize(("rows", "reason"), [(-1, "whole number|periods|4 x 4"), (-4, "shape")])
def test_recording_with_a_truncated_frame_is_named(rows, reason, hot_folder, tmp_path):
    root = shutil.copytree(hot_folder, tmp_path / "train")
    truncated = root / "scene900002" / "HSI" / "0011.png"
    cv2.imwrite(str(truncated), cv2.imread(str(truncated), cv2.IMREAD_UNCHANGED)[:rows])

    result = run_in_process("--count", "0", "--data", root, "--clips", tmp_path / "clips")

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "scene900002" in result.output
    assert "frame 11" in result.output
    assert re.search(reason, result.output)


@pytest.mark.slow
def test_recording_without_bands_is_named(tmp_path):
    (tmp_path / "video").mkdir()
    cv2.imwrite(str(tmp_path / "video" / "1.png"), np.zeros((32, 32, 3), np.uint8))

    result = run_as_subprocess("--count", 0, "--data", tmp_path / "video", "--clips", tmp_path / "clips")

    assert result.returncode == 1
    assert "video" in result.stderr
    assert "bands" in result.stderr


@pytest.mark.slow
def test_two_processes_train_one_model_from_recordings(hot_folder, tmp_path, torchrun):
    sizes = ["--count", 0, "--steps", 2, "--batch", 2]
    paths = ["--data", hot_folder, "--clips", tmp_path / "clips", "--folder", tmp_path / "run"]
    model = ["--models", tmp_path, "--name", "shared"]

    result = run_as_subprocess(*sizes, *paths, *model, launcher=torchrun(2))

    assert result.returncode == 0, result.stderr
    manifest = read_manifest(tmp_path / "shared.yaml")
    assert manifest.training["steps_done"] == 2
    assert str(hot_folder) in manifest.training["data"]
    bands = find_camera_preset("vis16")
    assert load_tracker(tmp_path / "shared.yaml", engine="pytorch", bands=bands)
