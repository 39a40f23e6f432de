"""`rstrack evaluate` on published result files and ground truth, and `evaluate` from Python."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.cli import rstrack
from tracking_runtime.evaluation import EvaluateOptions, evaluate

ATTRIBUTES = "car: [OCC]\npedestrain2: [OCC, SV]\n"


def run_evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["evaluate", *map(str, arguments)])


@pytest.fixture
def benchmark(tmp_path) -> Path:
    """Ground truth in HOT's format, with tabs, and results of the trackers `Good` and `Bad`, with commas."""
    for name, num_frames in (("car", 20), ("pedestrain2", 10)):
        position = np.arange(num_frames) * 2 + 10
        size = np.full(num_frames, 20)
        boxes = np.column_stack([position, position, size, size])
        folder = tmp_path / "truth" / name / "HSI"
        folder.mkdir(parents=True)
        lines = ("\t".join(map(str, box)) + "\t\n" for box in boxes)
        (folder / "groundtruth_rect.txt").write_text("".join(lines))
        for tracker, shift in (("Good", 0.5), ("Bad", 10)):
            (tmp_path / tracker).mkdir(exist_ok=True)
            lines = (",".join(map(str, box + np.array([shift, 0, 0, 0]))) + "\n" for box in boxes)
            file_name = f"{name.replace('pedestrain', 'Pedestrian')}.txt"
            (tmp_path / tracker / file_name).write_text("".join(lines))
    (tmp_path / "truth" / "attributes.yaml").write_text(ATTRIBUTES)
    return tmp_path


def read_scores(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text())


def test_evaluate_scores_boxes_by_both_protocols(benchmark):
    output = benchmark / "out"
    results = ["--results", benchmark / "Good", "--results", f"Worse={benchmark / 'Bad'}"]

    result = run_evaluate(benchmark / "truth", *results, "--output", output)

    assert result.exit_code == 0, result.output
    good, bad = read_scores(output / "Good"), read_scores(output / "Worse")
    overlap = 19.5 / 20.5
    otb_success = np.sum(overlap > np.arange(21) / 20) / 21
    assert good["summary"]["figures"]["success"] == pytest.approx(otb_success)
    assert good["summary"]["figures"]["success_matlab"] == pytest.approx(47 / 50)
    assert bad["summary"]["figures"]["success_matlab"] == pytest.approx(16 / 50)  # overlap 1/3
    assert bad["summary"]["by_attribute"].keys() == {"OCC", "SV"}
    assert [video["name"] for video in good["videos"]] == ["car", "pedestrain2"]


@pytest.mark.slow
def test_evaluate_writes_csv_and_offline_report(benchmark):
    output = benchmark / "out"

    result = run_evaluate(benchmark / "truth", "--results", f"Worse={benchmark / 'Good'}", "--output", output)

    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((output / "Worse" / "scores.csv").open()))
    assert rows[1]["attributes"] == "OCC SV"
    assert float(rows[0]["precision"]) == 1
    page = (output / "report.html").read_text()
    assert "Worse" in page
    assert not re.search(r"""(?:src|href)=["']?https?:""", page)


def test_evaluate_from_python_writes_the_same_files(benchmark):
    command = run_evaluate(
        benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "command"
    )
    options = EvaluateOptions(
        places=[benchmark / "truth"], results={"Good": benchmark / "Good"}, output=benchmark / "python"
    )
    events = []

    (run,) = evaluate(options, on_progress=events.append)

    assert command.exit_code == 0, command.output
    assert run.summary is not None
    assert run.summary.metrics["success_matlab"] == pytest.approx(47 / 50)
    assert [(event.num_finished, event.num_jobs) for event in events] == [(0, 2), (1, 2), (2, 2)]
    for name in ("scores.json", "scores.csv"):
        by_command = (benchmark / "command" / "Good" / name).read_bytes()
        assert (run.folder / name).read_bytes() == by_command


def test_evaluate_same_input_gives_the_same_bytes(benchmark):
    outputs = (benchmark / "one", benchmark / "two")

    for output in outputs:
        result = run_evaluate(benchmark / "truth", "--results", benchmark / "Good", "--output", output)
        assert result.exit_code == 0

    for name in ("scores.json", "scores.csv"):
        one, two = ((output / "Good" / name).read_bytes() for output in outputs)
        assert one == two


@pytest.mark.slow
def test_evaluate_again_scores_only_changed_videos(benchmark):
    arguments = [benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out"]
    run_evaluate(*arguments)
    result_path = benchmark / "out" / "Good" / "videos" / "car.json"
    first_time = result_path.stat().st_mtime_ns

    run_evaluate(*arguments)
    second_time = result_path.stat().st_mtime_ns
    boxes_path = benchmark / "Good" / "car.txt"
    boxes_path.write_text(boxes_path.read_text().replace("10.5", "11.5"))
    run_evaluate(*arguments)

    assert second_time == first_time
    assert result_path.stat().st_mtime_ns != first_time


def test_evaluate_failed_video_does_not_stop_the_others(benchmark):
    path = benchmark / "Good" / "car.txt"
    path.write_text(path.read_text() + "1,2,3,4\n")
    arguments = [benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out"]

    result = run_evaluate(*arguments)

    assert result.exit_code == 1
    assert "car.txt:21: 21 boxes for 20 frames" in result.output.replace("\n", "")
    scores = read_scores(benchmark / "out" / "Good")
    assert [video["name"] for video in scores["videos"]] == ["pedestrain2"]
    assert scores["failed"][0]["name"] == "car"
    assert "21 boxes for 20 frames" in (benchmark / "out" / "report.html").read_text()
    skipped = run_evaluate(*arguments, "--skip-malformed")
    assert skipped.exit_code == 0, skipped.output


def test_evaluate_invalid_truth_names_file_and_line(benchmark):
    path = benchmark / "truth" / "car" / "HSI" / "groundtruth_rect.txt"
    lines = path.read_text().splitlines()
    lines[4] = "5\t0\t0\t0"
    path.write_text("\n".join(lines))

    result = run_evaluate(benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out")

    assert result.exit_code == 1
    assert "groundtruth_rect.txt:5: " in result.output.replace("\n", "")


def test_evaluate_skipped_rows_are_counted_on_terminal_and_in_report(benchmark):
    path = benchmark / "truth" / "car" / "HSI" / "groundtruth_rect.txt"
    lines = path.read_text().splitlines()
    lines[4] = ""
    lines[7] = "5\t0\t0\t0"
    path.write_text("\n".join(lines))
    arguments = [benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out"]

    result = run_evaluate(*arguments, "--skip-malformed")

    assert result.exit_code == 0, result.output
    note = f"{path}: 2 rows left out, the first in line 5: the line is empty"
    assert note in result.output
    assert note in (benchmark / "out" / "report.html").read_text()
    scores = read_scores(benchmark / "out" / "Good")
    assert scores["notes"] == [note]
    assert [video["frames"] for video in scores["videos"] if video["name"] == "car"] == [18]


@pytest.mark.parametrize(
    ("truth", "reason"),
    [("1,1,5,5,4,4,0\n", "contains no object"), ("1,1,5,5,4,4,1,1,1\n", "no result of 001")],
)
def test_evaluate_that_scores_nothing_is_an_error(tmp_path, truth, reason):
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "001.txt").write_text(truth)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"00{1 if 'object' in reason else 2}.txt").write_text("1,1,5,5,4,4,1,1,-1\n")

    result = run_evaluate(tmp_path / "truth", "--results", tmp_path / "results", "--output", tmp_path / "out")

    assert result.exit_code == 1
    assert "results scored nothing" in result.output
    assert reason in result.output


@pytest.mark.parametrize("matching", ["iou0.3", "centre5px"])
def test_evaluate_scores_objects_in_mot_text(tmp_path, matching):
    truth = "".join(f"{t},{k},{50 * k + t},20,10,10,1,1,1\n" for t in range(1, 6) for k in (1, 2))
    tracks = "".join(
        f"{t},{k + 7},{50 * k + t + 1},20,10,10,0.9,1,-1\n" for t in range(1, 6) for k in (1, 2, 3)
    )
    for folder, text in (("truth", truth), ("results", tracks)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "001.txt").write_text(text)
    arguments = ["--results", tmp_path / "results", "--matching", matching, "--output", tmp_path / "out"]

    result = run_evaluate(tmp_path / "truth", *arguments)

    assert result.exit_code == 0, result.output
    metrics = read_scores(tmp_path / "out" / "results")["summary"]["figures"]
    assert (metrics["FP"], metrics["FN"], metrics["MT"]) == (5, 0, 2)
    assert metrics["MOTA"] == pytest.approx(0.5)


def test_evaluate_missing_result_fails_its_video(benchmark):
    (benchmark / "Good" / "car.txt").unlink()

    result = run_evaluate(benchmark / "truth", "--results", benchmark / "Good", "--output", benchmark / "out")

    assert result.exit_code == 1
    assert "no result of car in" in result.output


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--tracker", "spax", "--results", "."], 2, "exclude each other"),
        (["--robustness", "spatial"], 2, "follows one target"),
        (["--tracker", "nothing"], 1, "tracker 'nothing' is unknown"),
        (["--tracker", "nothing", "--robustness", "spatial"], 1, "tracker 'nothing' is unknown"),
        (["--tracker", "hanet", "--submission", "mot"], 2, "of many objects"),
        (["--results", "nowhere"], 1, "no results at nowhere"),
        ([], 1, "no recordings at"),
    ],
)
def test_evaluate_refuses_impossible_options(benchmark, arguments, exit_code, message):
    result = run_evaluate(benchmark / "truth", *arguments, "--output", benchmark / "out")

    assert result.exit_code == exit_code
    assert message in result.output
