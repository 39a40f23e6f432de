"""Predictions from the tracks recorded in bags."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.bags import BagWriter, Qos, Topic
from tracking_runtime.boxes import as_boxes
from tracking_runtime.cli import rstrack
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.recorded_tracks import read_recorded_predictions
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import TRACKS, serialize_truth
from tracking_runtime.messages.definitions import find_interface

TRACKS_TOPIC = "/spax_tracker/tracks"


def run_evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(rstrack, ["evaluate", *map(str, arguments)])


def write_recording(path: Path, *, num_frames: int = 6, num_dropped: int = 2) -> Path:
    """Write the ground truth of two objects, and tracks one pixel beside. The last frames are dropped."""
    with BagWriter(path) as writer:
        for topic in ("/ground_truth", TRACKS_TOPIC):
            writer.add_topic(Topic(topic, find_interface(TRACKS), (Qos(),)))
        for number in range(1, num_frames + 1):
            stamp_ns = number * 10**8
            boxes = as_boxes([[10 + number, 10, 20, 20], [80, 10 + number, 20, 20]])
            truth = GroundTruth(np.array([1, 2]), np.zeros(2, np.uint8), boxes)
            data = serialize_truth(truth, stamp_ns, "camera", (200, 100), ("car",))
            writer.write("/ground_truth", data, stamp_ns)
            if number <= num_frames - num_dropped:
                tracks = GroundTruth(np.array([7, 9]), np.zeros(2, np.uint8), boxes + 1)
                data = serialize_truth(tracks, stamp_ns, "camera", (200, 100), ("car",))
                writer.write(TRACKS_TOPIC, data, stamp_ns)
    return path


def write_broken_recording(path: Path) -> None:
    write_recording(path)
    next(path.glob("*.mcap")).write_bytes(b"no recording")


def read_json(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def test_frames_without_prediction_do_not_count(tmp_path):
    bag = write_recording(tmp_path / "bag")

    recorded = read_recorded_predictions(bag)

    assert (recorded.topic, recorded.num_unpredicted) == (TRACKS_TOPIC, 2)
    assert [truth is None for truth in recorded.truth] == [False] * 4 + [True] * 2


def test_evaluate_scores_recorded_tracks(tmp_path):
    bag = write_recording(tmp_path / "bag")

    result = run_evaluate(bag, "--output", tmp_path / "out")

    assert result.exit_code == 0, result.output
    run_folder = tmp_path / "out" / "recorded_tracks"
    scores = read_json(run_folder, "scores.json")
    assert scores["summary"]["figures"]["MOTA"] == 1
    assert scores["videos"][0]["frames"] == 4
    assert read_json(run_folder, "run.json")["speed"]["dropped"] == 2


def test_evaluate_broken_bag_does_not_stop_the_others(tmp_path):
    write_recording(tmp_path / "bags" / "good")
    write_broken_recording(tmp_path / "bags" / "broken")

    result = run_evaluate(tmp_path / "bags", "--output", tmp_path / "out")

    assert result.exit_code == 1
    scores = read_json(tmp_path / "out" / "recorded_tracks", "scores.json")
    assert [video["name"] for video in scores["videos"]] == ["good"]
    assert scores["failed"][0]["name"] == "broken"
    assert "is not a recording" in scores["failed"][0]["error"]


def test_evaluate_tracker_reports_broken_bag(tmp_path):
    write_broken_recording(tmp_path / "bags" / "broken")

    result = run_evaluate(tmp_path / "bags", "--tracker", "spax", "--output", tmp_path / "out")

    assert result.exit_code == 1
    assert "broken: SourceError" in result.output
    assert "is not a recording" in result.output


def test_recording_without_tracks_is_refused(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic(Topic("/ground_truth", find_interface(TRACKS), (Qos(),)))

    with pytest.raises(SourceError, match=r"choose the topic of its tracks.*; available: none"):
        read_recorded_predictions(tmp_path / "bag")


def test_unknown_topic_lists_the_available_ones(tmp_path):
    bag = write_recording(tmp_path / "bag")

    with pytest.raises(SourceError, match=f"available: {TRACKS_TOPIC}"):
        read_recorded_predictions(bag, topic="/tracks")
