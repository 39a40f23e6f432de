"""Tests of `rstrack bench hsi`: its trackers, its report and its reuse of results."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.benchmark.base import BenchmarkFrame
from hsi_tracker_ros.benchmark.opencv import OpenCVTracker, find_missing_opencv_trackers, make_opencv_entries
from hsi_tracker_ros.benchmark.trackers import (
    CONTROL,
    NO_ONLINE_UPDATE,
    REFERENCE,
    RGB_CONTROL,
    RGB_DEFAULT_SETTINGS,
    RGB_SIAMBAN_SETTINGS,
    TrackerSuite,
)
from hsi_tracker_ros.benchmark.videos import SimulatedVideo
from hsi_tracker_ros.hanet.weights import load_network, save_network
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import make_tracker_settings
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.cli import rstrack
from tracking_runtime.evaluation.run import read_run
from tracking_runtime.io.source_recorder import record_source

ANY_CAMERA_MODEL = ("--model", "hanet_edge_any")
HANET_ENTRIES = [REFERENCE, NO_ONLINE_UPDATE, RGB_SIAMBAN_SETTINGS, RGB_DEFAULT_SETTINGS]


@dataclass(frozen=True)
class Benchmark:
    """A finished benchmark.

    Attributes:
        dataset: folder of the recorded videos.
        output: folder of the report.
        result: result of the command.
    """

    dataset: Path
    output: Path
    result: Result


def run_bench(*arguments: object) -> Result:
    return CliRunner().invoke(
        rstrack, ["bench", "hsi", "--engine", "pytorch", *map(str, arguments)], catch_exceptions=False
    )


def read_json(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / "hsi.json").read_text())
    return content


def list_opencv_names() -> list[str]:
    return [entry.name for entry in make_opencv_entries()]


def write_hot_dataset(root: Path, num_frames: int) -> Path:
    """Write a simulated video in the layout of HOT 2020, with its attributes."""
    folder = root / "test" / "car" / "HSI"
    folder.mkdir(parents=True)
    rows = []
    scene = HyperspectralScene(1_000_003, num_frames, kind="mosaic", size=(192, 128))
    for number, frame in enumerate(scene, start=1):
        cv2.imwrite(str(folder / f"{number:04}.png"), frame.image)
        rows.append("\t".join(f"{value:g}" for value in frame.truth.boxes[0]) + "\t\n")
    (folder / "groundtruth_rect.txt").write_text("".join(rows))
    (root / "test" / "attributes.yaml").write_text("car: [BC, IPR]\n")
    return root / "test"


def write_rgb_dataset(root: Path) -> None:
    """Write a simulated video in false color, in the layout of OTB."""
    folder = root / "walk" / "img"
    folder.mkdir(parents=True)
    scene = HyperspectralScene(1_000_003, 6, size=(192, 128))
    camera = HyperspectralScene(1_000_003, 6).spectral_info
    rows = []
    for number, frame in enumerate(scene, start=1):
        image = BenchmarkFrame(frame.image, camera, 0).false_color
        cv2.imwrite(str(folder / f"{number:04}.png"), image)
        rows.append(",".join(f"{value:g}" for value in frame.truth.boxes[0]) + "\n")
    (folder.parent / "groundtruth_rect.txt").write_text("".join(rows))


def make_frames(scene: HyperspectralScene) -> list[BenchmarkFrame]:
    return [BenchmarkFrame(frame.image, scene.spectral_info, frame.stamp_ns) for frame in scene]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    root = tmp_path_factory.mktemp("bench")
    dataset = write_hot_dataset(root, 4)
    output = root / "out"
    rgb_model = save_network(root, "an_rgb_tracker", load_network("hanet_edge_vis16").extract_rgb_network())
    arguments = dataset, *ANY_CAMERA_MODEL, "--rgb-model", rgb_model, "--seeds", 1, "--frames", 5
    result = run_bench(*arguments, "--speed", "--output", output)
    return Benchmark(dataset, output, result)


@pytest.mark.slow
def test_bench_scores_all_trackers_on_all_videos(benchmark: Benchmark) -> None:
    content = read_json(benchmark.output)
    results = content["results"]

    assert benchmark.result.exit_code == 0, benchmark.result.output
    names = [result["name"] for result in results]
    assert names == [*HANET_ENTRIES, "an_rgb_tracker", *list_opencv_names()]
    assert "MIL" in names
    for result in results:
        assert result["failed"] == []
        assert result["videos"] == 2
        assert set(result["by_video"]) == {"natural-1000000", "car"}
        assert {"BC", "IPR", "DEF"} <= set(result["by_attribute"])
        assert 0 < result["figures"]["success"] <= 1
        assert result["frames_per_second"] > 0
        assert result["lost_and_found"]["present"] == 9
    assert results[0]["figures"]["success"] > 0.5
    assert content["speed"]["milliseconds"] > 0
    assert content["speed"]["batch_milliseconds"] > 0


@pytest.mark.slow
def test_bench_writes_tables_page_and_charts(benchmark: Benchmark) -> None:
    page = (benchmark.output / "report.html").read_text()

    for text in ("precision", "Success of HA-Net minus", "Lost and found", "8 targets in a batch"):
        assert text in benchmark.result.output
    assert "Lost and found" in page
    assert "without online update" in page
    assert cv2.imread(str(benchmark.output / "hsi.png")) is not None
    assert len(read_run(benchmark.output / "HA-Net").scored_videos) == 2


@pytest.mark.slow
def test_rgb_video_is_tracked_by_all_trackers(tmp_path: Path) -> None:
    write_rgb_dataset(tmp_path)

    result = run_bench(tmp_path, *ANY_CAMERA_MODEL, "--seeds", 0, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    reference, no_online_update, siamban, *_ = read_json(tmp_path / "out")["results"]
    assert reference["figures"]["success"] == no_online_update["figures"]["success"] > 0.5
    assert siamban["figures"]["success"] > 0.5


@pytest.mark.slow
def test_finished_results_are_reused(benchmark: Benchmark) -> None:
    video_file = benchmark.output / "HA-Net" / "videos" / "car.json"
    written_ns = video_file.stat().st_mtime_ns
    first_results = {result["name"]: result for result in read_json(benchmark.output)["results"]}
    arguments = (benchmark.dataset, *ANY_CAMERA_MODEL, "--engine", "pytorch", "--seeds", 1, "--frames", 5)
    options = (*arguments, "--output", benchmark.output)
    command = [sys.executable, "-m", "tracking_runtime.cli", "bench", "hsi", *map(str, options)]

    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    assert process.returncode == 0, process.stderr
    assert video_file.stat().st_mtime_ns == written_ns
    results = read_json(benchmark.output)["results"]
    assert [result["name"] for result in results] == [*HANET_ENTRIES, *list_opencv_names()]
    assert all(result == first_results[result["name"]] for result in results)


@pytest.mark.slow
def test_bench_runs_on_cubes_with_control(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(20, 200, (12, 16, 16)).astype(np.float32)
    np.save(tmp_path / "field.npy", cv2.resize(coarse, (160, 120)).astype(np.uint8))
    arguments = ("--seeds", 0, "--cubes", tmp_path, "--cube-videos", 1, "--frames", 4, "--control")
    names = (REFERENCE, CONTROL, RGB_CONTROL)

    result = run_bench(
        *arguments, *(option for name in names for option in ("--only", name)), "--output", tmp_path / "out"
    )

    assert result.exit_code == 0, result.output
    results = {tracker["name"]: tracker for tracker in read_json(tmp_path / "out")["results"]}
    assert list(results) == list(names)
    for row in ("three channels over their false color", "camera's bands over three channels"):
        assert row in result.output
    for tracker in results.values():
        assert tracker["failed"] == []
        assert set(tracker["by_attribute"]) == {"distinct", "camouflage", "look-alikes"}


@pytest.mark.slow
def test_control_needs_a_model_for_any_bands(tmp_path: Path) -> None:
    result = run_bench("--model", "hanet_edge_vis16", "--seeds", 1, "--control", "--output", tmp_path)

    assert result.exit_code == 1
    assert "--control must have a model for any bands: got hanet_edge_vis16" in result.output.replace(
        "\n", " "
    )


@pytest.mark.slow
def test_unreadable_video_does_not_stop_others(tmp_path: Path) -> None:
    dataset = write_hot_dataset(tmp_path, 3)
    (dataset / "car" / "HSI" / "0002.png").write_bytes(b"nothing")

    result = run_bench(dataset, "--only", "MIL", "--seeds", 1, "--frames", 3, "--output", tmp_path / "out")

    assert result.exit_code == 1
    assert "0002.png" in result.output
    for tracker in read_json(tmp_path / "out")["results"]:
        assert "0002.png" in tracker["failed"][0]
        assert tracker["videos"] == 1


@pytest.mark.slow
def test_refused_frame_does_not_stop_other_videos(tmp_path: Path) -> None:
    dataset = write_hot_dataset(tmp_path, 3)
    path = dataset / "car" / "HSI" / "0002.png"
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:-1])

    result = run_bench(dataset, "--only", "MIL", "--seeds", 1, "--frames", 3, "--output", tmp_path / "out")

    assert result.exit_code == 1
    (tracker,) = read_json(tmp_path / "out")["results"]
    assert set(tracker["by_video"]) == {"natural-1000000"}
    (failure,) = tracker["failed"]
    assert failure.startswith("car: SourceError: frame 2: ")
    assert "4 x 4" in failure
    assert failure[len("car: ") :] in unescape((tmp_path / "out" / "report.html").read_text())
    assert "MIL, car: SourceError: frame 2" in result.output


@pytest.mark.slow
def test_recordings_with_equal_names_get_own_results(tmp_path: Path) -> None:
    # Two bags named as the demo names them, and one named like a simulated video.
    bags = [tmp_path / demo / "hyperspectral" / "bag" for demo in ("first", "second")]
    bags.append(tmp_path / "natural-1000000")
    for seed, bag in enumerate(bags, start=1_000_003):
        bag.parent.mkdir(parents=True, exist_ok=True)
        scene = HyperspectralScene(seed, 4, size=(192, 128))
        assert list(record_source(scene, bag))

    result = run_bench(*bags, "--only", "MIL", "--seeds", 1, "--frames", 4, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    (tracker,) = read_json(tmp_path / "out")["results"]
    assert set(tracker["by_video"]) == {
        "simulated/natural-1000000",
        "natural-1000000/natural-1000000",
        "first/hyperspectral/bag",
        "second/hyperspectral/bag",
    }
    result_files = [path.read_text() for path in (tmp_path / "out" / "MIL" / "results").iterdir()]
    first_boxes = {text.splitlines()[0] for text in result_files}
    assert len(result_files) == len(first_boxes) == 4


@pytest.mark.slow
def test_invalid_options_are_reported(tmp_path: Path) -> None:
    rgb_model = save_network(tmp_path, "rgb", load_network("hanet_edge_vis16").extract_rgb_network())

    no_videos = run_bench("--seeds", 0, "--output", tmp_path)
    training_seed = run_bench("--first-seed", 5, "--output", tmp_path)
    unknown_tracker = run_bench("--only", "HA-Net", "--only", "somebody", "--output", tmp_path)
    unknown_model = run_bench("--model", "nobody", "--output", tmp_path)
    rgb_only = run_bench("--model", rgb_model, "--output", tmp_path)

    assert no_videos.exit_code == 2
    assert "nothing to measure" in no_videos.output
    assert training_seed.exit_code == 1
    assert "may have been trained on" in training_seed.output
    assert unknown_tracker.exit_code == 1
    assert "got somebody; available: HA-Net, without" in unknown_tracker.output
    assert unknown_model.exit_code == 1
    assert "nobody" in unknown_model.output
    assert rgb_only.exit_code == 1
    assert "without a spectral branch" in rgb_only.output


@pytest.mark.slow
def test_speed_of_untrained_network_is_measured(tmp_path: Path) -> None:
    arguments = "--seeds", 0, "--speed", "--frames", 2, "--output", tmp_path

    result = run_bench("--model", "untrained:hanet_edge", *arguments)

    assert result.exit_code == 0, result.output
    assert read_json(tmp_path)["speed"]["bands"] == 16


@pytest.mark.slow
def test_rgb_branch_ignores_invisible_band_changes() -> None:
    # Another cube with the same false color must give the same boxes.
    scene = HyperspectralScene(1_000_031, 6, size=(256, 160))
    camera = scene.spectral_info
    entries = {entry.name: entry for entry in TrackerSuite(engine="pytorch").select_entries()}
    frames = list(scene)
    invisible_spectrum = compute_invisible_spectrum(camera.wavelengths_nm)

    boxes_by_strength = []
    for strength in (0.0, 0.25):
        tracker = entries[RGB_SIAMBAN_SETTINGS].make_tracker(camera)
        boxes = []
        for index, frame in enumerate(frames):
            cube = frame.image.astype(np.float32)
            cube += strength * cube.mean(axis=2, keepdims=True) * invisible_spectrum * (index > 0)
            benchmark_frame = BenchmarkFrame(cube, camera, frame.stamp_ns)
            if index == 0:
                tracker.initialize(benchmark_frame, frame.truth.boxes[0])
            else:
                boxes.append(tracker.track(benchmark_frame).box)
        boxes_by_strength.append(np.array(boxes))

    np.testing.assert_allclose(boxes_by_strength[0], boxes_by_strength[1], atol=1.0)


def compute_invisible_spectrum(wavelengths_nm: tuple[float, ...]) -> np.ndarray:
    """Return a spectrum, (bands,), that no color matching function responds to."""
    from hsi_tracker_ros.cubes.false_color import make_false_color_matrix

    matrix = np.asarray(make_false_color_matrix(wavelengths_nm), np.float64)
    *_, rows = np.linalg.svd(matrix.T)
    return (rows[-1] / np.abs(rows[-1]).max()).astype(np.float32)


@pytest.mark.slow
def test_opencv_tracker_follows_moving_target() -> None:
    scene = HyperspectralScene(1_000_003, 8, size=(256, 160))
    tracker = OpenCVTracker(cv2.TrackerMIL_create)
    true_boxes = [frame.truth.boxes for frame in scene]
    first_frame, *next_frames = make_frames(scene)

    tracker.initialize(first_frame, true_boxes[0][0])
    predicted_boxes = [tracker.track(frame).box for frame in next_frames]

    overlaps = [
        intersection_over_union(predicted, true)[0, 0]
        for predicted, true in zip(predicted_boxes, true_boxes[1:], strict=True)
    ]
    assert np.mean(overlaps) > 0.5


@pytest.mark.slow
def test_box_across_border_initializes_all_trackers() -> None:
    scene = HyperspectralScene(1_000_003, 2, size=(256, 160))
    first_frame, second_frame = make_frames(scene)
    box = np.array([-6.5, -4.0, 20.0, 14.0])

    for entry in TrackerSuite(engine="pytorch").select_entries():
        tracker = entry.make_tracker(scene.spectral_info)
        tracker.initialize(first_frame, box)
        assert np.isfinite(tracker.track(second_frame).box).all()


@pytest.mark.slow
def test_missing_opencv_trackers_have_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in find_missing_opencv_trackers():
        assert name not in list_opencv_names()

    monkeypatch.delattr(cv2, "TrackerMIL_create")

    assert "MIL" in find_missing_opencv_trackers()
    assert "MIL" not in list_opencv_names()


@pytest.mark.slow
def test_fingerprints_change_with_components() -> None:
    video = SimulatedVideo(1_000_000, 5)
    components = {entry.name: entry.components for entry in TrackerSuite(engine="pytorch").select_entries()}

    assert repr(video) != repr(replace(video, frames=6))
    assert len({tuple(sorted(components[name].items())) for name in HANET_ENTRIES}) == 4
    assert "online_interval=0" in components[NO_ONLINE_UPDATE]["settings"]
    settings = make_tracker_settings(load_network("hanet_edge_any").config)
    assert repr(settings) == components[REFERENCE]["settings"]
