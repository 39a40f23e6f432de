"""Tests of `rstrack demo` with real processes and short scenarios."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from tracking_runtime.bags import BagReader
from tracking_runtime.models.manifest import find_model

pytestmark = [pytest.mark.ros, pytest.mark.slow]

NUM_FRAMES = 12
TIMEOUT_S = 400
TRACKS_TOPICS = {"hyperspectral": "/hsi_tracker/tracks", "satellite": "/spax_tracker/tracks"}
MAIN_METRICS = {"hyperspectral": "success AUC", "satellite": "MOTA"}
REAL_FRAMES = Path(__file__).parents[3].parent / "shared/data/satellite/car-0001/img"


@dataclass(frozen=True)
class Demo:
    """A finished demo.

    Attributes:
        output: folder of the report.
        scenarios: contents of metrics.json by scenario.
    """

    output: Path
    scenarios: dict[str, dict[str, Any]]


def make_command(output: Path, *options: object) -> list[str]:
    arguments = ["demo", "--output", output, *options]
    return [sys.executable, "-m", "tracking_runtime.cli", *map(str, arguments)]


def run_demo(output: Path, *options: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        make_command(output, *options),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
        check=False,
    )


def read_scenarios(output: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((output / "metrics.json").read_text())
    return {scenario["name"]: scenario for scenario in content["flights"]}


def read_metrics(scenario: dict[str, Any]) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in scenario["scoring"]["figures"]}


def find_command_lines(folder: Path) -> list[str]:
    """Return the command lines of the running processes that name a file in a folder."""
    command_lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command_line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command_line:
            command_lines.append(command_line)
    return command_lines


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    output = tmp_path_factory.mktemp("demo")
    process = run_demo(output, "--frames", NUM_FRAMES, "--rate", 0)
    assert process.returncode == 0, process.stdout + process.stderr
    assert str(output / "report.html") in process.stdout
    yield Demo(output, read_scenarios(output))
    shutil.rmtree(output)


@pytest.mark.parametrize("name", ["hyperspectral", "satellite"])
class TestScenario:
    def test_all_frames_are_accounted_for(self, demo: Demo, name: str) -> None:
        accounting = demo.scenarios[name]["accounting"]

        assert accounting["is_exact"]
        assert accounting["published"] == accounting["processed"] == NUM_FRAMES

    def test_bag_contains_all_messages(self, demo: Demo, name: str) -> None:
        reader = BagReader(demo.output / demo.scenarios[name]["bag"])

        assert reader.is_complete
        for topic in ("/image", "/ground_truth", TRACKS_TOPICS[name]):
            assert reader.counts[topic] == NUM_FRAMES
        assert reader.counts["/diagnostics"] > 0

    def test_metrics_stages_and_pictures_are_written(self, demo: Demo, name: str) -> None:
        scenario = demo.scenarios[name]

        assert MAIN_METRICS[name] in read_metrics(scenario)
        assert scenario["stages"]["total"]["count"] == NUM_FRAMES
        assert scenario["network"]["engine"]
        assert scenario["network"]["weights_sha256"]
        assert scenario["pictures"]
        for picture in scenario["pictures"]:
            assert cv2.imread(str(demo.output / picture["path"])).size


def test_report_needs_no_other_file(demo: Demo) -> None:
    page = (demo.output / "report.html").read_text()

    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert "http://" not in page
    assert "https://" not in page
    assert cv2.imread(str(demo.output / "overview.png")).size


def test_finished_demo_leaves_no_process(demo: Demo) -> None:
    assert find_command_lines(demo.output) == []


def test_failed_node_is_reported_with_its_log(tmp_path: Path) -> None:
    shutil.copy(find_model("hanet_edge_vis16"), tmp_path)
    (tmp_path / "hanet_edge_vis16.safetensors").write_bytes(b"broken")

    process = run_demo(tmp_path / "out", "--only", "hyperspectral", RSTRACK_MODEL_PATH=str(tmp_path))

    assert process.returncode == 1
    assert "hanet_edge_vis16.safetensors" in process.stderr
    assert "The end of" in process.stderr
    assert find_command_lines(tmp_path) == []


def test_interrupted_demo_leaves_no_process(tmp_path: Path, wait_for: Callable[..., object]) -> None:
    process = subprocess.Popen(
        make_command(tmp_path / "out", "--only", "satellite"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    player_log = tmp_path / "out/satellite/player.log"
    wait_for(player_log.exists, 120, "the player's start")

    process.send_signal(signal.SIGINT)
    _, error_output = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "interrupted" in error_output
    assert find_command_lines(tmp_path) == []


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    other_file = tmp_path / "satellite/thesis.txt"
    other_file.parent.mkdir()
    other_file.write_text("years of work")

    process = run_demo(tmp_path, "--only", "satellite", "--frames", NUM_FRAMES)

    assert process.returncode == 1
    assert "choose another --output" in process.stderr
    assert other_file.exists()


@pytest.mark.skipif(not REAL_FRAMES.is_dir(), reason="no ../shared/data/satellite beside this repository")
def test_real_car_is_covered(tmp_path: Path) -> None:
    process = run_demo(tmp_path, "--satellite", REAL_FRAMES)

    assert process.returncode == 0, process.stdout + process.stderr
    (scenario,) = read_scenarios(tmp_path).values()
    assert read_metrics(scenario)["annotated object covered"] >= 0.6
    assert scenario["accounting"]["processed"] == 200
    shutil.rmtree(tmp_path)
