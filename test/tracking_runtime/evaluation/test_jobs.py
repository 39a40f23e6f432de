"""Trackers run over videos by `rstrack evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner, Result

from tracking_runtime.bags import BagWriter
from tracking_runtime.boxes import as_boxes
from tracking_runtime.cli import rstrack
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.messages.conversion import TRACKS, serialize_image, serialize_truth


def run_evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["evaluate", *map(str, arguments)])


def write_mosaic_video(folder: Path) -> None:
    """Write five mosaics of a bright square on noise in the layout of HOT 2020."""
    rng = np.random.default_rng(3)
    background = rng.integers(100, 160, (256, 256), np.uint16)
    folder.mkdir(parents=True)
    boxes = [(20 + number, 24, 10, 10) for number in range(5)]
    for number, (x, y, width, height) in enumerate(boxes, start=1):
        image = background.copy()
        image[4 * y : 4 * (y + height), 4 * x : 4 * (x + width)] = 700
        cv2.imwrite(str(folder / f"{number:04d}.png"), image)
    lines = ("\t".join(map(str, box)) + "\t\n" for box in boxes)
    (folder / "groundtruth_rect.txt").write_text("".join(lines))


def write_patch_recording(path: Path) -> None:
    """Write eight frames of noise with a moving patch, and its ground truth."""
    rng = np.random.default_rng(2)
    background = rng.integers(60, 90, (96, 96), np.uint8)
    with BagWriter(path) as writer:
        writer.add_installed_topic("/image", "sensor_msgs/msg/Image")
        writer.add_installed_topic("/ground_truth", TRACKS)
        for number in range(1, 9):
            stamp_ns = number * 10**8
            image = background.copy()
            image[40:46, 5 * number : 5 * number + 8] = 250
            truth = GroundTruth(np.array([1]), np.zeros(1, np.uint8), as_boxes([[5 * number, 40, 8, 6]]))
            data = serialize_truth(truth, stamp_ns, "camera", (96, 96), ("car", "airplane"))
            writer.write("/ground_truth", data, stamp_ns)
            writer.write("/image", serialize_image(Frame(stamp_ns, image, "mono8")), stamp_ns)


def test_evaluate_runs_hanet_over_mosaics(tmp_path):
    write_mosaic_video(tmp_path / "hot" / "square" / "HSI")
    arguments = ["--tracker", "hanet", "--model", "hanet_edge_any", "--engine", "pytorch"]

    result = run_evaluate(tmp_path / "hot", *arguments, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / "hanet_hanet_edge_any"
    first_row = (folder / "results" / "square.txt").read_text().splitlines()[0]
    assert first_row == "20\t24\t10\t10"  # the given box
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["videos"][0]["frames"] == 5
    assert scores["summary"]["figures"]["precision"] == 1


def test_evaluate_runs_spax_over_bag_with_the_same_bytes(tmp_path):
    """Equal bytes count here, not the quality of the tracks."""
    write_patch_recording(tmp_path / "bag")
    arguments = ["--tracker", "spax", "--submission", "satvideodt"]

    for output in ("one", "two"):
        result = run_evaluate(tmp_path / "bag", *arguments, "--output", tmp_path / output)
        assert result.exit_code == 0, result.output

    for name in ("scores.json", "scores.csv", "results/bag.txt", "submission/bag.txt"):
        one, two = ((tmp_path / output / "spax_spax_small" / name).read_bytes() for output in ("one", "two"))
        assert one == two, name
    tracker_info = json.loads((tmp_path / "one" / "spax_spax_small" / "run.json").read_text())["ran"]
    assert tracker_info["model"] == "spax_small"
    assert len(tracker_info["weights sha256"]) == 64
