"""Many videos by processes side by side, resumed, with failures that don't stop the rest; recorded tracks."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tracking_runtime.bags import BagWriter, Qos, Topic
from tracking_runtime.boxes import as_boxes
from tracking_runtime.commands.evaluate import evaluate
from tracking_runtime.datasets.result_files import write_boxes
from tracking_runtime.datasets.sequences import TruthSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.job_planning import Video, make_jobs
from tracking_runtime.evaluation.jobs import ResultFiles, processes, run_jobs
from tracking_runtime.evaluation.recorded_tracks import read_recorded
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.ground_truth import read_ground_truth
from tracking_runtime.messages.conversion import TRACKS, serialize_image, serialize_truth
from tracking_runtime.messages.definitions import describe


def run(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


def test_processes_side_by_side_one_of_which_dies(tmp_path):
    boxes = np.arange(12.0).reshape(3, 4) + 1
    videos = []
    (tmp_path / "results").mkdir()
    write_boxes(tmp_path / "results" / "dies.txt", boxes)
    for name in ("a", "b", "c"):
        write_boxes(tmp_path / "results" / f"{name}.txt", boxes)
        read = partial(read_ground_truth, tmp_path / "results" / f"{name}.txt", 3)
        videos.append(Video(name, TruthSequence(name, tmp_path, read)))
    videos.append(Video("dies", TruthSequence("dies", tmp_path, partial(os._exit, 3))))
    answers = ResultFiles(tmp_path / "results")
    jobs = make_jobs(videos, answers, robustness="one-pass")
    results = {result.name: result for result in run_jobs(jobs, tmp_path / "run", processes(2))}
    assert {name for name, result in results.items() if result.error} == {"dies"}
    assert "its process died" in results["dies"].error
    assert all(results[name].scores.figures["success_matlab"] == 1 for name in "abc")
    again = {result.name: result for result in run_jobs(jobs[:3], tmp_path / "run", None)}
    assert {name: results[name] for name in "abc"} == again


def test_a_fleet_does_the_same(tmp_path):
    """On a local cluster of three processes."""
    distributed = pytest.importorskip("distributed", reason="needs the extra fleet")
    (tmp_path / "results").mkdir()
    for name in "abcdef":
        write_boxes(tmp_path / "results" / f"{name}.txt", np.arange(12.0).reshape(3, 4) + 1)
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        arguments = [tmp_path / "results", "--results", tmp_path / "results"]
        fleet = run(*arguments, "--fleet", address, "--output", tmp_path / "fleet")
        assert fleet.exit_code == 0, fleet.output
    assert run(*arguments, "--output", tmp_path / "here").exit_code == 0
    assert len(list((tmp_path / "fleet" / "results" / "videos").glob("*.json"))) == 6
    for name in ("scores.json", "scores.csv"):
        there, here = (tmp_path / out / "results" / name for out in ("fleet", "here"))
        assert there.read_bytes() == here.read_bytes()


def recording(path: Path, *, frames: int = 6, dropped: int = 2) -> Path:
    """Truth of two objects, tracked one pixel beside; the last frames were dropped."""
    with BagWriter(path) as writer:
        for topic in ("/ground_truth", "/spax_tracker/tracks"):
            writer.add(Topic(topic, describe(TRACKS), (Qos(),)))
        for number in range(1, frames + 1):
            stamp = number * 10**8
            boxes = as_boxes([[10 + number, 10, 20, 20], [80, 10 + number, 20, 20]])
            truth = GroundTruth(np.array([1, 2]), np.zeros(2, np.uint8), boxes)
            writer.write(
                "/ground_truth", serialize_truth(truth, stamp, "camera", (200, 100), ("car",)), stamp
            )
            if number <= frames - dropped:
                tracked = GroundTruth(np.array([7, 9]), np.zeros(2, np.uint8), boxes + 1)
                data = serialize_truth(tracked, stamp, "camera", (200, 100), ("car",))
                writer.write("/spax_tracker/tracks", data, stamp)
    return path


def test_recorded_tracks_are_scored_where_there_is_an_answer(tmp_path):
    recorded = read_recorded(recording(tmp_path / "bag"))
    assert (recorded.topic, recorded.unanswered) == ("/spax_tracker/tracks", 2)
    assert [truth is None for truth in recorded.truth] == [False] * 4 + [True] * 2
    result = run(tmp_path / "bag", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    scores = json.loads((tmp_path / "out" / "recorded_tracks" / "scores.json").read_text())
    assert scores["summary"]["figures"]["MOTA"] == 1
    assert scores["videos"][0]["frames"] == 4
    told = json.loads((tmp_path / "out" / "recorded_tracks" / "run.json").read_text())
    assert told["speed"]["dropped"] == 2


def test_a_bag_that_is_none_is_told_and_the_rest_is_scored(tmp_path):
    recording(tmp_path / "bags" / "good")
    broken = recording(tmp_path / "bags" / "broken")
    next(broken.glob("*.mcap")).write_bytes(b"no recording")
    result = run(tmp_path / "bags", "--output", tmp_path / "out")
    assert result.exit_code == 1
    scores = json.loads((tmp_path / "out" / "recorded_tracks" / "scores.json").read_text())
    assert [video["name"] for video in scores["videos"]] == ["good"]
    assert scores["failed"][0]["name"] == "broken" and "is not a recording" in scores["failed"][0]["error"]


def test_a_broken_bag_does_not_stop_a_tracker(tmp_path):
    recording(tmp_path / "bags" / "broken")
    next((tmp_path / "bags" / "broken").glob("*.mcap")).write_bytes(b"no recording")
    result = run(tmp_path / "bags", "--tracker", "spax", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "broken: SourceError" in result.output and "is not a recording" in result.output


def test_a_recording_without_tracks_says_what_there_is(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add(Topic("/ground_truth", describe(TRACKS), (Qos(),)))
    with pytest.raises(SourceError, match="choose the topic of its tracks; there: none"):
        read_recorded(tmp_path / "bag")
    recording(tmp_path / "other")
    with pytest.raises(SourceError, match="there: /spax_tracker/tracks"):
        read_recorded(tmp_path / "other", topic="/tracks")


def test_ha_net_over_a_benchmark_of_mosaics(tmp_path):
    """A bright square wanders over noise, as HOT 2020 keeps it: the first box is as given, others near."""
    rng = np.random.default_rng(3)
    ground = rng.integers(100, 160, (256, 256), np.uint16)
    folder = tmp_path / "hot" / "square" / "HSI"
    folder.mkdir(parents=True)
    boxes = [(20 + number, 24, 10, 10) for number in range(5)]
    for number, (x, y, width, height) in enumerate(boxes, start=1):
        image = ground.copy()
        image[4 * y : 4 * (y + height), 4 * x : 4 * (x + width)] = 700
        cv2.imwrite(str(folder / f"{number:04d}.png"), image)
    (folder / "groundtruth_rect.txt").write_text("".join("\t".join(map(str, box)) + "\t\n" for box in boxes))
    arguments = ["--tracker", "hanet", "--model", "hanet_edge_any", "--engine", "pytorch"]
    result = run(tmp_path / "hot", *arguments, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / "hanet_hanet_edge_any"
    assert (folder / "results" / "square.txt").read_text().splitlines()[0] == "20\t24\t10\t10"
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["videos"][0]["frames"] == 5 and scores["summary"]["figures"]["precision"] == 1


def test_a_tracker_over_a_bag_gives_the_same_bytes_again(tmp_path):
    """SPAX over noise with a moving patch: that its answers are the same counts here, not their worth."""
    rng = np.random.default_rng(2)
    ground = rng.integers(60, 90, (96, 96), np.uint8)
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/image", "sensor_msgs/msg/Image")
        writer.add_topic("/ground_truth", TRACKS)
        for number in range(1, 9):
            image, stamp = ground.copy(), number * 10**8
            image[40:46, 5 * number : 5 * number + 8] = 250
            truth = GroundTruth(np.array([1]), np.zeros(1, np.uint8), as_boxes([[5 * number, 40, 8, 6]]))
            data = serialize_truth(truth, stamp, "camera", (96, 96), ("car", "airplane"))
            writer.write("/ground_truth", data, stamp)
            writer.write("/image", serialize_image(Frame(stamp, image, "mono8")), stamp)
    for out in ("one", "two"):
        arguments = ["--tracker", "spax", "--submission", "satvideodt", "--output", tmp_path / out]
        result = run(tmp_path / "bag", *arguments)
        assert result.exit_code == 0, result.output
    for name in ("scores.json", "scores.csv", "results/bag.txt", "submission/bag.txt"):
        one, two = ((tmp_path / out / "spax_spax_small" / name).read_bytes() for out in ("one", "two"))
        assert one == two, name
    ran = json.loads((tmp_path / "one" / "spax_spax_small" / "run.json").read_text())["ran"]
    assert ran["model"] == "spax_small" and len(ran["weights sha256"]) == 64
