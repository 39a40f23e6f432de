"""``rstrack bench hsi``: what it measures, tells and keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("colour", reason="needs the extra `simulation`")

from hsi_tracker_ros.benchmark.base import Shown
from hsi_tracker_ros.benchmark.opencv import OpenCVTracker, missing_opencv_trackers, opencv_contenders
from hsi_tracker_ros.benchmark.trackers import NOT_UPDATED, OUR_RULES, REFERENCE, SIAMBAN_RULES, Lineup
from hsi_tracker_ros.benchmark.videos import SimulatedVideo
from hsi_tracker_ros.hanet.weights import load_network, save_network
from hsi_tracker_ros.simulation import HyperspectralScene
from hsi_tracker_ros.tracker import TrackerSettings
from tracking_runtime.bags.source_recorder import record
from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.cli import main
from tracking_runtime.evaluation.run import read_run

ANY_CAMERA = ("--model", "hanet_edge_any")
OURS = [REFERENCE, NOT_UPDATED, SIAMBAN_RULES, OUR_RULES]


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(
        main, ["bench", "hsi", "--engine", "pytorch", *map(str, arguments)], catch_exceptions=False
    )


def hot_folder(root: Path, frames: int) -> Path:
    """A simulated video laid out as HOT 2020, with its attributes."""
    folder = root / "test" / "car" / "HSI"
    folder.mkdir(parents=True)
    rows = []
    scene = HyperspectralScene(1_000_003, frames, kind="mosaic", size=(192, 128))
    for number, frame in enumerate(scene, 1):
        cv2.imwrite(str(folder / f"{number:04}.png"), frame.image)
        rows.append("\t".join(f"{value:g}" for value in frame.truth.boxes[0]) + "\t\n")
    (folder / "groundtruth_rect.txt").write_text("".join(rows))
    (root / "test" / "attributes.yaml").write_text("car: [BC, IPR]\n")
    return root / "test"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    root = tmp_path_factory.mktemp("bench")
    place, output = hot_folder(root, 4), root / "out"
    rgb = save_network(root, "an_rgb_tracker", load_network("hanet_edge_vis16").rgb_alone())
    arguments = place, *ANY_CAMERA, "--rgb-model", rgb, "--seeds", 1, "--frames", 5
    result = bench(*arguments, "--speed", "--output", output)
    return place, output, result


def test_everyone_is_measured_on_simulated_videos_and_on_a_folder(
    measured: tuple[Path, Path, Result],
) -> None:
    _, output, result = measured
    assert result.exit_code == 0, result.output
    content = json.loads((output / "hsi.json").read_text())
    names = [each["name"] for each in content["results"]]
    assert names == [*OURS, "an_rgb_tracker", *(each.name for each in opencv_contenders())]
    assert "MIL" in names
    for each in content["results"]:
        assert each["failed"] == [] and each["videos"] == 2
        assert set(each["by_video"]) == {"hyperspectral-1000000", "car"}
        assert {"BC", "IPR", "DEF"} <= set(each["by_attribute"])
        assert 0 < each["figures"]["success"] <= 1 and each["frames_per_second"] > 0
        assert each["lost_and_found"]["present"] == 9
    assert content["results"][0]["figures"]["success"] > 0.5
    assert content["speed"]["milliseconds"] > 0 and content["speed"]["batch_milliseconds"] > 0
    for text in ("precision", "By how much HA-Net's success", "Lost and found", "8 targets in a batch"):
        assert text in result.output
    page = (output / "report.html").read_text()
    assert "Lost and found" in page and "without online update" in page
    assert cv2.imread(str(output / "hsi.png")) is not None
    assert len(read_run(output / "HA-Net").scored) == 2


def test_of_an_ordinary_camera_everyone_sees_the_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "walk" / "img"
    folder.mkdir(parents=True)
    scene = list(HyperspectralScene(1_000_003, 6, size=(192, 128)))
    rows = []
    for number, frame in enumerate(scene, 1):
        shown = Shown(frame.image, HyperspectralScene(1_000_003, 6).spectral_info, 0)
        cv2.imwrite(str(folder / f"{number:04}.png"), shown.false_color)
        rows.append(",".join(f"{value:g}" for value in frame.truth.boxes[0]) + "\n")
    (folder.parent / "groundtruth_rect.txt").write_text("".join(rows))
    result = bench(tmp_path, *ANY_CAMERA, "--seeds", 0, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    ours, not_updated, siamban, *_ = json.loads((tmp_path / "out" / "hsi.json").read_text())["results"]
    assert ours["figures"]["success"] == not_updated["figures"]["success"] > 0.5
    assert siamban["figures"]["success"] > 0.5


def test_what_was_measured_is_not_measured_again(measured: tuple[Path, Path, Result]) -> None:
    place, output, _ = measured
    kept = output / "HA-Net" / "videos" / "car.json"
    before, content = kept.stat().st_mtime_ns, json.loads((output / "hsi.json").read_text())
    arguments = place, *ANY_CAMERA, "--engine", "pytorch", "--seeds", 1, "--frames", 5, "--output", output
    command = [sys.executable, "-m", "tracking_runtime.cli", "bench", "hsi", *map(str, arguments)]
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert again.returncode == 0, again.stderr
    assert kept.stat().st_mtime_ns == before
    kept_results = {each["name"]: each for each in content["results"]}
    results = json.loads((output / "hsi.json").read_text())["results"]
    assert [each["name"] for each in results] == [*OURS, *(each.name for each in opencv_contenders())]
    assert all(each == kept_results[each["name"]] for each in results)


def test_a_video_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    place = hot_folder(tmp_path, 3)
    (place / "car" / "HSI" / "0002.png").write_bytes(b"nothing")
    result = bench(place, "--only", "MIL", "--seeds", 1, "--frames", 3, "--output", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "hsi.json").read_text())
    assert all("0002.png" in each["failed"][0] and each["videos"] == 1 for each in content["results"])
    assert "0002.png" in result.output and result.exit_code == 1


def test_a_frame_that_cannot_be_used_stops_no_other_video(tmp_path: Path) -> None:
    place = hot_folder(tmp_path, 3)
    frame = place / "car" / "HSI" / "0002.png"
    cv2.imwrite(str(frame), cv2.imread(str(frame), cv2.IMREAD_UNCHANGED)[:-1])
    result = bench(place, "--only", "MIL", "--seeds", 1, "--frames", 3, "--output", tmp_path / "out")
    assert result.exit_code == 1
    (found,) = json.loads((tmp_path / "out" / "hsi.json").read_text())["results"]
    assert set(found["by_video"]) == {"hyperspectral-1000000"}
    (failure,) = found["failed"]
    assert failure.startswith("car: SourceError: frame 2: ") and "4 x 4" in failure
    assert failure[len("car: ") :] in unescape((tmp_path / "out" / "report.html").read_text())
    assert "MIL, car: SourceError: frame 2" in result.output


def test_recordings_of_one_name_are_measured_apart(tmp_path: Path) -> None:
    """As demos leave them, and one called like a simulated video."""
    bags = [tmp_path / demo / "hyperspectral" / "bag" for demo in ("first", "second")]
    bags.append(tmp_path / "hyperspectral-1000000")
    for seed, bag in enumerate(bags, 1_000_003):
        bag.parent.mkdir(parents=True, exist_ok=True)
        scene = HyperspectralScene(seed, 4, size=(192, 128))
        assert list(record(scene, bag))
    result = bench(*bags, "--only", "MIL", "--seeds", 1, "--frames", 4, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    (found,) = json.loads((tmp_path / "out" / "hsi.json").read_text())["results"]
    assert set(found["by_video"]) == {
        "simulated/hyperspectral-1000000",
        "hyperspectral-1000000/hyperspectral-1000000",
        "first/hyperspectral/bag",
        "second/hyperspectral/bag",
    }
    followed = [path.read_text() for path in (tmp_path / "out" / "MIL" / "results").iterdir()]
    assert len(followed) == len({boxes.splitlines()[0] for boxes in followed}) == 4, "each its own target"


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    nothing = bench("--seeds", 0, "--output", tmp_path)
    assert nothing.exit_code == 2 and "nothing to measure" in nothing.output
    trained = bench("--first-seed", 5, "--output", tmp_path)
    assert trained.exit_code == 1 and "may have been trained on" in trained.output
    nobody = bench("--only", "HA-Net", "--only", "somebody", "--output", tmp_path)
    assert nobody.exit_code == 1 and "no contender somebody; there: HA-Net, without" in nobody.output
    unknown = bench("--model", "nobody", "--output", tmp_path)
    assert unknown.exit_code == 1 and "nobody" in unknown.output
    rgb = save_network(tmp_path, "rgb", load_network("hanet_edge_vis16").rgb_alone())
    no_spectra = bench("--model", rgb, "--output", tmp_path)
    assert no_spectra.exit_code == 1 and "no spectral branch" in no_spectra.output


def test_a_network_with_random_weights_is_timed(tmp_path: Path) -> None:
    arguments = "--seeds", 0, "--speed", "--frames", 2, "--output", tmp_path
    result = bench("--model", "untrained:hanet_edge", *arguments)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "hsi.json").read_text())["speed"]["bands"] == 16


def test_the_rgb_branch_sees_no_spectra() -> None:
    """Bands exchanged for others of the same false colour change nothing that it says."""
    scene = HyperspectralScene(1_000_031, 6, size=(256, 160))
    camera = scene.spectral_info
    lineup = Lineup(engine="pytorch")
    contenders = {each.name: each for each in lineup.contenders()}
    frames = list(scene)
    box = frames[0].truth.boxes[0]
    hidden = _invisible(camera.wavelengths_nm)
    answers = []
    for change in (0.0, 0.25):
        tracker = contenders[SIAMBAN_RULES].make(camera)
        said = []
        for index, frame in enumerate(frames):
            cube = frame.image.astype(np.float32)
            cube += change * cube.mean(axis=2, keepdims=True) * hidden * (index > 0)
            shown = Shown(cube, camera, frame.stamp_ns)
            if index == 0:
                tracker.start(shown, box)
            else:
                said.append(tracker.track(shown).box)
        answers.append(np.array(said))
    np.testing.assert_allclose(answers[0], answers[1], atol=1.0)


def _invisible(wavelengths_nm: tuple[float, ...]) -> np.ndarray:
    """``(bands,)`` that no colour matching function sees."""
    from hsi_tracker_ros.cubes.false_color import false_color_matrix

    matrix = np.asarray(false_color_matrix(wavelengths_nm), np.float64)
    *_, rows = np.linalg.svd(matrix.T)
    return (rows[-1] / np.abs(rows[-1]).max()).astype(np.float32)


def test_opencv_trackers_follow_what_moves() -> None:
    scene = HyperspectralScene(1_000_003, 8, size=(256, 160))
    tracker = OpenCVTracker(cv2.TrackerMIL_create)
    answers = []
    for index, frame in enumerate(scene):
        shown = Shown(frame.image, scene.spectral_info, frame.stamp_ns)
        if index == 0:
            tracker.start(shown, frame.truth.boxes[0])
        else:
            answers.append(intersection_over_union(tracker.track(shown).box, frame.truth.boxes)[0, 0])
    assert np.mean(answers) > 0.5


def test_a_box_over_the_border_starts_any_contender() -> None:
    scene = HyperspectralScene(1_000_003, 2, size=(256, 160))
    first, second = (Shown(frame.image, scene.spectral_info, frame.stamp_ns) for frame in scene)
    for contender in Lineup(engine="pytorch").contenders():
        tracker = contender.make(scene.spectral_info)
        tracker.start(first, np.array([-6.5, -4.0, 20.0, 14.0]))
        assert np.isfinite(tracker.track(second).box).all()


def test_missing_trackers_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing_opencv_trackers():
        assert name not in [each.name for each in opencv_contenders()]
    monkeypatch.delattr(cv2, "TrackerMIL_create")
    assert "MIL" in missing_opencv_trackers()
    assert "MIL" not in [each.name for each in opencv_contenders()]


def test_fingerprints_change_with_what_is_measured() -> None:
    video = SimulatedVideo(1_000_000, 5)
    assert repr(video) != repr(replace(video, frames=6))
    ran = {each.name: each.ran for each in Lineup(engine="pytorch").contenders()}
    assert len({tuple(sorted(ran[name].items())) for name in OURS}) == 4
    assert "online_interval=0" in ran[NOT_UPDATED]["settings"]
    assert repr(TrackerSettings()) == ran[REFERENCE]["settings"]
