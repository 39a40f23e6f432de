"""Pseudo-labels and self-training on video without ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from spax_ros.network.config import VARIANTS
from spax_ros.network.network import SpaxNetwork
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import load_tracker
from spax_ros.training.pseudo_labels import (
    LabelRules,
    LabelTrack,
    collect_tracks,
    compute_agreement,
    compute_roughness,
    find_doubtful_boxes,
    is_label,
    label_frames,
)
from spax_ros.weights import save_spax
from tracking_runtime.cli import rstrack
from tracking_runtime.frames import GroundTruth
from tracking_runtime.models.manifest import load_model

RULES = LabelRules()


def make_track(
    speed: float = 1.0, num_frames: int = 20, jitter: float = 0.0, score: float = 0.6
) -> LabelTrack:
    frames = np.arange(num_frames)
    ground = np.stack([speed * frames, np.full(num_frames, 5.0)], axis=1)
    ground += np.random.default_rng(0).normal(0, jitter, ground.shape) if jitter else 0
    boxes = np.concatenate([ground, np.full((num_frames, 2), 8.0)], axis=1)
    return LabelTrack(2, frames, boxes, ground, np.full(num_frames, score))


def test_long_fast_smooth_track_is_a_label() -> None:
    assert is_label(make_track(), RULES)
    assert not is_label(make_track(speed=0.4), RULES)
    assert not is_label(make_track(num_frames=14), RULES)
    assert not is_label(make_track(jitter=2.0), RULES)
    assert not is_label(make_track(score=0.2), RULES)


def test_track_with_many_gaps_is_no_label() -> None:
    track = make_track(num_frames=40)
    some = np.flatnonzero(np.arange(40) % 2 == 0)

    flickering = LabelTrack(
        2, *(values[some] for values in (track.frames, track.boxes, track.ground, track.scores))
    )

    assert not is_label(flickering, RULES)


@given(st.floats(-2, 2), st.floats(-0.02, 0.02), st.integers(15, 60))
def test_roughness_of_a_parabola_is_nothing(speed: float, acceleration: float, number: int) -> None:
    track = make_track(num_frames=number)
    times = track.frames.astype(float)
    path = np.stack([speed * times + acceleration * times**2, -speed * times], axis=1)

    assert compute_roughness(replace(track, ground=path), 15) == pytest.approx(0, abs=1e-6)


def test_gaps_of_a_label_are_filled() -> None:
    track = make_track()
    kept = np.delete(np.arange(20), [7, 8])
    track = LabelTrack(
        2, *(values[kept] for values in (track.frames, track.boxes, track.ground, track.scores))
    )

    labels = label_frames([track, make_track(speed=0.1)], 25, RULES)

    assert [len(truth.ids) for truth in labels] == [1] * 20 + [0] * 5
    np.testing.assert_allclose(labels[8].boxes, [[8, 5, 8, 8]])
    assert labels[8].class_ids.tolist() == [2]


def test_doubtful_boxes_are_those_of_tracks_without_label() -> None:
    doubtful = find_doubtful_boxes([make_track(), make_track(speed=0.2), make_track(num_frames=4)], 20, RULES)

    assert [len(boxes) for boxes in doubtful] == [1] * 20


def test_agreement_is_the_share_of_equal_boxes() -> None:
    one = label_frames([make_track()], 20, RULES)
    both = label_frames(
        [make_track(), replace(make_track(), boxes=make_track().boxes + np.array([0, 60, 0, 0]))], 20, RULES
    )

    assert compute_agreement(one, one) == 1
    assert compute_agreement(one, both) == pytest.approx(2 / 3)
    assert compute_agreement([GroundTruth()], [GroundTruth()]) == 1


def test_tracks_of_a_scene_label_its_movers() -> None:
    scene = SatelliteScene(1_000_040, 30, 320)

    tracks = collect_tracks(load_tracker("spax_small", "pytorch"), scene)
    labels = label_frames(tracks, 30, RULES)

    num_labels = sum(len(truth.ids) for truth in labels)
    found = [
        compute_agreement([label], [frame.truth or GroundTruth()])
        for label, frame in zip(labels, scene, strict=True)
    ]
    assert num_labels > 20
    assert np.mean(found[8:]) > 0.5


def write_video(folder: Path, scene: SatelliteScene) -> None:
    folder.mkdir()
    for index, frame in enumerate(scene):
        cv2.imwrite(str(folder / f"{index:06d}.png"), frame.image)


@pytest.mark.slow
def test_command_trains_on_a_folder_without_ground_truth(tmp_path: Path) -> None:
    write_video(tmp_path / "video", SatelliteScene(1_000_040, 24, 256, density=150))
    arguments = [
        "--unlabelled",
        tmp_path / "video",
        "--simulated",
        1,
        "--steps",
        1,
        "--batch",
        1,
        "--rounds",
        2,
    ]
    paths = ["--clips", tmp_path / "clips", "--folder", tmp_path / "run", "--models", tmp_path / "models"]

    result = CliRunner().invoke(rstrack, ["train", "spax", *map(str, [*arguments, *paths])])

    assert result.exit_code == 0, result.output
    training = load_model(tmp_path / "models" / "spax_small_refined.yaml", "spax").manifest.training
    assert training["begun_from"] == "spax_small"
    assert training["rounds"][0]["labels"] > 0
    assert training["rounds"][-1]["agreement"] > 0.9


@pytest.mark.slow
def test_video_without_labels_is_an_error_that_names_it(tmp_path: Path) -> None:
    save_spax(tmp_path, "blank", VARIANTS["small"], SpaxNetwork(VARIANTS["small"]).state_dict())
    write_video(tmp_path / "video", SatelliteScene(5, 4, 128, density=0))
    options = [
        "--unlabelled",
        tmp_path / "video",
        "--from",
        tmp_path / "blank.yaml",
        "--folder",
        tmp_path / "run",
    ]

    result = CliRunner().invoke(rstrack, ["train", "spax", *map(str, options), "--simulated", "0"])

    assert result.exit_code == 1
    assert "video" in result.output
    assert "label" in result.output


def test_labelled_and_unlabelled_video_together_are_an_error() -> None:
    arguments = ["--unlabelled", "video.mp4", "--source", "labeled"]

    result = CliRunner().invoke(rstrack, ["train", "spax", *arguments])

    assert result.exit_code == 2
    assert "--unlabelled" in result.output
