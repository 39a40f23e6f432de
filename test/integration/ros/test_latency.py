"""``rstrack bench latency`` over real DDS."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from click.testing import CliRunner

from tracking_runtime.cli import main
from tracking_runtime.ros.benchmarks.latency import to_and_fro

COMMAND = ["bench", "latency"]
SCENE = "scene:satellite?seed=1000003&size=128&frames=5"


def test_every_frame_is_timed_or_accounted_for(tmp_path: Path) -> None:
    arguments = ["spax_tracker", "--source", SCENE, "--frames", "12", "--idle", "0.5"]
    done = CliRunner().invoke(main, [*COMMAND, *arguments, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "latency.json").read_text())
    assert sum(found["fates"].values()) == found["published"] == 12
    processed = found["fates"]["processed"]
    assert found["latency"]["count"] == found["stages"]["total"]["count"] - 1 == processed - 1
    inside = found["stages"]["besides_engine"]["p50"]
    assert found["besides_engine_ms"][0] == pytest.approx(found["transport"]["p50"] + inside)
    assert found["latency"]["p50"] > found["stages"]["engine"]["p50"] > 0
    assert found["idle_cpu_percent"] > 0
    assert found["start_s"] > found["stages"]["total"]["max"] / 1000 > 0
    assert (tmp_path / "latency.png").stat().st_size > 10_000
    assert "all but the engine" in done.output
    assert "start of the process to the first tracks" in done.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["absent", "--source", SCENE], "no node absent; there are hsi_tracker"),
        (["spax_tracker", "--source", "scene:absent"], "absent"),
        (["spax_tracker"], "--source"),
        (
            ["spax_tracker", "--source", SCENE, "--kept", "3", "--set", "model=absent"],
            "no model named absent",
        ),
        (["spax_tracker", "--source", SCENE, "--kept", "3", "--set", "model"], "given as NAME=VALUE"),
    ],
)
def test_what_cannot_be_timed_is_named(arguments: list[str], reason: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*COMMAND, *arguments, "--output", str(tmp_path)])
    assert done.exit_code != 0
    assert reason in done.output


def test_frames_go_forwards_and_backwards() -> None:
    frames = islice(to_and_fro([b"1", b"2", b"3"]), 8)
    assert b"".join(frames) == b"12321232"
