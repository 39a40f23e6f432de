"""The demo as users run it: real processes, short flights."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("trackeval", reason="TrackEval is not installed (extra: evaluation)")

from tracking_runtime.bags import BagReader
from tracking_runtime.models.manifest import find_model

FRAMES = 12
PATIENCE_S = 400
REAL_FRAMES = Path(__file__).parents[3].parent / "shared/data/satellite/car-0001/img"


def command(output: Path, *options: object) -> list[str]:
    arguments = ["demo", "--output", output, *options]
    return [sys.executable, "-m", "tracking_runtime.cli", *map(str, arguments)]


def run(output: Path, *options: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(output, *options),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, **environment},
        check=False,
    )


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that were given a file of this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    done = run(folder, "--frames", FRAMES, "--rate", 0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(folder / "report.html") in done.stdout
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def flights(output: Path) -> dict[str, dict]:
    metrics = json.loads((output / "metrics.json").read_text())
    return {flight["name"]: flight for flight in metrics["flights"]}


@pytest.mark.parametrize("name", ["hyperspectral", "satellite"])
class TestEachFlight:
    def test_every_frame_is_accounted_for(self, flights: dict[str, dict], name: str) -> None:
        account = flights[name]["accounting"]
        assert account["is_exact"]
        assert account["published"] == account["processed"] == FRAMES

    def test_the_recording_holds_it_all(self, output: Path, flights: dict[str, dict], name: str) -> None:
        reader = BagReader(output / flights[name]["bag"])
        tracks = {"hyperspectral": "/hsi_tracker/tracks", "satellite": "/spax_tracker/tracks"}[name]
        assert reader.complete
        assert reader.counts["/image"] == reader.counts["/ground_truth"] == reader.counts[tracks] == FRAMES
        assert reader.counts["/diagnostics"] > 0

    def test_figures_stages_and_pictures_are_there(
        self, output: Path, flights: dict[str, dict], name: str
    ) -> None:
        flight = flights[name]
        figures = {figure["name"]: figure["value"] for figure in flight["scoring"]["figures"]}
        assert {"hyperspectral": "success AUC", "satellite": "MOTA"}[name] in figures
        assert flight["stages"]["total"]["count"] == FRAMES
        assert flight["network"]["engine"]
        assert flight["network"]["weights_sha256"]
        assert flight["pictures"]
        for picture in flight["pictures"]:
            assert cv2.imread(str(output / picture["path"])).size


def test_the_page_stands_alone(output: Path) -> None:
    page = (output / "report.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert "http://" not in page and "https://" not in page
    assert cv2.imread(str(output / "overview.png")).size


def test_no_process_is_left(output: Path) -> None:
    assert processes_of(output) == []


def test_a_node_that_fails_is_shown_with_its_log(tmp_path: Path) -> None:
    manifest = find_model("hanet_edge_vis16")
    shutil.copy(manifest, tmp_path)
    (tmp_path / "hanet_edge_vis16.safetensors").write_bytes(b"broken")
    done = run(tmp_path / "out", "--only", "hyperspectral", RSTRACK_MODEL_PATH=str(tmp_path))
    assert done.returncode == 1
    assert "hanet_edge_vis16.safetensors" in done.stderr
    assert "The end of" in done.stderr
    assert processes_of(tmp_path) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, wait_for: Callable[..., object]) -> None:
    demo = subprocess.Popen(
        command(tmp_path / "out", "--only", "satellite"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "out/satellite/player.log"
    wait_for(log.exists, 120, "the player's start")
    demo.send_signal(signal.SIGINT)
    _, complaint = demo.communicate(timeout=120)
    assert demo.returncode == 1
    assert "interrupted" in complaint
    assert processes_of(tmp_path) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "satellite").mkdir()
    (tmp_path / "satellite/thesis.txt").write_text("years of work")
    done = run(tmp_path, "--only", "satellite", "--frames", FRAMES)
    assert done.returncode == 1
    assert "choose another --output" in done.stderr
    assert (tmp_path / "satellite/thesis.txt").exists()


@pytest.mark.skipif(not REAL_FRAMES.is_dir(), reason="no ../shared/data/satellite beside this repository")
def test_a_real_car_is_covered(tmp_path: Path) -> None:
    done = run(tmp_path, "--satellite", REAL_FRAMES)
    assert done.returncode == 0, done.stdout + done.stderr
    (flight,) = json.loads((tmp_path / "metrics.json").read_text())["flights"]
    figures = {figure["name"]: figure["value"] for figure in flight["scoring"]["figures"]}
    assert figures["annotated object covered"] >= 0.6
    assert flight["accounting"]["processed"] == 200
    shutil.rmtree(tmp_path)
