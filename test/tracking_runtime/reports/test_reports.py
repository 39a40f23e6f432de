"""A report of made-up flights: what it says, that it stands alone, and that its data can be read back."""

from __future__ import annotations

import html.parser
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tracking_runtime.reports.html import write_html
from tracking_runtime.reports.overview import write_overview
from tracking_runtime.reports.plots import chart_svg, stages_svg, ways_svg
from tracking_runtime.reports.report_data import (
    Accounting,
    Chart,
    Curve,
    Figure,
    FlightResult,
    Network,
    Picture,
    Report,
    Scoring,
    Table,
    Way,
    WayMap,
    write_metrics,
)
from tracking_runtime.system_info import this_machine
from tracking_runtime.timing import StageSummary

THRESHOLDS = tuple(np.arange(21) / 20)
STAGES = {"decode": StageSummary(120, 2.1, 3.4, 9.0), "network": StageSummary(120, 48.0, 61.5, 90.0)}


def a_flight(folder: Path, name: str) -> FlightResult:
    rng = np.random.default_rng(1)
    cv2.imwrite(str(folder / f"{name}.jpg"), rng.integers(0, 255, (128, 256, 3), np.uint8))
    steps = np.arange(40.0)
    ways = tuple(Way(k, tuple(20 * k + steps), tuple(30 + 10 * k + steps)) for k in range(1, 6))
    scoring = Scoring(
        figures=(
            Figure("success AUC", 0.6871, meaning="21 thresholds", headline=True),
            Figure("mean error", 3.25, "px", headline=True),
            Figure("identity switches", 3),
            Figure("absence noticed", math.nan, meaning="the target never left"),
        ),
        charts=(
            Chart(
                "Success",
                "overlap threshold",
                "share of frames",
                (Curve("OTB 0.687", THRESHOLDS, tuple(1 - np.square(THRESHOLDS))),),
                (0, 1),
            ),
        ),
        tables=(Table("By rule", ("rule", "MOTA", "IDs"), (("IoU >= 0.3 <b>", 0.6123, 3),), "note"),),
        maps=(WayMap("Ways", 256, 128, ways, ways[1:]),),
        note="A made-up flight.",
    )
    return FlightResult(
        name=name,
        title=f"Flight {name} & more",
        source="scene:nothing",
        rate_hz=25.0,
        seconds=6.5,
        network=Network("model_a", "torch", "ab" * 32, {"trained_on": "nothing"}),
        accounting=Accounting(published=150, processed=120, dropped=28, refused=1, lost=1),
        stages=STAGES,
        scoring=scoring,
        pictures=(Picture(f"{name}.jpg", "frame 12 <of> it"),),
        bag=f"{name}/bag",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    flights = (a_flight(folder, "one"), a_flight(folder, "two"))
    report = Report("Two flights", "2030-01-02T03:04:05+00:00", this_machine(), flights, "rstrack demo")
    write_html(report, folder / "report.html")
    write_metrics(report, folder / "metrics.json")
    write_overview(report, folder / "overview.png")
    return report


@pytest.fixture(scope="module")
def page(report: Report, folder: Path) -> str:
    return (folder / "report.html").read_text()


class Elements(html.parser.HTMLParser):
    """Collects tags with attributes and checks that elements are closed in order."""

    VOID = {"meta", "img", "br", "link", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(page: str) -> None:
    elements = Elements(page)
    assert elements.open == []
    references = [
        value
        for _, attributes in elements.found
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href", "data", "action") and value
    ]
    assert references
    assert all(reference.startswith(("data:", "#")) for reference in references)
    assert not re.search(r"https?://|@import|url\((?!['\"]?[#d])", page)
    assert not [tag for tag, _ in elements.found if tag in ("script", "link", "iframe")]


def test_the_page_says_what_the_report_holds(page: str) -> None:
    for text in (
        "Two flights",
        "Flight one &amp; more",
        "0.687",
        "3.250 px",
        "80.0%",
        "150 published = 150 accounted",
        "ab" * 32,
        "IoU &gt;= 0.3 &lt;b&gt;",
        "frame 12 &lt;of&gt; it",
        "trained on",
        this_machine().processor,
    ):
        assert text in page, text


def test_an_inexact_account_is_shouted(report: Report, folder: Path) -> None:
    flight = report.flights[0]
    wrong = replace(flight, accounting=replace(flight.accounting, dropped=27))
    write_html(replace(report, flights=(wrong,)), folder / "wrong.html")
    assert "150 published ≠ 149 accounted" in (folder / "wrong.html").read_text()


def test_metrics_are_the_reports_fields(report: Report, folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["schema"] == 1
    flight = metrics["flights"][0]
    assert flight["scoring"]["figures"][0]["value"] == 0.6871
    assert flight["scoring"]["figures"][3]["value"] is None
    assert flight["accounting"] == {
        "published": 150,
        "processed": 120,
        "dropped": 28,
        "refused": 1,
        "failed": 0,
        "lost": 1,
        "is_exact": True,
    }
    assert flight["stages"]["network"]["p95"] == 61.5
    assert metrics["machine"]["cores"] == report.machine.cores


def test_the_overview_shows_every_flight(report: Report, folder: Path) -> None:
    two = cv2.imread(str(folder / "overview.png"))
    write_overview(replace(report, flights=report.flights[:1]), folder / "single.png")
    one = cv2.imread(str(folder / "single.png"))
    assert two.shape[1] == 2 * one.shape[1]
    assert two.std() > 20


def test_plots_take_the_page_s_colour_and_are_the_same_every_time(report: Report) -> None:
    scoring = report.flights[0].scoring
    for draw, value in ((chart_svg, scoring.charts[0]), (ways_svg, scoring.maps[0]), (stages_svg, STAGES)):
        first = draw(value)
        assert first == draw(value)
        assert ElementTree.fromstring(first).tag == "svg"
        assert "currentColor" in first
        assert "#010203" not in first


def test_figures_read_as_people_write_them() -> None:
    assert Figure("", 0.61234).text == "0.612"
    assert Figure("", 12.345, "ms").text == "12.3 ms"
    assert Figure("", 12).text == "12"
    assert Figure("", math.nan, "px").text == "n/a"
