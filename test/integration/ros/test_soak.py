"""`rstrack bench soak` and `rstrack bench cameras` on real processes, for seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from click.testing import CliRunner

from tracking_runtime.cli import rstrack
from tracking_runtime.ros.benchmarks.camera_capacity import LoadPoint, search_highest_rate

pytestmark = [pytest.mark.ros, pytest.mark.slow]
SCENES = {
    "spax_tracker": "scene:satellite?seed=1000003&size=128&frames=5",
    "hsi_tracker": "scene:hyperspectral?seed=1000003&frames=5",
}
SOURCES = [option for node, scene in SCENES.items() for option in ("--source", f"{node}={scene}")]
# A short run on a busy machine shows the mechanism, not the drift.
WIDE = ["--max-memory-growth", "1", "--max-p99-growth", "100"]


def test_soak_of_both_trackers_samples_and_counts_frames(tmp_path: Path) -> None:
    times = ["--minutes", "0.3", "--warm-up", "0.05", "--rate", "4"]
    command = ["bench", "soak", *SOURCES, *times, *WIDE, "--set", "engine=pytorch"]

    result = CliRunner().invoke(rstrack, [*command, "--output", str(tmp_path)])

    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "soak.json").read_text())
    assert (data["is_ended"], data["problems"]) == (True, [])
    assert {node["node"] for node in data["nodes"]} == set(SCENES)
    for node in data["nodes"]:
        assert sum(node["counts"].values()) == node["published"] > 20
        assert len(node["samples"]) >= 3
        assert all(sample["memory_mb"] > 50 and sample["threads"] > 1 for sample in node["samples"])
        assert sum(sample["arrived"] for sample in node["samples"]) > 0
    assert (tmp_path / "soak.png").stat().st_size > 10_000
    assert "Soak of spax_tracker, hsi_tracker" in (tmp_path / "soak.html").read_text()


def test_exceeded_bound_fails_the_soak(tmp_path: Path) -> None:
    times = ["--minutes", "0.2", "--warm-up", "0.01", "--rate", "4", "--max-memory-growth", "-1"]
    command = ["bench", "soak", *SOURCES[:2], *times, "--set", "engine=pytorch"]

    result = CliRunner().invoke(rstrack, [*command, "--output", str(tmp_path)])

    assert result.exit_code == 1
    assert "spax_tracker: resident memory grew by" in result.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--minutes", "5"], "--warm-up must be shorter than --minutes 5"),
        (["--source", "spax_tracker"], "--source must be NODE=ADDRESS"),
        (["--source", "absent=scene:satellite"], "node 'absent' is unknown"),
    ],
)
def test_soak_with_invalid_options_names_them(options: list[str], reason: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(rstrack, ["bench", "soak", *options, "--output", str(tmp_path)])

    assert result.exit_code != 0
    assert reason in result.output


def test_cameras_reports_rates_and_degradation(tmp_path: Path) -> None:
    command = [
        "bench",
        "cameras",
        "spax_tracker",
        "--source",
        SCENES["spax_tracker"],
        "--set",
        "engine=pytorch",
    ]

    result = CliRunner().invoke(
        rstrack, [*command, "--cameras", "2", "--seconds", "1", "--output", str(tmp_path)]
    )

    assert result.exit_code == 0, result.output
    (capacity,) = json.loads((tmp_path / "cameras.json").read_text())["capacities"]
    assert capacity["num_cameras"] == 2
    rates = [point["rate_hz"] for point in capacity["points"]]
    assert rates == sorted(rates)
    assert len(rates) >= 6
    assert max(point["drop_fraction"] for point in capacity["points"]) > 0.01
    assert (tmp_path / "cameras.html").exists()


@pytest.mark.parametrize("capacity_hz", [0.3, 1.0, 7.7, 100.0])
def test_search_finds_the_highest_rate(capacity_hz: float) -> None:
    def measure(rate_hz: float) -> LoadPoint:
        drop_fraction = max(1 - capacity_hz / rate_hz, 0.0)
        return LoadPoint(rate_hz, min(rate_hz, capacity_hz), drop_fraction, 1.0, 2.0)

    highest_hz = search_highest_rate(measure, 0.01)

    assert highest_hz <= capacity_hz / 0.99
    assert highest_hz >= 0.9 * capacity_hz
