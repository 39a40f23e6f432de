"""A report of made-up demo scenarios: its page, its data and its overview picture."""

from __future__ import annotations

import html.parser
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tracking_runtime.reports.html import write_html
from tracking_runtime.reports.overview import write_overview
from tracking_runtime.reports.plots import render_chart, render_stages, render_trajectories
from tracking_runtime.reports.report_data import (
    Curve,
    DemoReport,
    DemoResult,
    DemoScores,
    FrameAccounting,
    Metric,
    NetworkInfo,
    Picture,
    Table,
    Trajectory,
    TrajectoryMap,
    make_success_chart,
    write_metrics,
)
from tracking_runtime.system_info import describe_machine
from tracking_runtime.timing import StageSummary

THRESHOLDS = tuple(np.arange(21) / 20)
CHART = make_success_chart([Curve("OTB 0.687", THRESHOLDS, tuple(1 - np.square(THRESHOLDS)))])
STEPS = np.arange(40.0)
TRAJECTORIES = tuple(
    Trajectory(track_id, tuple(20 * track_id + STEPS), tuple(30 + 10 * track_id + STEPS))
    for track_id in range(1, 6)
)
TRAJECTORY_MAP = TrajectoryMap("Trajectories", 256, 128, TRAJECTORIES, TRAJECTORIES[1:])
STAGES = {"decode": StageSummary(120, 2.1, 3.4, 9.0), "network": StageSummary(120, 48.0, 61.5, 90.0)}


@dataclass(frozen=True)
class WrittenReport:
    """A report and the folder with its files."""

    data: DemoReport
    folder: Path

    @property
    def page(self) -> str:
        """Text of the HTML page."""
        return (self.folder / "report.html").read_text()


def make_result(folder: Path, name: str) -> DemoResult:
    """Make the result of a scenario and write its picture."""
    rng = np.random.default_rng(1)
    cv2.imwrite(str(folder / f"{name}.jpg"), rng.integers(0, 255, (128, 256, 3), np.uint8))
    scores = DemoScores(
        figures=(
            Metric("success AUC", 0.6871, meaning="21 thresholds", headline=True),
            Metric("mean error", 3.25, "px", headline=True),
            Metric("identity switches", 3),
            Metric("absence noticed", math.nan, meaning="the target never left"),
        ),
        charts=(CHART,),
        tables=(Table("By rule", ("rule", "MOTA", "IDs"), (("IoU >= 0.3 <b>", 0.6123, 3),), "note"),),
        maps=(TRAJECTORY_MAP,),
        note="A made-up scenario.",
    )
    return DemoResult(
        name=name,
        title=f"Scenario {name} & more",
        source="scene:nothing",
        rate_hz=25.0,
        seconds=6.5,
        network=NetworkInfo("model_a", "torch", "ab" * 32, {"trained_on": "nothing"}),
        accounting=FrameAccounting(published=150, processed=120, dropped=28, refused=1, lost=1),
        stages=STAGES,
        scoring=scores,
        pictures=(Picture(f"{name}.jpg", "frame 12 <of> it"),),
        bag=f"{name}/bag",
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> WrittenReport:
    """Write the report of two scenarios."""
    folder = tmp_path_factory.mktemp("report")
    results = (make_result(folder, "one"), make_result(folder, "two"))
    created = "2030-01-02T03:04:05+00:00"
    data = DemoReport("Two scenarios", created, describe_machine(), results, "rstrack demo")
    write_html(data, folder / "report.html")
    write_metrics(data, folder / "metrics.json")
    write_overview(data, folder / "overview.png")
    return WrittenReport(data, folder)


class ElementCollector(html.parser.HTMLParser):
    """Collects tags with their attributes. Checks that elements are closed in order."""

    VOID_TAGS = {"meta", "img", "br", "link", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open_tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID_TAGS:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def test_page_is_self_contained(report: WrittenReport) -> None:
    page = report.page
    collector = ElementCollector(page)

    references = [
        value
        for _, attributes in collector.elements
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href", "data", "action") and value
    ]
    assert collector.open_tags == []
    assert references
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert not re.search(r"https?://|@import|url\((?!['\"]?[#d])", page)
    assert not [tag for tag, _ in collector.elements if tag in ("script", "link", "iframe")]


def test_page_shows_the_data_of_the_report(report: WrittenReport) -> None:
    page = report.page

    for text in (
        "Two scenarios",
        "Scenario one &amp; more",
        "0.687",
        "3.250 px",
        "80.0%",
        "150 published = 150 accounted",
        "ab" * 32,
        "IoU &gt;= 0.3 &lt;b&gt;",
        "frame 12 &lt;of&gt; it",
        "trained on",
        describe_machine().processor,
    ):
        assert text in page, text


def test_page_warns_of_frames_that_are_not_accounted(report: WrittenReport) -> None:
    result = report.data.flights[0]
    inexact = replace(result, accounting=replace(result.accounting, dropped=27))

    path = report.folder / "inexact.html"
    write_html(replace(report.data, flights=(inexact,)), path)

    assert "150 published ≠ 149 accounted" in path.read_text()


def test_metrics_file_has_the_fields_of_the_report(report: WrittenReport) -> None:
    metrics = json.loads((report.folder / "metrics.json").read_text())

    assert metrics["schema"] == 1
    result = metrics["flights"][0]
    assert result["scoring"]["figures"][0]["value"] == 0.6871
    assert result["scoring"]["figures"][3]["value"] is None
    assert result["accounting"] == {
        "published": 150,
        "processed": 120,
        "dropped": 28,
        "refused": 1,
        "failed": 0,
        "lost": 1,
        "is_exact": True,
    }
    assert result["stages"]["network"]["p95"] == 61.5
    assert metrics["machine"]["cores"] == report.data.machine.cores


def test_overview_shows_every_scenario(report: WrittenReport) -> None:
    single_path = report.folder / "single.png"
    write_overview(replace(report.data, flights=report.data.flights[:1]), single_path)

    both = cv2.imread(str(report.folder / "overview.png"))
    single = cv2.imread(str(single_path))
    assert both.shape[1] == 2 * single.shape[1]
    assert both.std() > 20


@pytest.mark.parametrize(
    ("render", "data"),
    [(render_chart, CHART), (render_trajectories, TRAJECTORY_MAP), (render_stages, STAGES)],
)
def test_svg_is_deterministic_and_in_the_text_color(render: Callable[[Any], str], data: Any) -> None:
    svg = render(data)

    assert svg == render(data)
    assert ElementTree.fromstring(svg).tag == "svg"
    assert "currentColor" in svg
    assert "#010203" not in svg


def test_metric_text_has_digits_and_unit() -> None:
    assert Metric("", 0.61234).text == "0.612"
    assert Metric("", 12.345, "ms").text == "12.3 ms"
    assert Metric("", 12).text == "12"
    assert Metric("", math.nan, "px").text == "n/a"
