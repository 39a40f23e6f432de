"""The benchmark's contenders do what their names say, and its command tells what they did."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from spax_ros.association import TrackState
from spax_ros.association.cost import iou_cost, scored_iou_cost
from spax_ros.benchmark.classical import ClassicalTracker, FrameDifference, MixtureOfGaussians, MovingPixels
from spax_ros.benchmark.dense_tracker import DenseTracker
from spax_ros.benchmark.run import Costs
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import SpaxTracker
from spax_ros.weights import load_spax
from tracking_runtime.boxes import centres, intersection_over_union
from tracking_runtime.cli import main


def test_the_masked_dense_network_finds_what_the_packed_one_finds() -> None:
    model = load_spax("spax_small")
    packed, dense = SpaxTracker(model), DenseTracker(model, masked=True)
    found = 0
    for frame in SatelliteScene(1002, 9, 160, density=150):
        for tracker in (packed, dense):
            tracker.track(frame.image, frame.stamp_ns)
        few, all_ = packed.detections, dense.detections
        assert len(few) == len(all_)
        np.testing.assert_allclose(few.boxes, all_.boxes, atol=1e-2)
        np.testing.assert_allclose(few.scores, all_.scores, atol=1e-4)
        found += len(few)
    assert found > 5
    assert packed.operations < 0.3 * dense.operations


def test_overlap_costs() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.column_stack([rng.uniform(0, 9, (20, 2)), rng.uniform(1, 9, (20, 2))]) for _ in range(2))
    scores = rng.uniform(0, 1, 20).astype(np.float32)
    overlap = np.diag(intersection_over_union(a, b))
    np.testing.assert_allclose(iou_cost(a, b, scores), 1 - overlap)
    np.testing.assert_allclose(scored_iou_cost(a, b, scores), 1 - overlap * scores, atol=1e-6)


@pytest.mark.parametrize("kind", [FrameDifference, MixtureOfGaussians])
def test_classical_detectors_follow_a_bright_mover_on_a_drifting_ground(kind: type[MovingPixels]) -> None:
    coarse = np.random.default_rng(1).uniform(60, 120, (60, 80)).astype(np.float32)
    ground = cv2.resize(coarse, (480, 360), interpolation=cv2.INTER_CUBIC)
    tracker = ClassicalTracker(kind())
    for index in range(24):
        image = np.ascontiguousarray(ground[20 + index : 220 + index, 30:280]).astype(np.uint8)
        x, y = 40 + 3 * index, 150 - 2 * index
        image[y : y + 6, x : x + 10] = 230
        tracks = tracker.track(image, index * 100_000_000)
    seen = tracks.boxes[tracks.states == TrackState.CONFIRMED]
    assert np.linalg.norm(centres(seen) - [x + 5, y + 3], axis=1).min() < 5


def test_cost_is_a_line() -> None:
    constant, slope = Costs((100, 200, 400), (6.0, 7.0, 9.0)).line()
    assert (constant, slope) == pytest.approx((5.0, 0.01))


def test_the_command_compares_and_writes(tmp_path: Path) -> None:
    command = ["bench", "satellite", "--frames", "5", "--size", "96", "--output", str(tmp_path), "--clips"]
    done = CliRunner().invoke(main, [*command, "1"])
    assert done.exit_code == 0, done.output
    assert "frame differencing" in done.output
    content = json.loads((tmp_path / "satellite.json").read_text())
    results = {result["name"]: result for result in content["results"]}
    assert content["results"][0]["name"] == "SPAX"
    assert results["SPAX"]["operations"] < results["whole dense network"]["operations"]
    assert {each["exchanged"] for each in results.values()} == {
        "", "execution", "memory", "association", "detector",
    }  # fmt: skip
    assert cv2.imread(str(tmp_path / "satellite.png")) is not None
    assert "nothing to run over" in CliRunner().invoke(main, [*command, "0"]).output
