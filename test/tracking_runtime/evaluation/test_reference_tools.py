"""`rstrack evaluate` against TrackEval and py-motmetrics, which read the same files by their own readers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trackeval
from click.testing import CliRunner

from tracking_runtime.cli import rstrack
from tracking_runtime.evaluation.py_motmetrics import METRIC_NAMES

NUM_FRAMES = 30
VIDEOS = ("001", "002")


def make_rows(rng: np.random.Generator, *, are_tracks: bool) -> list[str]:
    """Make rows of objects that cross, come and go; of tracks with misses, false tracks and id changes."""
    rows = []
    for frame in range(1, NUM_FRAMES + 1):
        for number in range(1, 9):
            x = 20 * number + frame * (1 if number % 2 else -1)
            y = 30 + 3 * (number % 3)
            if (frame + number) % 10 == 0 or (are_tracks and (rng.random() < 0.2 or frame == 12)):
                continue
            noise = rng.normal(0, 2, 4) if are_tracks else np.zeros(4)
            box = ",".join(f"{value:.3f}" for value in np.array([x, y, 14, 12]) + noise)
            identity = number + 50 * (frame > 15 and number > 4) if are_tracks else number
            ending = f"{rng.random():.3f},1,-1,-1" if are_tracks else "1,1,1"
            rows.append(f"{frame},{identity},{box},{ending}")
        if are_tracks and frame % 4 == 0:
            rows.append(f"{frame},{900 + frame},5,5,9,9,0.4,1,-1,-1")
    return rows


@pytest.fixture
def files(tmp_path) -> Path:
    """Ground truth and tracks in the layout of MOTChallenge."""
    rng = np.random.default_rng(7)
    for video in VIDEOS:
        truth = tmp_path / "gt" / video / "gt" / "gt.txt"
        tracks = tmp_path / "trackers" / "ours" / "data" / f"{video}.txt"
        for path, are_tracks in ((truth, False), (tracks, True)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(make_rows(rng, are_tracks=are_tracks)) + "\n")
    return tmp_path


def evaluate(files: Path, *arguments: str) -> dict[str, float]:
    """Run `rstrack evaluate` and return the metrics of all videos."""
    command = ["evaluate", str(files / "gt"), "--results", str(files / "trackers" / "ours"), *arguments]
    result = CliRunner().invoke(rstrack, [*command, "--output", str(files / "out")])
    assert result.exit_code == 0, result.output
    return json.loads((files / "out" / "ours" / "scores.json").read_text())["summary"]["figures"]


def evaluate_by_trackeval(files: Path, threshold: float) -> dict:
    quiet = {"PRINT_CONFIG": False}
    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            **quiet,
            "GT_FOLDER": str(files / "gt"),
            "TRACKERS_FOLDER": str(files / "trackers"),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": dict.fromkeys(VIDEOS, NUM_FRAMES),
            "DO_PREPROC": False,
        }
    )
    options = {**quiet, "THRESHOLD": threshold}
    metrics = [
        trackeval.metrics.HOTA(),
        trackeval.metrics.CLEAR(options),
        trackeval.metrics.Identity(options),
    ]
    evaluator = trackeval.Evaluator(
        {
            **trackeval.Evaluator.get_default_eval_config(),
            **quiet,
            "PRINT_RESULTS": False,
            "OUTPUT_SUMMARY": False,
            "OUTPUT_DETAILED": False,
            "PLOT_CURVES": False,
            "BREAK_ON_ERROR": True,
        }
    )
    results, _ = evaluator.evaluate([dataset], metrics)
    return results["MotChallenge2DBox"]["ours"]["COMBINED_SEQ"]["pedestrian"]


def evaluate_by_py_motmetrics(files: Path, threshold: float) -> dict[str, float]:
    """Call py-motmetrics as SPAX and MP2Net do, with distances up to 1 - threshold."""
    import motmetrics

    accumulators = []
    for video in VIDEOS:
        truth = motmetrics.io.loadtxt(files / "gt" / video / "gt" / "gt.txt", fmt="mot16")
        tracks = motmetrics.io.loadtxt(files / "trackers" / "ours" / "data" / f"{video}.txt", fmt="mot16")
        accumulators.append(
            motmetrics.utils.compare_to_groundtruth(truth, tracks, "iou", distth=1 - threshold)
        )
    host = motmetrics.metrics.create()
    names = list(METRIC_NAMES.values())
    table = host.compute_many(accumulators, metrics=names, generate_overall=True)
    return dict(table.loc["OVERALL"])


@pytest.mark.parametrize("threshold", [0.3, 0.4])
def test_metrics_equal_py_motmetrics(files, threshold, monkeypatch):
    pytest.importorskip("motmetrics", reason="needs the extra motmetrics")
    monkeypatch.setattr(np, "asfarray", lambda values: np.asarray(values, float), raising=False)
    expected = evaluate_by_py_motmetrics(files, threshold)

    metrics = evaluate(files, "--matching", f"iou{threshold}", "--clear-by", "motmetrics")

    assert 0 < metrics["MOTA"] < 1
    assert metrics["IDs"] > 0
    assert metrics["FP"] > 0
    assert {name: metrics[name] for name in METRIC_NAMES} == pytest.approx(
        {name: expected[theirs] for name, theirs in METRIC_NAMES.items()}, abs=1e-12
    )
    assert "py-motmetrics" in (files / "out" / "report.html").read_text()


@pytest.mark.parametrize(("matching", "threshold"), [("iou0.3", 0.3), ("iou0.4", 0.4), ("any-overlap", 1e-7)])
def test_metrics_equal_trackeval(files, matching, threshold):
    expected = evaluate_by_trackeval(files, threshold)

    metrics = evaluate(files, "--matching", matching)

    assert 0 < metrics["MOTA"] < 1
    assert metrics["IDs"] > 0
    assert metrics["FP"] > 0
    assert metrics["MOTA"] == pytest.approx(expected["CLEAR"]["MOTA"], abs=1e-12)
    assert metrics["IDF1"] == pytest.approx(expected["Identity"]["IDF1"], abs=1e-12)
    assert metrics["HOTA"] == pytest.approx(np.mean(expected["HOTA"]["HOTA"]), abs=1e-9)
    for name, theirs in {"IDs": "IDSW", "FP": "CLR_FP", "FN": "CLR_FN", "MT": "MT", "ML": "ML"}.items():
        assert metrics[name] == expected["CLEAR"][theirs], name
