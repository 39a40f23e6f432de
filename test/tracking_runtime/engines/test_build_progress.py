"""Progress of engines that are built."""

from __future__ import annotations

import re
import time
from io import StringIO

import pytest
from rich.console import Console

from tracking_runtime.commands.engine import show_build_progress
from tracking_runtime.engines.build_progress import (
    BuildProgress,
    begin_engine,
    report_progress_to,
    report_stage,
)


@pytest.fixture
def reports() -> list[BuildProgress]:
    return []


def test_progress_of_several_engines_estimates_the_end(reports: list[BuildProgress]) -> None:
    start_s = time.monotonic()

    with report_progress_to(reports.append):
        for index in range(4):
            begin_engine(index, 4)
            report_stage("converting", 0.0)
            report_stage("compiling", 0.5)

    assert [progress.fraction for progress in reports] == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]
    assert reports[0].seconds_left is None
    assert str(reports[0]) == "converting, 0%"
    for progress in reports[1:]:
        assert progress.finish_s is not None
        assert start_s <= progress.finish_s <= time.monotonic() + (time.monotonic() - start_s) * 7
    past = BuildProgress("compiling", 0.25, time.monotonic() - 1)
    assert str(past) == "compiling, 25%, about 0 s left"


def test_progress_without_receiver_is_ignored() -> None:
    begin_engine(0, 2)
    report_stage("converting", 0.0)


def test_progress_after_the_block_is_not_reported(reports: list[BuildProgress]) -> None:
    with report_progress_to(reports.append):
        report_stage("one", 0.5)

    report_stage("another", 0.5)

    assert [progress.stage for progress in reports] == ["one"]


def test_stage_without_fraction_keeps_the_fraction(reports: list[BuildProgress]) -> None:
    with report_progress_to(reports.append):
        report_stage("compiling", 0.5)
        report_stage("waiting")
        begin_engine(1, 2)
        report_stage("waiting")

    assert [progress.fraction for progress in reports] == [0.5, 0.5, 0.5]


def test_shown_time_left_decreases_during_a_stage() -> None:
    screen = StringIO()

    with show_build_progress(Console(file=screen, force_terminal=True, width=100)):
        time.sleep(0.2)
        report_stage("compiling [int8]", 0.02)
        time.sleep(2.5)

    pattern = r"compiling \[int8\], 2%, about (\d+) s left"
    seconds_left = [int(seconds) for seconds in re.findall(pattern, screen.getvalue())]
    assert seconds_left[0] > seconds_left[-1] > 0
    assert seconds_left == sorted(seconds_left, reverse=True)
