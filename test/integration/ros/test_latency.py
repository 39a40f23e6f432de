"""`rstrack bench latency` over DDS."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from click.testing import CliRunner

from tracking_runtime.cli import rstrack
from tracking_runtime.ros.benchmarks.latency import iterate_ping_pong

pytestmark = pytest.mark.ros
COMMAND = ["bench", "latency"]
SCENE = "scene:satellite?seed=1000003&size=128&frames=5"


def test_latency_counts_every_frame_and_writes_results(tmp_path: Path) -> None:
    arguments = ["spax_tracker", "--source", SCENE, "--frames", "12", "--idle", "0.5"]

    result = CliRunner().invoke(rstrack, [*COMMAND, *arguments, "--output", str(tmp_path)])

    assert result.exit_code == 0, result.output
    measured = json.loads((tmp_path / "latency.json").read_text())
    assert sum(measured["fates"].values()) == measured["published"] == 12
    processed = measured["fates"]["processed"]
    assert measured["latency"]["count"] == measured["stages"]["total"]["count"] - 1 == processed - 1
    besides_engine_ms = measured["stages"]["besides_engine"]["p50"]
    assert measured["besides_engine_ms"][0] == pytest.approx(measured["transport"]["p50"] + besides_engine_ms)
    assert measured["latency"]["p50"] > measured["stages"]["engine"]["p50"] > 0
    assert measured["idle_cpu_percent"] > 0
    assert measured["start_s"] > measured["stages"]["total"]["max"] / 1000 > 0
    assert (tmp_path / "latency.png").stat().st_size > 10_000
    assert "all but the engine" in result.output
    assert "start of the process to the first tracks" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["absent", "--source", SCENE], "node 'absent' is unknown; available: georeferencer, hsi_tracker"),
        (["spax_tracker", "--source", "scene:absent"], "absent"),
        (["spax_tracker"], "--source"),
        (
            ["spax_tracker", "--source", SCENE, "--kept", "3", "--set", "model=absent"],
            "no model named absent",
        ),
        (["spax_tracker", "--source", SCENE, "--kept", "3", "--set", "model"], "must be NAME=VALUE"),
    ],
)
def test_latency_with_invalid_argument_names_it(arguments: list[str], reason: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(rstrack, [*COMMAND, *arguments, "--output", str(tmp_path)])

    assert result.exit_code != 0
    assert reason in result.output


def test_ping_pong_repeats_no_end_image() -> None:
    images = islice(iterate_ping_pong([b"1", b"2", b"3"]), 8)

    assert b"".join(images) == b"12321232"
