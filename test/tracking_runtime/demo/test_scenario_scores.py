"""Tests of the demo scenarios' plans and scores, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsi_tracker_ros.demo import SCENARIO as HYPERSPECTRAL
from spax_ros.demo import SCENARIO as SATELLITE
from tracking_runtime.bags import BagWriter, Qos, Record, Topic
from tracking_runtime.boxes import as_boxes
from tracking_runtime.demo.scenario import DemoOptions, DemoRecording, DemoScenario, load_scenarios
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.conversion import serialize_truth
from tracking_runtime.messages.definitions import find_interface, find_message_type, serialize
from tracking_runtime.reports.report_data import DemoScores

PACKAGE = "remote_sensing_tracking/msg/"
IMAGE_SIZE = (200, 100)
TRACKING, LOST = 1, 3  # TargetTrack states
CONFIRMED, COASTING = 2, 3  # TrackArray states

TrueBoxes = dict[int, list[list[float]]]  # boxes of the ground truth by stamp


def make_common_fields(stamp_ns: int) -> dict[str, Any]:
    """Return the fields that both track messages have."""
    sec, nanosec = divmod(stamp_ns, 10**9)
    stamp = find_message_type("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    latency = find_message_type("builtin_interfaces/msg/Duration")(sec=0, nanosec=20_000_000)
    return {
        "header": find_message_type("std_msgs/msg/Header")(stamp=stamp, frame_id="camera"),
        "image_width": IMAGE_SIZE[0],
        "image_height": IMAGE_SIZE[1],
        "epoch": 0,
        "latency": latency,
    }


def make_target_message(stamp_ns: int, box: list[float] | None, state: int = TRACKING) -> Any:
    """Return the message of a tracker of one target; `box` None: without a target."""
    tracks = []
    if box is not None:
        x, y, width, height = box
        tracks = [
            find_message_type(PACKAGE + "TargetTrack")(
                id=1,
                box=find_message_type(PACKAGE + "BoundingBox")(x=x, y=y, width=width, height=height),
                score=0.9,
                state=state,
                label="",
                frames_since_seen=0,
                template_stamp=find_message_type("builtin_interfaces/msg/Time")(sec=0, nanosec=1),
            )
        ]
    message_type = find_message_type(PACKAGE + "TargetTrackArray")
    return message_type(**make_common_fields(stamp_ns), tracks=tracks)


def make_tracks_message(
    stamp_ns: int, ids: list[int], boxes: list[list[float]], state: int = CONFIRMED
) -> Any:
    """Return the message of a tracker of many objects, all in one state."""
    num_tracks = len(ids)
    return find_message_type(PACKAGE + "TrackArray")(
        **make_common_fields(stamp_ns),
        class_names=["car"],
        ids=np.array(ids, np.uint32),
        class_ids=np.zeros(num_tracks, np.uint8),
        scores=np.ones(num_tracks, np.float32),
        boxes=np.array(boxes, np.float64).reshape(-1),
        velocities=np.zeros(2 * num_tracks, np.float32),
        states=np.full(num_tracks, state, np.uint8),
        ages=np.zeros(num_tracks, np.uint32),
    )


def record(folder: Path, topic: str, messages: list[Any], true_boxes: TrueBoxes) -> DemoRecording:
    """Write a bag of track messages and ground truth, whose ids in each frame count from 1."""
    bag = folder / "bag"
    tracks_type = PACKAGE + ("TargetTrackArray" if "hsi" in topic else "TrackArray")
    with BagWriter(bag) as writer:
        writer.add_topic(Topic(topic, find_interface(tracks_type), (Qos(),)))
        writer.add_topic(Topic("/ground_truth", find_interface(PACKAGE + "TrackArray"), (Qos(),)))
        for stamp_ns, boxes in true_boxes.items():
            ids = np.arange(1, len(boxes) + 1)
            truth = GroundTruth(ids, np.zeros(len(boxes), np.uint8), as_boxes(boxes))
            data = serialize_truth(truth, stamp_ns, "camera", IMAGE_SIZE, ["car"])
            writer.write(*Record("/ground_truth", data, stamp_ns, stamp_ns))
        for message in messages:
            stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            writer.write(*Record(topic, serialize(message), stamp_ns, stamp_ns))
    return DemoRecording(bag, topic)


def score(scenario: DemoScenario, folder: Path, messages: list[Any], true_boxes: TrueBoxes) -> DemoScores:
    return scenario.score(record(folder, scenario.tracks_topic, messages, true_boxes))


def find_metric(scores: DemoScores, name: str) -> float:
    return next(metric.value for metric in scores.figures if metric.name == name)


def test_scenarios_are_loaded_by_name() -> None:
    assert load_scenarios() == {"hyperspectral": HYPERSPECTRAL, "satellite": SATELLITE}


class TestHyperspectral:
    BOX = [10.0, 10.0, 20.0, 10.0]

    def test_frames_after_initialization_are_scored(self, tmp_path: Path) -> None:
        messages = [
            make_target_message(1, None),  # processed before the target was set
            make_target_message(2, self.BOX),
            make_target_message(4, [20.0, 10.0, 20.0, 10.0]),  # frame 3 was dropped; overlap 1 / 3
            make_target_message(5, self.BOX, LOST),  # the target is absent
        ]
        true_boxes = {stamp_ns: [self.BOX] for stamp_ns in range(1, 5)} | {5: []}

        scores = score(HYPERSPECTRAL, tmp_path, messages, true_boxes)

        assert find_metric(scores, "frames scored") == 2
        assert find_metric(scores, "success AUC") == pytest.approx((20 + 7) / 21 / 2)
        assert find_metric(scores, "precision at 20 px") == 1
        assert find_metric(scores, "mean overlap") == pytest.approx((1 + 1 / 3) / 2)
        assert find_metric(scores, "absence noticed") == 1
        assert find_metric(scores, "false alarms") == 0
        assert find_metric(scores, "median latency") == pytest.approx(20)
        assert {key_frame.stamp_ns for key_frame in scores.moments} <= {2, 4, 5}
        assert [chart.title for chart in scores.charts] == ["Success", "Precision", "Over time"]

    def test_recording_without_target_has_no_metrics(self, tmp_path: Path) -> None:
        scores = score(HYPERSPECTRAL, tmp_path, [make_target_message(1, None)], {1: [self.BOX]})

        assert scores.figures == ()
        assert "nothing to score" in scores.note

    def test_plan_chooses_model_by_camera_bands(self, tmp_path: Path) -> None:
        import tifffile

        rng = np.random.default_rng(0)
        path = tmp_path / "a cube & more.tif"

        tifffile.imwrite(path, rng.integers(0, 255, (64, 80, 16), np.uint8))
        plan = HYPERSPECTRAL.plan(DemoOptions(input_path=path, num_frames=20))
        tifffile.imwrite(path, rng.integers(0, 255, (64, 80, 25), np.uint8))
        other_plan = HYPERSPECTRAL.plan(DemoOptions(input_path=path))

        assert plan.model == "hanet_edge_vis16"
        assert plan.num_frames == 20
        assert "a+cube+%26+more.tif" in plan.source
        assert other_plan.model == "hanet_edge_any"

    def test_plan_takes_the_camera_from_any_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import tifffile

        rng = np.random.default_rng(0)
        tifffile.imwrite(tmp_path / "cube.tif", rng.integers(0, 255, (64, 80, 16), np.uint8))
        wavelengths = list(range(640, 960, 20))
        (tmp_path / "my camera.yaml").write_text(f"wavelengths_nm: {wavelengths}\n")
        monkeypatch.chdir(tmp_path)

        plan = HYPERSPECTRAL.plan(DemoOptions(input_path=Path("cube.tif"), camera="my camera.yaml"))
        named = HYPERSPECTRAL.plan(DemoOptions(input_path=Path("cube.tif"), camera="vis16"))
        monkeypatch.chdir("/")

        assert open_source(plan.source).spectral_info.wavelengths_nm == tuple(map(float, wavelengths))
        assert plan.model == "hanet_edge_any"
        assert named.model == "hanet_edge_vis16"

    def test_plan_refuses_file_without_cube(self, tmp_path: Path) -> None:
        path = tmp_path / "note.tif"
        path.write_text("not an image")

        with pytest.raises(SourceError, match=r"note\.tif"):
            HYPERSPECTRAL.plan(DemoOptions(input_path=path))


class TestSatellite:
    BOX_A = [10.0, 10.0, 8.0, 8.0]
    BOX_B = [100.0, 50.0, 8.0, 8.0]
    FALSE_BOX = [150.0, 80.0, 8.0, 8.0]

    def test_many_objects_get_all_metrics(self, tmp_path: Path) -> None:
        messages = [
            make_tracks_message(1, [7, 8], [self.BOX_A, self.BOX_B]),
            make_tracks_message(3, [7, 9], [self.BOX_A, self.FALSE_BOX]),  # frame 2 was dropped
        ]
        true_boxes = {stamp_ns: [self.BOX_A, self.BOX_B] for stamp_ns in (1, 2, 3)}

        scores = score(SATELLITE, tmp_path, messages, true_boxes)

        assert find_metric(scores, "frames scored") == 2
        assert find_metric(scores, "MOTA") == pytest.approx(1 - 2 / 4)
        assert find_metric(scores, "tracks") == 3
        (table,) = scores.tables
        assert len(table.rows) == 4
        assert table.rows[0][table.columns.index("FP")] == 1
        (trajectory_map,) = scores.maps
        assert (trajectory_map.width, trajectory_map.height) == IMAGE_SIZE
        assert {trajectory.number for trajectory in trajectory_map.tracks} == {7, 8, 9}

    def test_coasting_tracks_do_not_count(self, tmp_path: Path) -> None:
        messages = [make_tracks_message(1, [7, 8], [self.BOX_A, self.BOX_B], COASTING)]

        scores = score(SATELLITE, tmp_path, messages, {1: [self.BOX_A, self.BOX_B]})

        assert find_metric(scores, "recall") == find_metric(scores, "tracks") == 0

    def test_single_annotated_object_gets_coverage(self, tmp_path: Path) -> None:
        near_box = [self.BOX_A[0] + 3, *self.BOX_A[1:]]
        messages = [
            make_tracks_message(1, [7, 8], [near_box, self.BOX_B]),
            make_tracks_message(2, [8], [self.BOX_B]),
            make_tracks_message(3, [8], [self.BOX_B]),
        ]

        scores = score(SATELLITE, tmp_path, messages, {1: [self.BOX_A], 2: [self.BOX_A], 3: []})

        assert find_metric(scores, "annotated object covered") == 0.5
        assert scores.tables == ()

    def test_tracks_without_truth_are_counted(self, tmp_path: Path) -> None:
        messages = [make_tracks_message(1, [7, 8], [self.BOX_A, self.BOX_B])]

        scores = score(SATELLITE, tmp_path, messages, {})

        assert find_metric(scores, "tracks") == 2
        assert "No ground truth" in scores.note

    def test_equal_ids_of_two_epochs_are_two_tracks(self, tmp_path: Path) -> None:
        messages = [make_tracks_message(stamp_ns, [7], [self.BOX_A]) for stamp_ns in (1, 2)]
        messages[1].epoch = 1
        true_boxes = {stamp_ns: [self.BOX_A, self.BOX_B] for stamp_ns in (1, 2)}

        scores = score(SATELLITE, tmp_path, messages, true_boxes)

        assert find_metric(scores, "tracks") == 2

    def test_recording_without_tracks_has_no_metrics(self, tmp_path: Path) -> None:
        scores = score(SATELLITE, tmp_path, [], {1: [self.BOX_A]})

        assert "nothing to score" in scores.note
