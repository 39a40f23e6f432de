"""Tests of `rstrack bench rgb`: trackers on color video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_tracker_ros.hanet.weights import load_color_network, save_network
from tracking_runtime.cli import rstrack
from tracking_runtime.evaluation.run import read_run

NUM_FRAMES = 8
STEP_PX = 24


def write_sequence(folder: Path, *, step_px: int) -> None:
    """Write a video of a textured object that moves to the right over a textured background, like OTB."""
    rng = np.random.default_rng(0)
    background = cv2.GaussianBlur(rng.integers(0, 255, (160, 320, 3), np.uint8), (0, 0), 4)
    target = cv2.resize(rng.integers(0, 255, (4, 5, 3), np.uint8), (40, 32))
    (folder / "img").mkdir(parents=True)
    rows = []
    for index in range(NUM_FRAMES):
        x = 20 + step_px * index
        image = background.copy()
        image[60:92, x : x + 40] = target
        cv2.imwrite(str(folder / f"img/{index + 1:04}.png"), image)
        rows.append(f"{x},60,40,32\n")
    (folder / "groundtruth_rect.txt").write_text("".join(rows))


def run_bench(*arguments: object) -> Result:
    command = ["bench", "rgb", "--engine", "pytorch", *map(str, arguments)]
    return CliRunner().invoke(rstrack, command, catch_exceptions=False)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rgb")
    write_sequence(root / "slow", step_px=2)
    write_sequence(root / "fast", step_px=STEP_PX)
    return root


@pytest.fixture(scope="module")
def report(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    model = save_network(folder, "another", load_color_network("hanet_edge_vis16"))
    models = ("--model", "hanet_edge_any", "--model", model)

    result = run_bench(dataset, *models, "--output", folder / "out")

    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads((folder / "out/rgb.json").read_text())
    return {**content, "folder": folder / "out", "output": result.output}


@pytest.mark.slow
def test_bench_rgb_compares_models_and_opencv_trackers(report: dict[str, Any]) -> None:
    results = {result["name"]: result for result in report["results"]}

    assert list(results)[:2] == ["hanet_edge_any", "another"]
    assert "MIL" in results
    assert set(results["another"]["by_video"]) == {"slow", "fast"}
    assert results["hanet_edge_any"]["by_video"]["slow"] > 0.6
    assert read_run(report["folder"] / "another").summary is not None
    assert (report["folder"] / "rgb.png").stat().st_size > 0


@pytest.mark.slow
def test_bench_rgb_reports_calibration_of_models_only(report: dict[str, Any]) -> None:
    counts = {result["name"]: sum(result["reliability"]["counts"]) for result in report["results"]}

    assert counts["another"] == 2 * (NUM_FRAMES - 1)
    assert counts["MIL"] == 0
    assert "Calibration of the scores" in report["output"]
    assert "fraction of correct boxes" in (report["folder"] / "report.html").read_text()


@pytest.mark.slow
def test_bench_rgb_finds_attributes_in_the_ground_truth(report: dict[str, Any]) -> None:
    run = read_run(report["folder"] / "another")

    assert run.summary is not None
    assert "FM" in run.summary.metrics_by_attribute


@pytest.mark.slow
def test_bench_rgb_unknown_tracker_is_refused(dataset: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        rstrack, ["bench", "rgb", str(dataset), "--only", "nobody", "--output", str(tmp_path)]
    )

    assert result.exit_code == 1
    assert "nobody" in result.output
    assert "hanet_edge_any" in result.output
