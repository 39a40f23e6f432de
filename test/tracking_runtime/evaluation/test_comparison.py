"""Comparison of two runs: differences, confidence intervals, and the report with both side by side."""

from __future__ import annotations

import html.parser
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.cli import rstrack
from tracking_runtime.commands.compare import compare
from tracking_runtime.evaluation.comparison import NUM_RESAMPLES, Difference, compare_runs
from tracking_runtime.evaluation.run import read_run


def run_rstrack(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """Runs over 8 videos with images: `near` is off by 1 px, `far` by 5 px, `mixed` about like `near`."""
    root = tmp_path_factory.mktemp("evaluated")
    for number in range(8):
        num_frames = 4 + number
        folder = root / "videos" / f"v{number}" / "img"
        folder.mkdir(parents=True)
        size = np.full(num_frames, 10 + number)
        boxes = np.column_stack([np.arange(num_frames) + 10, np.full(num_frames, 8), size, size])
        for index in range(num_frames):
            cv2.imwrite(str(folder / f"{index + 1}.png"), np.full((40, 60), 90, np.uint8))
        lines = "\n".join(" ".join(map(str, box)) for box in boxes)
        (folder.parent / "groundtruth_rect.txt").write_text(lines)
        for tracker, shift in (("near", 1), ("far", 5), ("mixed", 1 if number % 2 else 1.02)):
            (root / tracker).mkdir(exist_ok=True)
            shifted = (" ".join(map(str, box + np.array([shift, 0, 0, 0]))) for box in boxes)
            (root / tracker / f"v{number}.txt").write_text("\n".join(shifted))
    results = [f"--results={root / name}" for name in ("near", "far", "mixed")]
    result = run_rstrack("evaluate", root / "videos", *results, "--output", root / "out")
    assert result.exit_code == 0, result.output
    return root / "out"


@pytest.fixture
def runs(evaluated, tmp_path) -> Path:
    """A copy of the runs that a test may change."""
    return Path(shutil.copytree(evaluated, tmp_path / "out"))


def compare_folders(first: Path, second: Path, num_resamples: int = 200) -> dict[str, Difference]:
    differences = compare_runs(read_run(first), read_run(second), num_resamples=num_resamples)
    return {difference.metric: difference for difference in differences}


def edit_videos(run: Path, num_videos: int) -> None:
    """Keep only the first videos of a run."""
    path = run / "scores.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "videos": content["videos"][:num_videos]}))


def test_compare_runs_clear_difference_is_certain(runs):
    far, near = read_run(runs / "far"), read_run(runs / "near")

    success = compare_folders(runs / "far", runs / "near")["success"]

    expected = near.summary.metrics["success"] - far.summary.metrics["success"]
    assert success.difference == pytest.approx(expected)
    assert success.is_certain
    assert 0 < success.low < success.difference < success.high


def test_compare_runs_equal_runs_are_not_certain(runs):
    success = compare_folders(runs / "near", runs / "near", num_resamples=100)["success"]
    precision = compare_folders(runs / "near", runs / "mixed")["precision"]

    assert (success.low, success.high, success.is_certain) == (0, 0, False)
    assert not precision.is_certain


def test_compare_runs_is_deterministic(runs):
    once = compare_folders(runs / "far", runs / "near")
    again = compare_folders(runs / "far", runs / "near")

    assert once == again


def test_compare_runs_single_video_has_no_interval(runs):
    for name in ("far", "near"):
        edit_videos(runs / name, num_videos=1)

    success = compare_folders(runs / "far", runs / "near")["success"]

    assert success.difference > 0
    assert np.isnan(success.low)
    assert not success.is_certain


class PageParser(html.parser.HTMLParser):
    """Counts the elements of a page and collects its addresses.

    Attributes:
        counts: number of elements by tag.
        addresses: values of all `src` and `href`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def parse_page(page: Path) -> PageParser:
    parser = PageParser()
    parser.feed(page.read_text())
    return parser


def list_captions(text: str) -> Iterator[str]:
    return (part.partition("</figcaption>")[0] for part in text.split("<figcaption>")[1:])


def test_report_is_self_contained_with_all_videos(runs):
    page = runs / "report.html"

    parser = parse_page(page)

    text = page.read_text()
    assert all(address.startswith(("data:", "#")) for address in parser.addresses)
    assert parser.counts["img"] == 12  # the worst of 24 videos
    assert parser.counts["svg"] == 3  # success, precision, by video
    assert text.count('data-value="v') == 8
    assert next(list_captions(text)).startswith("far: v0")  # the smallest target, 5 px off


def test_compare_command_writes_differences_and_report(runs, tmp_path):
    output = tmp_path / "comparison"

    result = run_rstrack("compare", runs / "far", runs / "near", "--resamples", 100, "--output", output)

    assert result.exit_code == 0, result.output
    assert "8 common videos" in result.output
    differences = json.loads((output / "differences.json").read_text())
    assert list(differences[0]) == ["figure", "first", "second", "low", "high"]
    assert differences[0]["figure"] == "success"
    assert differences[0]["low"] > 0
    assert "Difference, near - far" in (output / "report.html").read_text()
    assert parse_page(output / "report.html").counts["img"] == 12


def test_compare_command_default_is_number_of_resamples():
    defaults = {parameter.name: parameter.default for parameter in compare.params}

    assert defaults["num_resamples"] == NUM_RESAMPLES


def test_compare_command_reports_what_cannot_be_compared(runs, tmp_path):
    no_run = run_rstrack("compare", tmp_path, runs / "near")
    edit_videos(runs / "far", num_videos=0)
    no_common_video = run_rstrack("compare", runs / "far", runs / "near")

    assert "is not the folder of an evaluation run" in no_run.output
    assert "have no video in common" in no_common_video.output
    assert (no_run.exit_code, no_common_video.exit_code) == (1, 1)
