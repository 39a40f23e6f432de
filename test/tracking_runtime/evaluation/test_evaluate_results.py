"""``rstrack evaluate`` on published result files and ground truth, from the command line."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.commands.evaluate import evaluate

ATTRIBUTES = "car: [OCC]\npedestrain2: [OCC, SV]\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


@pytest.fixture
def benchmark(tmp_path) -> Path:
    """Ground truth as HOT has it, tabs behind each line, and two trackers' results, commas between."""
    for name, frames in (("car", 20), ("pedestrain2", 10)):
        boxes = np.column_stack([np.arange(frames) * 2 + 10] * 2 + [np.full(frames, 20)] * 2)
        folder = tmp_path / "truth" / name / "HSI"
        folder.mkdir(parents=True)
        (folder / "groundtruth_rect.txt").write_text(
            "".join("\t".join(map(str, box)) + "\t\n" for box in boxes)
        )
        for tracker, shift in (("Good", 0.5), ("Bad", 10)):
            (tmp_path / tracker).mkdir(exist_ok=True)
            lines = (",".join(map(str, box + np.array([shift, 0, 0, 0]))) + "\n" for box in boxes)
            spelt = name.replace("pedestrain", "Pedestrian")
            (tmp_path / tracker / f"{spelt}.txt").write_text("".join(lines))
    (tmp_path / "truth" / "attributes.yaml").write_text(ATTRIBUTES)
    return tmp_path


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text())


def test_published_boxes_are_scored_in_both_variants(benchmark):
    out = benchmark / "out"
    results = ["--results", benchmark / "Good", "--results", f"Worse={benchmark / 'Bad'}"]
    result = run(benchmark / "truth", *results, "--output", out)
    assert result.exit_code == 0, result.output
    good, bad = scores_of(out / "Good"), scores_of(out / "Worse")
    overlap = 19.5 / 20.5
    assert good["summary"]["figures"]["success"] == pytest.approx(np.sum(overlap > np.arange(21) / 20) / 21)
    assert good["summary"]["figures"]["success_matlab"] == pytest.approx(47 / 50)
    assert bad["summary"]["figures"]["success_matlab"] == pytest.approx(16 / 50)  # overlap 1/3
    assert bad["summary"]["by_attribute"].keys() == {"OCC", "SV"}
    assert [video["name"] for video in good["videos"]] == ["car", "pedestrain2"]
    rows = list(csv.DictReader((out / "Good" / "scores.csv").open()))
    assert rows[1]["attributes"] == "OCC SV" and float(rows[0]["precision"]) == 1
    page = (out / "report.html").read_text()
    assert "Worse" in page and not re.search(r"""(?:src|href)=["']?https?:""", page)


def test_the_same_input_gives_the_same_bytes_and_is_not_scored_twice(benchmark):
    first, second = benchmark / "one", benchmark / "two"
    for out in (first, second):
        assert run(benchmark / "truth", "--results", benchmark / "Good", "--output", out).exit_code == 0
    for name in ("scores.json", "scores.csv"):
        assert (first / "Good" / name).read_bytes() == (second / "Good" / name).read_bytes()
    kept = first / "Good" / "videos" / "car.json"
    before = kept.stat().st_mtime_ns
    run(benchmark / "truth", "--results", benchmark / "Good", "--output", first)
    assert kept.stat().st_mtime_ns == before
    path = benchmark / "Good" / "car.txt"
    path.write_text(path.read_text().replace("10.5", "11.5"))
    run(benchmark / "truth", "--results", benchmark / "Good", "--output", first)
    assert kept.stat().st_mtime_ns != before


def test_a_video_that_fails_is_told_and_the_rest_is_scored(benchmark):
    path = benchmark / "Good" / "car.txt"
    path.write_text(path.read_text() + "1,2,3,4\n")
    result = run(benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out")
    assert result.exit_code == 1
    assert "car.txt:21: 21 boxes for 20 frames" in result.output.replace("\n", "")
    scores = scores_of(benchmark / "out" / "Good")
    assert [video["name"] for video in scores["videos"]] == ["pedestrain2"]
    assert scores["failed"][0]["name"] == "car"
    assert "21 boxes for 20 frames" in (benchmark / "out" / "report.html").read_text()
    skipped = run(
        benchmark / "truth",
        "--results",
        benchmark / "Good",
        "--skip-malformed",
        "--output",
        benchmark / "out",
    )
    assert skipped.exit_code == 0, skipped.output


def test_malformed_truth_fails_its_video_by_file_and_line(benchmark):
    path = benchmark / "truth" / "car" / "HSI" / "groundtruth_rect.txt"
    lines = path.read_text().splitlines()
    lines[4] = "0\t0\t0\t0"
    path.write_text("\n".join(lines))
    result = run(benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out")
    assert result.exit_code == 1
    assert "groundtruth_rect.txt:5: no box" in result.output.replace("\n", "")


def test_objects_in_mot_text(tmp_path):
    truth = "".join(f"{t},{k},{50 * k + t},20,10,10,1,1,1\n" for t in range(1, 6) for k in (1, 2))
    found = "".join(
        f"{t},{k + 7},{50 * k + t + 1},20,10,10,0.9,1,-1\n" for t in range(1, 6) for k in (1, 2, 3)
    )
    for folder, text in (("truth", truth), ("results", found)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "001.txt").write_text(text)
    for matching, fits in (("iou0.3", True), ("centre5px", True)):
        out = tmp_path / matching
        result = run(
            tmp_path / "truth", "--results", tmp_path / "results", "--matching", matching, "--output", out
        )
        assert result.exit_code == 0, result.output
        figures = scores_of(out / "results")["summary"]["figures"]
        assert (figures["FP"], figures["FN"], figures["MT"]) == (5, 0, 2) and fits
        assert figures["MOTA"] == pytest.approx(0.5)


def test_a_missing_result_fails_its_video(benchmark):
    (benchmark / "Good" / "car.txt").unlink()
    result = run(benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out")
    assert result.exit_code == 1 and "no result of car in" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tracker", "spax", "--results", "."], "exclude each other"),
        (["--robustness", "spatial"], "follows one target"),
        (["--tracker", "nothing"], "no tracker named 'nothing'"),
        (["--tracker", "nothing", "--robustness", "spatial"], "no tracker named 'nothing'"),
        (["--tracker", "hanet", "--submission", "mot"], "of many objects"),
        (["--results", "nowhere"], "no results at nowhere"),
        ([], "no recordings at"),
    ],
)
def test_what_cannot_be_is_refused(benchmark, arguments, message):
    result = run(benchmark / "truth", *arguments, "--output", benchmark / "out")
    assert result.exit_code != 0 and message in result.output
