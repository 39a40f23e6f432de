"""Tests of the fit of scores to videos, and of the command `rstrack train scores`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import expit, logit

from hsi_tracker_ros.hanet.weights import load_color_network, load_network, save_network
from hsi_tracker_ros.tracker import SIAMBAN, TrackerSettings, make_tracker_settings
from hsi_tracker_ros.training.score_fitting import ScoredFrames, ScoreFit, fit_scores
from tracking_runtime.cli import rstrack
from tracking_runtime.errors import ModelError, SourceError


def draw_frames(scale: float, offset: float, count: int = 4000) -> ScoredFrames:
    """Return frames whose boxes are correct with a known probability."""
    rng = np.random.default_rng(0)
    log_odds = rng.normal(0, 3, count)
    is_correct = rng.random(count) < expit(scale * log_odds + offset)
    return ScoredFrames(log_odds, np.where(is_correct, 0.8, 0.1))


@pytest.mark.parametrize(("scale", "offset"), [(0.3, 1.0), (1.0, 0.0), (2.0, -1.5)])
def test_fit_finds_scale_and_offset(scale: float, offset: float) -> None:
    frames = draw_frames(scale, offset)

    fit = fit_scores(frames)

    assert fit.scale == pytest.approx(scale, rel=0.15)
    assert fit.offset == pytest.approx(offset, abs=0.15)
    assert fit.count_reliability(frames).expected_calibration_error < 0.03


@pytest.mark.parametrize("overlaps", [[0.9, 0.8], [0.1, np.nan]])
def test_fit_of_one_kind_of_boxes_is_refused(overlaps: list[float]) -> None:
    with pytest.raises(SourceError, match="correct and with wrong"):
        fit_scores(ScoredFrames(np.array([1.0, 2.0]), np.array(overlaps)))


def test_fit_of_scores_that_say_nothing_is_refused() -> None:
    frames = draw_frames(-1.0, 0.0)

    with pytest.raises(SourceError, match="say nothing"):
        fit_scores(frames)


def test_fitted_settings_keep_the_ranks() -> None:
    settings = TrackerSettings()

    fitted = ScoreFit(0.5, 1.0).apply(settings)

    logits = np.array([-3.0, 0.5, 4.0])
    for before, after in ((settings, fitted),):
        ranks = [
            np.exp(each.score_logit * (logits - logits.max()) / each.peak_width) for each in (before, after)
        ]
        np.testing.assert_allclose(ranks[0], ranks[1])
    assert fitted.score_offset == 0.5 * settings.score_offset + 1.0
    assert logit(fitted.lost_score) == pytest.approx(0.5 * logit(settings.lost_score) + 1.0)


def test_fit_of_ranks_by_probability_is_refused() -> None:
    with pytest.raises(ModelError, match="peak_width"):
        ScoreFit(0.5, 1.0).apply(SIAMBAN)


@pytest.fixture
def dataset(write_jumping_targets: Callable[[int], Path]) -> Path:
    return write_jumping_targets(10)


@pytest.mark.slow
def test_command_writes_a_model_with_fitted_scores(dataset: Path, tmp_path: Path) -> None:
    network = load_color_network("hanet_edge_vis16")
    network.config = replace(network.config, tracking={"peak_width": 3.0, "score_logit": 0.8})
    model = save_network(tmp_path, "model", network)
    arguments = f"{model} --data {dataset} --name fitted --models {tmp_path} --engine pytorch".split()

    result = CliRunner().invoke(rstrack, ["train", "scores", *arguments], catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert "expected calibration error" in result.output
    settings = make_tracker_settings(load_network(tmp_path / "fitted.yaml").config)
    assert settings.peak_width / settings.score_logit == pytest.approx(3.0 / 0.8)
    assert settings.score_logit != 0.8
