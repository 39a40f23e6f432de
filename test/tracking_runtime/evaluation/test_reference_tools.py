"""Files scored by the command equal what TrackEval makes of the same files with its own reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trackeval
from click.testing import CliRunner

from tracking_runtime.commands.evaluate import evaluate
from tracking_runtime.evaluation.py_motmetrics import FIGURES

FRAMES = 30
VIDEOS = ("001", "002")


def rows(rng: np.random.Generator, *, tracked: bool) -> list[str]:
    """Objects that cross, come and go; tracked: some missed, some false, identities that change."""
    lines = []
    for frame in range(1, FRAMES + 1):
        for number in range(1, 9):
            x, y = 20 * number + frame * (1 if number % 2 else -1), 30 + 3 * (number % 3)
            if (frame + number) % 10 == 0 or (tracked and (rng.random() < 0.2 or frame == 12)):
                continue
            noise = rng.normal(0, 2, 4) if tracked else np.zeros(4)
            box = np.array([x, y, 14, 12]) + noise
            ident = number + 50 * (frame > 15 and number > 4) if tracked else number
            ending = f"{rng.random():.3f},1,-1,-1" if tracked else "1,1,1"
            lines.append(f"{frame},{ident},{','.join(f'{value:.3f}' for value in box)},{ending}")
        if tracked and frame % 4 == 0:
            lines.append(f"{frame},{900 + frame},5,5,9,9,0.4,1,-1,-1")
    return lines


@pytest.fixture
def files(tmp_path) -> Path:
    rng = np.random.default_rng(7)
    for video in VIDEOS:
        truth = tmp_path / "gt" / video / "gt" / "gt.txt"
        result = tmp_path / "trackers" / "ours" / "data" / f"{video}.txt"
        for path, tracked in ((truth, False), (result, True)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(rows(rng, tracked=tracked)) + "\n")
    return tmp_path


def by_trackeval(files: Path, threshold: float) -> dict:
    quiet = {"PRINT_CONFIG": False}
    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            **quiet,
            "GT_FOLDER": str(files / "gt"),
            "TRACKERS_FOLDER": str(files / "trackers"),
            "SKIP_SPLIT_FOL": True,
            "SEQ_INFO": dict.fromkeys(VIDEOS, FRAMES),
            "DO_PREPROC": False,
        }
    )
    options = {**quiet, "THRESHOLD": threshold}
    metrics = [
        trackeval.metrics.HOTA(),
        trackeval.metrics.CLEAR(options),
        trackeval.metrics.Identity(options),
    ]
    settings = {
        "PRINT_RESULTS": False,
        "OUTPUT_SUMMARY": False,
        "OUTPUT_DETAILED": False,
        "PLOT_CURVES": False,
    }
    evaluator = trackeval.Evaluator(
        {**trackeval.Evaluator.get_default_eval_config(), **quiet, **settings, "BREAK_ON_ERROR": True}
    )
    results, _ = evaluator.evaluate([dataset], metrics)
    return results["MotChallenge2DBox"]["ours"]["COMBINED_SEQ"]["pedestrian"]


@pytest.mark.parametrize("threshold", [0.3, 0.4])
def test_figures_are_those_of_py_motmetrics_own_reader(files, threshold, monkeypatch):
    """As SPAX and MP2Net call it, with distances up to 1 - threshold."""
    motmetrics = pytest.importorskip("motmetrics", reason="needs the extra motmetrics")
    monkeypatch.setattr(np, "asfarray", lambda values: np.asarray(values, float), raising=False)
    seen = []
    for video in VIDEOS:
        truth = motmetrics.io.loadtxt(files / "gt" / video / "gt" / "gt.txt", fmt="mot16")
        tracked = motmetrics.io.loadtxt(files / "trackers" / "ours" / "data" / f"{video}.txt", fmt="mot16")
        seen.append(motmetrics.utils.compare_to_groundtruth(truth, tracked, "iou", distth=1 - threshold))
    host = motmetrics.metrics.create()
    theirs = host.compute_many(seen, metrics=list(FIGURES.values()), generate_overall=True).loc["OVERALL"]
    arguments = [files / "gt", "--results", files / "trackers" / "ours", "--matching", f"iou{threshold}"]
    arguments += ["--clear-by", "motmetrics", "--output", files / "out"]
    result = CliRunner().invoke(evaluate, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    ours = json.loads((files / "out" / "ours" / "scores.json").read_text())["summary"]["figures"]
    assert 0 < ours["MOTA"] < 1 and ours["IDs"] > 0 and ours["FP"] > 0
    assert {name: ours[name] for name in FIGURES} == pytest.approx(
        {name: theirs[own] for name, own in FIGURES.items()}, abs=1e-12
    )
    assert "CLEAR and identity by py-motmetrics" in (files / "out" / "report.html").read_text()


@pytest.mark.parametrize(("matching", "threshold"), [("iou0.3", 0.3), ("iou0.4", 0.4), ("any-overlap", 1e-7)])
def test_figures_are_those_of_trackeval_s_own_reader(files, matching, threshold):
    arguments = [files / "gt", "--results", files / "trackers" / "ours", "--matching", matching]
    result = CliRunner().invoke(evaluate, [*map(str, arguments), "--output", str(files / "out")])
    assert result.exit_code == 0, result.output
    ours = json.loads((files / "out" / "ours" / "scores.json").read_text())["summary"]["figures"]
    theirs = by_trackeval(files, threshold)
    clear, identity, hota = theirs["CLEAR"], theirs["Identity"], theirs["HOTA"]
    assert 0 < ours["MOTA"] < 1 and ours["IDs"] > 0 and ours["FP"] > 0
    assert ours["MOTA"] == pytest.approx(clear["MOTA"], abs=1e-12)
    assert ours["IDF1"] == pytest.approx(identity["IDF1"], abs=1e-12)
    assert ours["HOTA"] == pytest.approx(np.mean(hota["HOTA"]), abs=1e-9)
    for name, field in {"IDs": "IDSW", "FP": "CLR_FP", "FN": "CLR_FN", "MT": "MT", "ML": "ML"}.items():
        assert ours[name] == clear[field], name
