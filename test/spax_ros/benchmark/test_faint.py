"""Recall of faint movers at equal false alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from spax_ros.benchmark.faint import (
    ACCUMULATED,
    RESIDUAL,
    DetectionLog,
    FaintOptions,
    find_map_peaks,
    find_movers,
    run_faint,
)
from tracking_runtime.cli import rstrack

NONE = np.zeros((0, 2))


def test_curve_counts_each_object_once_and_best_first() -> None:
    log = DetectionLog()
    movers = np.array([[10.0, 10], [50, 50]])
    centers = np.array([[11.0, 10], [12, 10], [90, 90], [50, 53]])

    log.add_frame(centers, np.array([0.5, 0.9, 0.8, 0.1]), movers, NONE)

    false_alarms, recall = log.compute_curve()
    assert false_alarms.tolist() == [0, 0, 1, 2, 2]  # 0.9 is right, 0.8 wrong, 0.5 a duplicate, 0.1 right
    assert recall.tolist() == [0, 0.5, 0.5, 0.5, 1]
    assert [log.compute_recall(value) for value in (0, 1, 2, 10)] == [0.5, 0.5, 1, 1]


def test_detections_of_objects_that_wait_do_not_count() -> None:
    log = DetectionLog()

    log.add_frame(np.array([[20.0, 20]]), np.array([0.9]), NONE, np.array([[21.0, 20]]))

    assert (log.scores, log.num_objects, log.num_frames) == ([], 0, 1)


@given(st.integers(0, 1000), st.integers(1, 30))
def test_recall_rises_with_false_alarms(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    log = DetectionLog()
    for _ in range(3):
        log.add_frame(rng.uniform(0, 40, (number, 2)), rng.random(number), rng.uniform(0, 40, (4, 2)), NONE)

    recalls = [log.compute_recall(value) for value in (0, 0.5, 1, 3, 10, 100)]

    assert recalls == sorted(recalls)
    assert 0 <= recalls[0] <= recalls[-1] <= 1
    assert log.num_objects == 12


@pytest.mark.parametrize("factor", [1, 2])
def test_peaks_are_the_highest_values_of_their_surroundings(factor: int) -> None:
    values = np.zeros((40, 60), np.float32)
    values[10, 20], values[10, 21], values[30, 50] = 3, 2, 5

    centers, scores = find_map_peaks(values, factor)

    assert centers.tolist() == [[50.5 * factor, 30.5 * factor], [20.5 * factor, 10.5 * factor]]
    assert scores.tolist() == [5, 3]


def test_movers_are_the_objects_that_move_over_the_ground() -> None:
    options = FaintOptions(num_frames=10, size_px=400)
    scene = options.make_scene(2.0, 4)
    num_movers = []

    for frame, movers, others in find_movers(scene):
        assert frame.truth is not None
        assert len(movers) + len(others) == len(frame.truth.ids)
        num_movers.append(len(movers))

    assert num_movers[:5] == [0] * 5
    assert sum(num_movers[5:]) > 10


def test_accumulation_finds_movers_that_the_difference_misses() -> None:
    options = FaintOptions(snrs=(2.0,), num_clips=1, first_seed=1_000_304, num_frames=26, size_px=384)

    (methods,) = run_faint({}, options).values()

    assert methods[ACCUMULATED].num_objects > 20
    assert methods[ACCUMULATED].compute_recall(3) > 0.6
    assert methods[RESIDUAL].compute_recall(3) < 0.4


@pytest.mark.slow
def test_command_writes_recalls_and_curves(tmp_path: Path) -> None:
    arguments = ["--clips", 1, "--frames", 22, "--size", 256, "--snr", 2, "--output", tmp_path]

    result = CliRunner().invoke(rstrack, ["bench", "faint", *map(str, arguments)])

    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "faint.json").read_text())
    assert {entry["method"] for entry in report["results"]} == {"spax_small", RESIDUAL, ACCUMULATED}
    assert (tmp_path / "faint.png").stat().st_size > 5000
