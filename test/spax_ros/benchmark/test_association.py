"""Tests of the benchmark of associations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from spax_ros.benchmark.association import (
    TruthVideo,
    compare_associations,
    list_associations,
    score_association,
    simulate_truth_video,
)
from spax_ros.benchmark.detection_errors import DetectionErrors
from tracking_runtime.cli import rstrack
from tracking_runtime.frames import GroundTruth

PERFECT = DetectionErrors(miss_rate=0, dropout_rate=0, false_alarms=0, jitter=0)


def make_video(num_frames: int = 60) -> TruthVideo:
    """Return 30 vehicles of 6 x 9 pixels on two lanes with opposite directions."""
    lanes = np.repeat([0, 1], 15)
    starts = np.tile(25.0 * np.arange(15), 2)
    truth = []
    for frame in range(num_frames):
        x = starts + np.where(lanes == 0, 1.2, -1.0) * frame + 100
        boxes = np.column_stack([x, 50 + 12 * lanes, np.full(30, 9.0), np.full(30, 6.0)])
        truth.append(GroundTruth(np.arange(1, 31), np.zeros(30, np.uint8), boxes))
    return TruthVideo("lanes", truth)


@pytest.mark.parametrize(
    ("name", "min_mota"), [("SPAX", 0.94), ("GTA as published", 0.97), ("SORT, 20 frames", 0.97)]
)
def test_perfect_detections_are_tracked_without_error(name: str, min_mota: float) -> None:
    scores = score_association([make_video()], list_associations()[name], PERFECT)

    assert scores.mota > min_mota  # a few scores are too low, and SPAX waits for evidence of motion
    assert scores.false_positives == 0
    assert scores.identity_switches == 0


def test_gta_keeps_more_identities_than_sort_over_dropouts() -> None:
    scores = compare_associations([make_video(), make_video()], DetectionErrors(seed=3), lambda: None)

    assert scores["GTA as published"].idf1 > scores["SORT"].idf1 + 0.03
    assert scores["GTA as published"].mota > scores["SORT"].mota
    assert scores["SORT"].truths == 2 * 60 * 30


def test_simulated_video_has_a_camera_motion_for_each_frame() -> None:
    video = simulate_truth_video(1_000_040, 4, 96)

    assert video.camera_motions is not None
    assert len(video.truth) == len(video.camera_motions) == 4


def test_bench_association_prints_table_and_writes_file(tmp_path: Path) -> None:
    rows = [
        f"{frame + 1},{track_id},{x:.1f},{y},9,6,1,1,1"
        for frame, objects in enumerate(make_video(20).truth)
        for track_id, (x, y, _, _) in zip(objects.ids, objects.boxes, strict=True)
    ]
    truth = tmp_path / "lanes.txt"
    truth.write_text("\n".join(rows) + "\n")

    result = CliRunner().invoke(
        rstrack, ["bench", "association", str(truth), "--clips", "0", "--output", str(tmp_path / "out")]
    )

    assert result.exit_code == 0, result.output
    assert "GTA as published" in result.output
    content = json.loads((tmp_path / "out" / "association.json").read_text())
    assert content["settings"]["errors"]["miss_rate"] == 0.1
    assert content["results"]["given videos"]["SPAX"]["truths"] == 600


def test_bench_association_without_video_is_refused() -> None:
    result = CliRunner().invoke(rstrack, ["bench", "association", "--clips", "0"])

    assert result.exit_code == 2
    assert "nothing to run over" in result.output


def test_bench_association_without_truth_names_the_video(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("1,1,5,5,6,6,0,1,1\n")

    result = CliRunner().invoke(
        rstrack, ["bench", "association", str(tmp_path / "empty.txt"), "--clips", "0"]
    )

    assert result.exit_code != 0
    assert "empty must have ground truth" in str(result.exception) + result.output
