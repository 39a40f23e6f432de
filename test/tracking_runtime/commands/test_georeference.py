"""`rstrack georeference` on result files of each kind."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tracking_runtime.cli import rstrack

MOT = "1,1,100,100,10,10,1,2,-1\n2,1,103,100,10,10,1,2,-1\n3,1,106,100,10,10,1,2,-1\n"
ONE_TARGET = "100,100,10,10\nnan,nan,nan,nan\n106,100,10,10\n"
DEGREES = "transform: [1.0e-5, 0, -115, 0, -1.0e-5, 36]\n"


@pytest.fixture
def run(tmp_path: Path):
    def invoke(tracks: str, *options: str) -> Result:
        (tmp_path / "tracks.txt").write_text(tracks)
        (tmp_path / "geography.yaml").write_text(DEGREES)
        paths = [str(tmp_path / "tracks.txt"), "--geography", str(tmp_path / "geography.yaml")]
        return CliRunner().invoke(rstrack, ["georeference", *paths, "-o", str(tmp_path / "out"), *options])

    return invoke


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "tracks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_mot_text_gets_positions_speeds_and_classes(run, tmp_path: Path) -> None:
    result = run(MOT, "--rate", "10", "--start", "2026-01-02T03:04:05", "--classes", "car,ship")

    assert result.exit_code == 0, result.output
    assert "map in EPSG:4326" in result.output
    rows = read_rows(tmp_path)
    assert [row["time"] for row in rows][1:] == ["2026-01-02T03:04:05.100000Z", "2026-01-02T03:04:05.200000Z"]
    assert {row["class"] for row in rows} == {"ship"}
    assert float(rows[1]["longitude"]) == pytest.approx(-115 + 108e-5)
    assert float(rows[1]["speed_m_s"]) == pytest.approx(27.05, abs=0.01)
    assert float(rows[1]["heading_deg"]) == 90
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "tracks.geojson",
        "tracks.kml",
        "tracks.csv",
    }


def test_one_target_text_leaves_out_absent_frames(run, tmp_path: Path) -> None:
    result = run(ONE_TARGET, "--rate", "5")

    assert result.exit_code == 0, result.output
    rows = read_rows(tmp_path)
    assert [row["frame"] for row in rows] == ["1", "3"]
    assert float(rows[0]["speed_m_s"]) == pytest.approx(13.52, abs=0.01)


def test_missing_rate_is_demanded(run) -> None:
    result = run(MOT)

    assert result.exit_code == 2
    assert "--rate" in result.output


def test_mistake_is_one_line_and_leaves_no_files(run, tmp_path: Path) -> None:
    result = run("1,1,a,100,10,10,1,1,-1\n", "--rate", "10")

    assert result.exit_code == 1
    assert "tracks.txt:1" in result.output
    assert not (tmp_path / "out").exists()


def test_json_lines_bring_their_times_and_classes(tmp_path: Path) -> None:
    lines = [
        f'{{"frame":{number},"stamp_ns":{number * 500_000_000},"tracks":[{{"id":1,"box":[{number * 3},9,2,2],'
        f'"score":0.5,"class":"ship","state":"confirmed"}}]}}\n'
        for number in (2, 4, 6)
    ]
    (tmp_path / "t.jsonl").write_text("".join(lines))
    (tmp_path / "geography.yaml").write_text(DEGREES)
    options = ["--geography", str(tmp_path / "geography.yaml"), "-o", str(tmp_path / "out")]

    result = CliRunner().invoke(rstrack, ["georeference", str(tmp_path / "t.jsonl"), *options])

    assert result.exit_code == 0, result.output
    rows = read_rows(tmp_path)
    assert [row["frame"] for row in rows] == ["2", "4", "6"]
    assert rows[0]["time"] == "1970-01-01T00:00:01.000000Z"
    assert {row["class"] for row in rows} == {"ship"}
    assert float(rows[1]["speed_m_s"]) == pytest.approx(5.41, abs=0.01)
    twice = CliRunner().invoke(rstrack, ["georeference", str(tmp_path / "t.jsonl"), *options, "--rate", "5"])
    assert "leave it out" in twice.output
