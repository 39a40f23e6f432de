"""Tests of the fit of a tracker to videos, and of `rstrack train tracker`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hsi_tracker_ros.hanet.weights import load_color_network, load_network, save_network
from hsi_tracker_ros.tracker import make_tracker_settings
from hsi_tracker_ros.training.tracker_fitting import FitTrackerOptions, fit_tracker
from tracking_runtime.cli import rstrack
from tracking_runtime.errors import ModelError, SourceError


def ignore_progress(done: int, total: int) -> None:
    """Do nothing."""


def test_fit_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="give --data or --simulated"):
        fit_tracker(FitTrackerOptions("hanet_edge_vis16", (), "fitted", models=tmp_path), ignore_progress)


def test_fit_of_a_color_model_to_simulated_scenes_is_refused(tmp_path: Path) -> None:
    options = FitTrackerOptions("siamban_edge", (), "fitted", simulated=2, models=tmp_path)

    with pytest.raises(ModelError, match="models with a spectral branch"):
        fit_tracker(options, ignore_progress)


def test_fit_of_a_hanet_to_color_video_is_refused(dataset: Path, tmp_path: Path) -> None:
    options = FitTrackerOptions("hanet_edge_vis16", (dataset,), "fitted", models=tmp_path)

    with pytest.raises(SourceError, match="video a must have spectral bands"):
        fit_tracker(options, ignore_progress)


@pytest.fixture
def dataset(write_jumping_targets: Callable[[int], Path]) -> Path:
    return write_jumping_targets(16)


@pytest.mark.slow
def test_command_writes_a_model_with_fitted_tracker(dataset: Path, tmp_path: Path) -> None:
    network = load_color_network("hanet_edge_vis16")
    network.config = replace(network.config, tracking={"peak_width": 3.0, "score_logit": 0.8})
    model = save_network(tmp_path, "model", network)
    arguments = f"{model} --data {dataset} --name fitted --models {tmp_path} --engine pytorch".split()

    result = CliRunner().invoke(rstrack, ["train", "tracker", *arguments], catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert "expected calibration error" in result.output
    config = load_network(tmp_path / "fitted.yaml").config
    assert config.tracking["score_logit"] == 0.8
    fitted = make_tracker_settings(config).target_model
    assert fitted is not None
    assert fitted.view.response != 1.0
