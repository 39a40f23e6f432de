import re
import time
from io import StringIO

from rich.console import Console

from tracking_runtime.commands.engine import shown_build
from tracking_runtime.engines.build_progress import BuildProgress, followed, part, stage


def test_parts_share_the_whole_and_the_time_left_follows_from_what_is_behind():
    told: list[BuildProgress] = []
    began = time.monotonic()
    with followed(told.append):
        for index in range(4):
            part(index, 4)
            stage("converting", 0.0)
            stage("compiling", 0.5)
    assert [each.share for each in told] == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]
    assert told[0].seconds_left is None
    assert str(told[0]) == "converting, 0%"
    for each in told[1:]:
        assert each.finish_s is not None
        assert began <= each.finish_s <= time.monotonic() + (time.monotonic() - began) * 7
    assert str(BuildProgress("compiling", 0.25, time.monotonic() - 1)) == "compiling, 25%, about 0 s left"


def test_nobody_needs_to_follow():
    part(0, 2)
    stage("converting", 0.0)


def test_following_ends_with_its_block():
    told: list[BuildProgress] = []
    with followed(told.append):
        stage("one", 0.5)
    stage("another", 0.5)
    assert [each.stage for each in told] == ["one"]


def test_what_only_waits_is_as_far_as_before():
    told: list[BuildProgress] = []
    with followed(told.append):
        stage("compiling", 0.5)
        stage("waiting")
        part(1, 2)
        stage("waiting")
    assert [each.share for each in told] == [0.5, 0.5, 0.5]


def test_the_time_left_that_is_shown_goes_down_during_a_stage():
    screen = StringIO()
    with shown_build(Console(file=screen, force_terminal=True, width=100)):
        time.sleep(0.2)
        stage("compiling [int8]", 0.02)
        time.sleep(2.5)
    left = [
        int(seconds)
        for seconds in re.findall(r"compiling \[int8\], 2%, about (\d+) s left", screen.getvalue())
    ]
    assert left[0] > left[-1] > 0
    assert left == sorted(left, reverse=True)
