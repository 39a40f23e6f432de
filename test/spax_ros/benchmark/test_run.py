"""Tests of the satellite benchmark: its trackers, its metrics and the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from spax_ros.association import TrackState
from spax_ros.association.cost import compute_iou_cost, compute_scored_iou_cost
from spax_ros.benchmark.classical import ClassicalTracker, FrameDifference, MixtureOfGaussians, MotionDetector
from spax_ros.benchmark.dense_tracker import DenseTracker
from spax_ros.benchmark.run import FrameCosts
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import SpaxTracker
from spax_ros.weights import load_spax
from tracking_runtime.boxes import compute_centers, intersection_over_union
from tracking_runtime.cli import rstrack


def test_masked_dense_network_equals_sparse_network() -> None:
    model = load_spax("spax_small")
    sparse_tracker = SpaxTracker(model)
    dense_tracker = DenseTracker(model, is_masked=True)

    num_detections = 0
    for frame in SatelliteScene(1002, 9, 160, density=150):
        sparse = sparse_tracker.track(frame.image, frame.stamp_ns)
        dense = dense_tracker.track(frame.image, frame.stamp_ns)
        assert len(sparse.detections) == len(dense.detections)
        np.testing.assert_allclose(sparse.detections.boxes, dense.detections.boxes, atol=1e-2)
        np.testing.assert_allclose(sparse.detections.scores, dense.detections.scores, atol=1e-4)
        num_detections += len(sparse.detections)

    assert num_detections > 5
    assert sparse.operations < 0.3 * dense.operations


def test_iou_costs_equal_overlaps_of_paired_boxes() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.column_stack([rng.uniform(0, 9, (20, 2)), rng.uniform(1, 9, (20, 2))]) for _ in range(2))
    scores = rng.uniform(0, 1, 20).astype(np.float32)

    overlaps = np.diag(intersection_over_union(a, b))

    np.testing.assert_allclose(compute_iou_cost(a, b, scores), 1 - overlaps)
    np.testing.assert_allclose(compute_scored_iou_cost(a, b, scores), 1 - overlaps * scores, atol=1e-6)


@pytest.mark.parametrize("detector_class", [FrameDifference, MixtureOfGaussians])
def test_classical_tracker_finds_object_under_camera_motion(detector_class: type[MotionDetector]) -> None:
    coarse = np.random.default_rng(1).uniform(60, 120, (60, 80)).astype(np.float32)
    background = cv2.resize(coarse, (480, 360), interpolation=cv2.INTER_CUBIC)
    tracker = ClassicalTracker(detector_class())

    for index in range(24):
        image = np.ascontiguousarray(background[20 + index : 220 + index, 30:280]).astype(np.uint8)
        x, y = 40 + 3 * index, 150 - 2 * index
        image[y : y + 6, x : x + 10] = 230
        tracks = tracker.track(image, index * 100_000_000)

    confirmed = tracks.boxes[tracks.states == TrackState.CONFIRMED]
    assert np.linalg.norm(compute_centers(confirmed) - [x + 5, y + 3], axis=1).min() < 5


def test_frame_costs_fit_line() -> None:
    costs = FrameCosts((100, 200, 400), (6.0, 7.0, 9.0))

    assert costs.fit_line() == pytest.approx((5.0, 0.01))


@pytest.mark.slow
def test_bench_satellite_prints_table_and_writes_files(tmp_path: Path) -> None:
    command = ["bench", "satellite", "--frames", "5", "--size", "96", "--output", str(tmp_path), "--clips"]

    result = CliRunner().invoke(rstrack, [*command, "1"])
    without_clips = CliRunner().invoke(rstrack, [*command, "0"])

    assert result.exit_code == 0, result.output
    assert "frame differencing" in result.output
    content = json.loads((tmp_path / "satellite.json").read_text())
    results = {tracker["name"]: tracker for tracker in content["results"]}
    assert content["results"][0]["name"] == "SPAX"
    assert results["SPAX"]["operations"] < results["whole dense network"]["operations"]
    exchanged = {tracker["exchanged"] for tracker in results.values()}
    assert exchanged == {"", "execution", "memory", "association", "detector"}
    assert cv2.imread(str(tmp_path / "satellite.png")) is not None
    assert "nothing to run over" in without_clips.output
