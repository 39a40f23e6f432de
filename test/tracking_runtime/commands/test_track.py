"""`rstrack track`: real trackers, options, errors, and processes that are interrupted or killed."""

from __future__ import annotations

import csv
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.boxes import intersection_over_union
from tracking_runtime.cli import rstrack
from tracking_runtime.datasets.result_files import read_tracks
from tracking_runtime.io import open_source

MakeVideo = Callable[..., Path]
SIDE = 256
SIZE = 14
ALL_FILES = {
    "overlay.mp4",
    "report.html",
    "summary.json",
    "tracks.csv",
    "tracks.jsonl",
    "tracks.txt",
}

_RED_TRACKER = """
import numpy as np
from tracking_runtime.boxes import ScoredBoxes, as_boxes

class RedTracker:
    default_model = "red"
    follows_one_target = False
    description = {"model": "red"}

    def __init__(self, model, engine):
        pass

    def start_video(self, video):
        pass

    def track(self, frame):
        rows, columns = np.nonzero(frame.image[..., 2] > 200)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        return ScoredBoxes(np.array([1]), as_boxes([box]), np.ones(1), np.zeros(1, np.int64), ("confirmed",))
"""


def make_images(num_frames: int) -> list[np.ndarray]:
    """Make textured color frames with a bright box that moves 3 pixels a frame to the right."""
    rng = np.random.default_rng(1)
    background = np.repeat(np.repeat(rng.integers(40, 120, (SIDE // 4, SIDE // 4, 3)), 4, 0), 4, 1)
    images = []
    for index in range(num_frames):
        image = background.astype(np.uint8)
        x, y, width, height = true_box(index)
        image[y : y + height, x : x + width] = (40, 80, 250)
        image[y + 3 : y + 6, x + 3 : x + 10] = (250, 250, 40)
        images.append(image)
    return images


def true_box(index: int) -> tuple[int, int, int, int]:
    return 40 + 3 * (index % 50), 120, SIZE + 10, SIZE


@pytest.fixture
def red(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the tracker `red`, which finds red pixels, and return the folder for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "red_tracker.py").write_text(_RED_TRACKER)
    metadata = folder / "red_tracker-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: red-tracker\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[remote_sensing_tracking.trackers]\nred = red_tracker:RedTracker\n"
    )
    monkeypatch.syspath_prepend(folder)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["track", *map(str, arguments)])


def list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_track_finds_moving_objects_of_a_video(tmp_path: Path) -> None:
    from tracking_runtime.io.video_writer import VideoWriter

    source = open_source("scene:satellite?seed=3&frames=8&size=256")
    video = tmp_path / "sat.mp4"
    with VideoWriter(video, source.rate_hz) as writer:
        for frame in source:
            writer.write(frame.image, frame.stamp_ns)
    output = tmp_path / "out"

    result = run(video, "-o", output)

    assert result.exit_code == 0, result.output
    assert list_names(output) == ALL_FILES
    summary = json.loads((output / "summary.json").read_text())
    tracks = read_tracks(output / "tracks.txt", 8)
    assert summary["num_tracks"] >= 1 and len(tracks[-1].ids) >= 1
    assert len(open_source(output / "overlay.mp4")) == 8
    assert summary["tracker"]["model"] == "spax_small"
    assert set(summary["files"]) == ALL_FILES


@pytest.mark.slow
def test_track_follows_boxes_from_the_first_frame(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video("car.mp4", make_images(6))
    output = tmp_path / "out"
    box = ",".join(map(str, true_box(0)))

    result = run(video, "--box", box, "--box", "150,30,40,40", "-o", output, "--no-video")

    assert result.exit_code == 0, result.output
    assert list_names(output) == ALL_FILES - {"overlay.mp4"}
    rows = list(csv.DictReader((output / "tracks.csv").open()))
    first_target = [row for row in rows if row["id"] == "1"]
    boxes = [[float(row[name]) for name in ("x", "y", "width", "height")] for row in first_target]
    overlaps = [intersection_over_union(box, true_box(index))[0, 0] for index, box in enumerate(boxes)]
    assert len(first_target) == 6 and {row["id"] for row in rows} == {"1", "2"}
    assert np.mean(overlaps) > 0.6
    assert {row["state"] for row in rows} <= {"tracking", "uncertain", "lost"}


@pytest.mark.slow
def test_track_takes_a_folder_with_only_the_first_box(tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "frames"
    folder.mkdir()
    for index, image in enumerate(make_images(4)):
        cv2.imwrite(str(folder / f"{index + 1:06d}.png"), image)
    (folder / "groundtruth_rect.txt").write_text(",".join(map(str, true_box(0))) + "\n")

    result = run(folder, "--box", "40,120,24,14", "-o", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert len((tmp_path / "out" / "tracks.txt").read_text().splitlines()) == 4


@pytest.mark.usefixtures("red")
def test_track_streams_rows_and_writes_no_files(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = make_video("car.mp4", make_images(6))
    monkeypatch.chdir(tmp_path)

    result = run(video, "--tracker", "red", "--stream", "--start", 2, "--every", 2)

    assert result.exit_code == 0, result.output
    assert [json.loads(line)["frame"] for line in result.stdout.splitlines()] == [2, 4, 6]
    assert list_names(tmp_path) == {"car.mp4"}


@pytest.mark.usefixtures("red")
def test_offline_track_is_marked_in_every_file(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(8)), tmp_path / "out"

    result = run(video, "--tracker", "red", "--offline", "-o", output, "--start", 3)

    assert result.exit_code == 0, result.output
    assert "use later frames (non-causal)" in result.output.replace("\n", " ")
    assert list_names(output) == ALL_FILES
    summary = json.loads((output / "summary.json").read_text())
    assert summary["causal"] is False and "non-causal" in summary["tracker"]["causality"]
    assert "non-causal" in (output / "report.html").read_text()
    rows = list(csv.DictReader((output / "tracks.csv").open()))
    assert [row["frame"] for row in rows] == ["3", "4", "5", "6", "7", "8"]
    assert {row["causal"] for row in rows} == {"no"}
    lines = [json.loads(line) for line in (output / "tracks.jsonl").read_text().splitlines()]
    assert [line["causal"] for line in lines] == [False] * 6
    overlaps = [
        intersection_over_union(track["box"], true_box(line["frame"] - 1))[0, 0]
        for line in lines
        for track in line["tracks"]
    ]
    assert len(overlaps) == 6 and np.mean(overlaps) > 0.8


@pytest.mark.usefixtures("red")
def test_track_without_offline_is_causal(make_video: MakeVideo, tmp_path: Path) -> None:
    run(make_video("car.mp4", make_images(3)), "--tracker", "red", "-o", tmp_path / "out")

    assert json.loads((tmp_path / "out" / "summary.json").read_text())["causal"] is True
    assert "causal" not in (tmp_path / "out" / "tracks.csv").read_text()
    assert "causal" not in (tmp_path / "out" / "tracks.jsonl").read_text()


@pytest.mark.usefixtures("red")
def test_offline_track_of_a_live_stream_is_refused(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video("live.ts", make_images(5))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{video.name}"

        result = run(address, "--tracker", "red", "--offline", "-o", tmp_path / "out")
        server.shutdown()

    assert result.exit_code == 1
    assert "--offline needs all frames" in result.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("red")
def test_track_of_several_sources_continues_after_an_error(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video("car.mp4", make_images(4))
    (tmp_path / "broken.mp4").write_bytes(video.read_bytes()[:-500])

    result = run(tmp_path / "broken.mp4", video, "--tracker", "red", "-o", tmp_path / "out")

    assert result.exit_code == 1
    assert list_names(tmp_path / "out") == {"car"} and list_names(tmp_path / "out" / "car") == ALL_FILES
    assert "broken.mp4 was cut off" in result.output
    assert "1 of 2 sources could not be tracked" in result.output


@pytest.mark.usefixtures("red")
def test_track_overwrites_an_earlier_run_only_if_asked(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(3)), tmp_path / "out"

    results = [
        run(video, "--tracker", "red", "-o", output, *options) for options in ([], [], ["--overwrite"])
    ]

    assert [result.exit_code for result in results] == [0, 1, 0]
    assert list_names(output) == ALL_FILES


@pytest.mark.usefixtures("red")
def test_track_of_a_georeferenced_video_writes_positions(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(5)), tmp_path / "out"
    reference = tmp_path / "map.yaml"
    corners = {"top_left": (48.001, 11), "top_right": (48.001, 11.001)}
    corners |= {"bottom_right": (48, 11.001), "bottom_left": (48, 11)}
    lines = [f"  {name}: {{latitude: {y}, longitude: {x}}}" for name, (y, x) in corners.items()]
    reference.write_text("\n".join(["corners:", *lines, f"size: [{SIDE}, {SIDE}]"]))

    result = run(video, "--tracker", "red", "--geography", reference, "-o", output)

    assert result.exit_code == 0, result.output
    assert list_names(output) == ALL_FILES | {"tracks.geojson", "tracks.kml"}
    rows = list(csv.DictReader((output / "tracks.csv").open()))
    longitudes = [float(row["longitude"]) for row in rows]
    expected = [11 + (float(row["x"]) + float(row["width"]) / 2) / SIDE * 0.001 for row in rows]
    np.testing.assert_allclose(longitudes, expected, atol=1e-7)
    meters_per_pixel = 0.001 * 74_629 / SIDE  # a degree of longitude at a latitude of 48 degrees has 74.6 km
    lengths_m = [float(row["length_m"]) for row in rows]
    np.testing.assert_allclose(lengths_m, [float(row["width"]) * meters_per_pixel for row in rows], rtol=1e-3)
    assert json.loads((output / "tracks.geojson").read_text())["features"][0]["properties"]["id"] == 1


@pytest.mark.usefixtures("red")
def test_track_with_a_pixel_size_reports_speeds(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(6)), tmp_path / "out"

    result = run(video, "--tracker", "red", "--ground-sample-distance", "0.5", "-o", output, "--no-video")

    assert result.exit_code == 0, result.output
    summary = json.loads((output / "summary.json").read_text())
    (track,) = summary["tracks"]
    assert track["mean_speed_m_s"] == pytest.approx(3 * 0.5 * summary["rate_hz"], rel=0.1)
    assert track["mean_length_m"] == pytest.approx(0.5 * (SIZE + 10), abs=1)
    assert "mean speed [m/s]" in (output / "report.html").read_text()


@pytest.mark.usefixtures("red")
def test_track_with_two_pixel_sizes_is_refused(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(2)), tmp_path / "out"
    (tmp_path / "map.yaml").write_text("homographies: rows.txt\n")
    (tmp_path / "rows.txt").write_text("1e-5 0 11 0 -1e-5 45 0 0 1")
    options = ("--geography", tmp_path / "map.yaml", "--ground-sample-distance", "0.5")

    result = run(video, "--tracker", "red", *options, "-o", output)

    assert result.exit_code == 1
    assert "exclude each other" in result.output
    assert not output.exists()


@pytest.mark.usefixtures("red")
def test_track_tells_a_map_without_reference_system(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(2)), tmp_path / "out"
    (tmp_path / "car.wld").write_text("1\n0\n0\n-1\n600000.5\n5299999.5\n")

    result = run(video, "--tracker", "red", "-o", output)

    assert result.exit_code == 0
    assert "the map of car has no coordinate reference system; add a .prj file" in result.output
    assert not (output / "tracks.geojson").exists()


@pytest.mark.usefixtures("red")
def test_track_refuses_a_map_of_another_image_size(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output, path = make_video("car.mp4", make_images(2)), tmp_path / "out", tmp_path / "map.yaml"
    path.write_text("transform: [1e-5, 0, 11, 0, -1e-5, 48]\nsize: [100, 50]\n")

    result = run(video, "--tracker", "red", "--geography", path, "-o", output)

    assert result.exit_code == 1
    assert f"Error: {path}: size of the geographic reference must be that of the images" in result.output
    assert not output.exists()


@pytest.mark.usefixtures("red")
def test_track_finds_homographies_by_frame_number(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(6)), tmp_path / "out"
    rows = [f"1e-5 0 {10 + number} 0 -1e-5 45 0 0 1" for number in range(1, 7)]
    (tmp_path / "rows.txt").write_text("\n".join(rows))
    (tmp_path / "map.yaml").write_text("homographies: rows.txt\n")

    result = run(
        video,
        "--tracker",
        "red",
        "--geography",
        tmp_path / "map.yaml",
        "-o",
        output,
        "--start",
        2,
        "--every",
        2,
    )

    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((output / "tracks.csv").open()))
    assert [(row["frame"], row["longitude"][:2]) for row in rows] == [("2", "12"), ("4", "14"), ("6", "16")]


@pytest.mark.usefixtures("red")
def test_track_above_the_horizon_keeps_its_tracks(make_video: MakeVideo, tmp_path: Path) -> None:
    video, output = make_video("car.mp4", make_images(2)), tmp_path / "out"
    (tmp_path / "rows.txt").write_text("1e-5 11 -2750 0 45 -11249.999 0 1 -250")
    (tmp_path / "map.yaml").write_text("homographies: rows.txt\n")

    result = run(video, "--tracker", "red", "--geography", tmp_path / "map.yaml", "-o", output)

    assert result.exit_code == 0, result.output
    assert "no box is on the ground" in result.output.replace("\n", " ")
    assert list_names(output) == ALL_FILES


@pytest.mark.usefixtures("red")
def test_track_of_a_live_stream_ends_with_the_stream(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video("live.ts", make_images(5))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{video.name}"

        result = run(address, "--tracker", "red", "-o", tmp_path / "out")
        server.shutdown()

    frames = json.loads((tmp_path / "out" / "summary.json").read_text())["frames"]
    assert result.exit_code == 0, result.output
    assert frames["source"] is None and frames["tracked"] + frames["dropped"] == 5
    assert list_names(tmp_path / "out") == ALL_FILES


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"text\n" * 99, "content is text"), (None, "was cut off")],
)
def test_track_of_a_broken_file_leaves_nothing(
    make_video: MakeVideo, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    video = make_video("clip.mp4", make_images(3))
    video.write_bytes(video.read_bytes()[:-400] if content is None else content)

    result = run(video, "-o", tmp_path / "out")

    assert result.exit_code == 1
    assert str(video) in result.output.replace("\n", "") and reason in result.output.replace("\n", " ")
    assert list_names(tmp_path) == {"clip.mp4"}


def test_track_refuses_a_folder_with_files(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video("clip.mp4", make_images(2))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tracks.csv").write_text("mine")

    result = run(video, "-o", tmp_path / "out")

    assert result.exit_code == 1
    assert "or add --overwrite" in result.output.replace("\n", " ")
    assert (tmp_path / "out" / "tracks.csv").read_text() == "mine"


@pytest.mark.parametrize("box", ["1,2,3", "1,2,x,4", "1,2,0,4", "1,2,3,-4", "1,2,inf,4", "nan,1,2,3", ""])
def test_track_refuses_an_invalid_box(box: str) -> None:
    result = run("clip.mp4", "--box", box)

    assert result.exit_code == 2
    assert "box" in result.output


def test_track_refuses_boxes_for_spax(make_video: MakeVideo, tmp_path: Path) -> None:
    result = run(
        make_video("a.mp4", make_images(1)), "--tracker", "spax", "--box", "1,1,9,9", "-o", tmp_path / "o"
    )

    assert result.exit_code == 1
    assert "--tracker spax finds all moving objects itself; remove --box" in result.output.replace("\n", " ")


def test_track_of_hyperspectral_video_asks_for_boxes(tmp_path: Path) -> None:
    result = run("scene:hyperspectral?seed=1&frames=5", "-o", tmp_path / "out")

    assert result.exit_code == 1
    assert "draw them with --select, or give --box X,Y,WIDTH,HEIGHT" in result.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_track_select_without_display_saves_the_frame(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = make_video("clip.mp4", make_images(2))
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    result = run(video, "--select", "-o", tmp_path / "out")

    assert result.exit_code == 1
    assert "--box X,Y,WIDTH,HEIGHT" in result.output.replace("\n", " ")
    assert list_names(tmp_path) == {"clip.mp4", "clip_first_frame.png"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_killed_track_keeps_rows_and_video(
    make_video: MakeVideo, tmp_path: Path, red: Path, number: signal.Signals, status: int
) -> None:
    video = make_video("car.mp4", make_images(800))
    output = tmp_path / "out"
    process = _start(red, "track", video, "--tracker", "red", "-o", output)

    _wait_for(lambda: _count_lines(output / "tracks.jsonl") >= 60)
    process.send_signal(number)
    text, _ = process.communicate(timeout=120)

    num_lines = _count_lines(output / "tracks.jsonl")
    num_overlay = len(list(open_source(output / "overlay.mp4")))
    assert process.returncode == status, text
    assert 60 <= num_lines < 800
    if number is signal.SIGKILL:
        assert 10 <= num_overlay <= num_lines
    else:
        assert num_overlay == num_lines and list_names(output) == ALL_FILES
        assert json.loads((output / "summary.json").read_text())["interrupted"] is True


def _start(plugin: Path, *arguments: object) -> subprocess.Popen[str]:
    command: Sequence[str] = [sys.executable, "-m", "tracking_runtime.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{plugin}:{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )


def _count_lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def _wait_for(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)
