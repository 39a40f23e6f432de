"""Two runs compared: differences, what is certain of them, and reports side by side."""

from __future__ import annotations

import html.parser
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.commands.compare import compare as compare_command
from tracking_runtime.commands.evaluate import evaluate
from tracking_runtime.evaluation.comparison import compare
from tracking_runtime.evaluation.run import read_run


def run(command, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """Eight videos with images; one tracker is 1 px off, the other 5 px, a third as far as the first."""
    tmp_path = tmp_path_factory.mktemp("evaluated")
    for number in range(8):
        frames = 4 + number
        folder = tmp_path / "videos" / f"v{number}" / "img"
        folder.mkdir(parents=True)
        boxes = np.column_stack(
            [np.arange(frames) + 10, np.full(frames, 8), *[np.full(frames, 10 + number)] * 2]
        )
        for index in range(frames):
            cv2.imwrite(str(folder / f"{index + 1}.png"), np.full((40, 60), 90, np.uint8))
        lines = "\n".join(" ".join(map(str, box)) for box in boxes)
        (folder.parent / "groundtruth_rect.txt").write_text(lines)
        for tracker, off in (("near", 1), ("far", 5), ("mixed", 1 if number % 2 else 1.02)):
            (tmp_path / tracker).mkdir(exist_ok=True)
            moved = (" ".join(map(str, box + np.array([off, 0, 0, 0]))) for box in boxes)
            (tmp_path / tracker / f"v{number}.txt").write_text("\n".join(moved))
    results = [f"--results={tmp_path / name}" for name in ("near", "far", "mixed")]
    result = run(evaluate, tmp_path / "videos", *results, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    return tmp_path / "out"


@pytest.fixture
def runs(evaluated, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(evaluated, tmp_path / "out"))


def test_a_clear_difference_is_certain_and_none_is_not(runs):
    far, near, mixed = (read_run(runs / name) for name in ("far", "near", "mixed"))
    success = {each.figure: each for each in compare(far, near, resamples=200)}["success"]
    assert success.difference == pytest.approx(
        near.summary.figures["success"] - far.summary.figures["success"]
    )
    assert success.is_certain and 0 < success.low < success.difference < success.high
    same = {each.figure: each for each in compare(near, near, resamples=100)}["success"]
    assert (same.low, same.high, same.is_certain) == (0, 0, False)
    assert not {each.figure: each for each in compare(near, mixed, resamples=200)}["precision"].is_certain
    assert compare(far, near, resamples=200) == compare(far, near, resamples=200)


def test_a_single_video_has_no_interval(runs):
    for name in ("far", "near"):
        path = runs / name / "scores.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "videos": content["videos"][:1]}))
    (success, *_) = compare(read_run(runs / "far"), read_run(runs / "near"))
    assert success.difference > 0 and np.isnan(success.low) and not success.is_certain


class Reader(html.parser.HTMLParser):
    """Counts elements, and collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]


def read(page: Path) -> tuple[Reader, str]:
    text, reader = page.read_text(), Reader()
    reader.feed(text)
    return reader, text


def test_the_report_stands_alone_with_plots_pictures_and_a_row_for_each_video(runs):
    reader, text = read(runs / "report.html")
    assert all(place.startswith(("data:", "#")) for place in reader.fetched)
    assert reader.counts["img"] == 12  # the worst of 24 videos
    assert reader.counts["svg"] == 3  # success, precision, by video
    assert text.count('data-value="v') == 8
    first = text.index("<figcaption>")
    assert text[first : first + 40].startswith("<figcaption>far: v0")  # the smallest target, 5 px off


def test_compare_from_the_command_line(runs, tmp_path):
    result = run(compare_command, runs / "far", runs / "near", "--resamples", 100, "--output", tmp_path / "c")
    assert result.exit_code == 0, result.output
    assert "8 videos that both have" in result.output
    differences = json.loads((tmp_path / "c" / "differences.json").read_text())
    assert differences[0]["figure"] == "success" and differences[0]["low"] > 0
    reader, text = read(tmp_path / "c" / "report.html")
    assert "Difference, near - far" in text and reader.counts["img"] == 12


def test_what_cannot_be_compared_is_said(runs, tmp_path):
    assert "is not the folder of an evaluated run" in run(compare_command, tmp_path, runs / "near").output
    path = runs / "far" / "scores.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "videos": []}))
    assert "have no video in common" in run(compare_command, runs / "far", runs / "near").output
