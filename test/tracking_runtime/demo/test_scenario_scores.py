"""What each tracker's flight makes of a recording, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trackeval", reason="TrackEval is not installed (extra: evaluation)")

from hsi_tracker_ros.demo import FLIGHT as HYPERSPECTRAL
from spax_ros.demo import FLIGHT as SATELLITE
from tracking_runtime.bags import BagWriter, Qos, Record, Topic
from tracking_runtime.boxes import as_boxes
from tracking_runtime.demo.scenario import Recording, Wishes, load_flights
from tracking_runtime.errors import SourceError
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import serialize_truth
from tracking_runtime.messages.definitions import describe, message_type, serialize
from tracking_runtime.reports.report_data import Scoring

PACKAGE = "remote_sensing_tracking/msg/"
SIZE = (200, 100)
TRACKING, LOST = 1, 3
CONFIRMED, COASTING = 2, 3


def header(stamp: int) -> dict[str, Any]:
    sec, nanosec = divmod(stamp, 10**9)
    time = message_type("builtin_interfaces/msg/Time")(sec=sec, nanosec=nanosec)
    latency = message_type("builtin_interfaces/msg/Duration")(sec=0, nanosec=20_000_000)
    return {
        "header": message_type("std_msgs/msg/Header")(stamp=time, frame_id="camera"),
        "image_width": SIZE[0],
        "image_height": SIZE[1],
        "epoch": 0,
        "latency": latency,
    }


def target_message(stamp: int, box: list[float] | None, state: int = TRACKING) -> Any:
    tracks = []
    if box is not None:
        x, y, width, height = box
        tracks = [
            message_type(PACKAGE + "TargetTrack")(
                id=1,
                box=message_type(PACKAGE + "BoundingBox")(x=x, y=y, width=width, height=height),
                score=0.9,
                state=state,
                label="",
                frames_since_seen=0,
                template_stamp=message_type("builtin_interfaces/msg/Time")(sec=0, nanosec=1),
            )
        ]
    return message_type(PACKAGE + "TargetTrackArray")(**header(stamp), tracks=tracks)


def tracks_message(stamp: int, ids: list[int], boxes: list[list[float]], state: int = CONFIRMED) -> Any:
    kind = message_type(PACKAGE + "TrackArray")
    n = len(ids)
    return kind(
        **header(stamp),
        class_names=["car"],
        ids=np.array(ids, np.uint32),
        class_ids=np.zeros(n, np.uint8),
        scores=np.ones(n, np.float32),
        boxes=np.array(boxes, np.float64).reshape(-1),
        velocities=np.zeros(2 * n, np.float32),
        states=np.full(n, state, np.uint8),
        ages=np.zeros(n, np.uint32),
    )


def record(folder: Path, topic: str, messages: list[Any], truth: dict[int, list[list[float]]]) -> Recording:
    """A recording of tracks, and of truth: boxes by stamp, their ids counting from 1."""
    bag = folder / "bag"
    kind = PACKAGE + ("TargetTrackArray" if "hsi" in topic else "TrackArray")
    with BagWriter(bag) as writer:
        writer.add(Topic(topic, describe(kind), (Qos(),)))
        writer.add(Topic("/ground_truth", describe(PACKAGE + "TrackArray"), (Qos(),)))
        for stamp, boxes in truth.items():
            ids = np.arange(1, len(boxes) + 1)
            objects = GroundTruth(ids, np.zeros(len(boxes), np.uint8), as_boxes(boxes))
            data = serialize_truth(objects, stamp, "camera", SIZE, ["car"])
            writer.write(*Record("/ground_truth", data, stamp, stamp))
        for message in messages:
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            writer.write(*Record(topic, serialize(message), stamp, stamp))
    return Recording(bag, topic)


def figure(scoring: Scoring, name: str) -> float:
    return next(each.value for each in scoring.figures if each.name == name)


def test_flights_are_found_by_name() -> None:
    assert load_flights() == {"hyperspectral": HYPERSPECTRAL, "satellite": SATELLITE}


class TestHyperspectral:
    BOX = [10.0, 10.0, 20.0, 10.0]

    def score(self, folder: Path, messages: list[Any], truth: dict[int, list[list[float]]]) -> Scoring:
        return HYPERSPECTRAL.score(record(folder, HYPERSPECTRAL.tracks_topic, messages, truth))

    def test_frames_after_the_target_was_chosen_are_scored(self, tmp_path: Path) -> None:
        messages = [
            target_message(1, None),  # processed before there was a target
            target_message(2, self.BOX),
            target_message(4, [20.0, 10.0, 20.0, 10.0]),  # frame 3 was dropped; overlap 1 / 3
            target_message(5, self.BOX, LOST),  # and the target is gone
        ]
        scoring = self.score(tmp_path, messages, {k: [self.BOX] for k in range(1, 5)} | {5: []})
        assert figure(scoring, "frames scored") == 2
        assert figure(scoring, "success AUC") == pytest.approx((20 + 7) / 21 / 2)
        assert figure(scoring, "precision at 20 px") == 1
        assert figure(scoring, "mean overlap") == pytest.approx((1 + 1 / 3) / 2)
        assert figure(scoring, "absence noticed") == 1
        assert figure(scoring, "false alarms") == 0
        assert figure(scoring, "median latency") == pytest.approx(20)
        assert {moment.stamp_ns for moment in scoring.moments} <= {2, 4, 5}
        assert [chart.title for chart in scoring.charts] == ["Success", "Precision", "Through the flight"]

    def test_a_tracker_that_never_had_a_target_is_no_error(self, tmp_path: Path) -> None:
        scoring = self.score(tmp_path, [target_message(1, None)], {1: [self.BOX]})
        assert scoring.figures == ()
        assert "nothing to score" in scoring.note

    def test_the_model_fits_the_camera(self, tmp_path: Path) -> None:
        import tifffile

        rng = np.random.default_rng(0)
        path = tmp_path / "a cube & more.tif"
        tifffile.imwrite(path, rng.integers(0, 255, (64, 80, 16), np.uint8))
        plan = HYPERSPECTRAL.plan(Wishes(input=path, frames=20))
        assert plan.model == "hanet_edge_vis16"
        assert plan.frames == 20
        tifffile.imwrite(path, rng.integers(0, 255, (64, 80, 25), np.uint8))
        assert HYPERSPECTRAL.plan(Wishes(input=path)).model == "hanet_edge_any"
        assert "a+cube+%26+more.tif" in plan.source

    def test_a_file_that_is_no_cube_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "note.tif").write_text("not an image")
        with pytest.raises(SourceError, match=r"note\.tif"):
            HYPERSPECTRAL.plan(Wishes(input=tmp_path / "note.tif"))


class TestSatellite:
    A, B, ELSEWHERE = [10.0, 10.0, 8.0, 8.0], [100.0, 50.0, 8.0, 8.0], [150.0, 80.0, 8.0, 8.0]

    def score(self, folder: Path, messages: list[Any], truth: dict[int, list[list[float]]]) -> Scoring:
        return SATELLITE.score(record(folder, SATELLITE.tracks_topic, messages, truth))

    def test_many_objects_get_the_field_s_figures(self, tmp_path: Path) -> None:
        messages = [
            tracks_message(1, [7, 8], [self.A, self.B]),
            tracks_message(3, [7, 9], [self.A, self.ELSEWHERE]),  # frame 2 was dropped
        ]
        scoring = self.score(tmp_path, messages, {k: [self.A, self.B] for k in (1, 2, 3)})
        assert figure(scoring, "frames scored") == 2
        assert figure(scoring, "MOTA") == pytest.approx(1 - 2 / 4)
        assert figure(scoring, "tracks") == 3
        (table,) = scoring.tables
        assert len(table.rows) == 4
        assert table.rows[0][table.columns.index("FP")] == 1
        (ways,) = scoring.maps
        assert (ways.width, ways.height) == SIZE
        assert {way.number for way in ways.tracks} == {7, 8, 9}

    def test_tracks_that_were_not_seen_do_not_count(self, tmp_path: Path) -> None:
        messages = [tracks_message(1, [7, 8], [self.A, self.B], COASTING)]
        scoring = self.score(tmp_path, messages, {1: [self.A, self.B]})
        assert figure(scoring, "recall") == figure(scoring, "tracks") == 0

    def test_one_annotated_object_is_covered_or_not(self, tmp_path: Path) -> None:
        near = [self.A[0] + 3, *self.A[1:]]
        messages = [
            tracks_message(1, [7, 8], [near, self.B]),
            tracks_message(2, [8], [self.B]),
            tracks_message(3, [8], [self.B]),
        ]
        scoring = self.score(tmp_path, messages, {1: [self.A], 2: [self.A], 3: []})
        assert figure(scoring, "annotated object covered") == 0.5
        assert scoring.tables == ()

    def test_without_truth_the_tracks_are_counted(self, tmp_path: Path) -> None:
        scoring = self.score(tmp_path, [tracks_message(1, [7, 8], [self.A, self.B])], {})
        assert figure(scoring, "tracks") == 2
        assert "No truth" in scoring.note

    def test_identities_begin_anew_in_each_epoch(self, tmp_path: Path) -> None:
        messages = [tracks_message(stamp, [7], [self.A]) for stamp in (1, 2)]
        messages[1].epoch = 1
        scoring = self.score(tmp_path, messages, {k: [self.A, self.B] for k in (1, 2)})
        assert figure(scoring, "tracks") == 2

    def test_no_frame_processed_is_no_error(self, tmp_path: Path) -> None:
        assert "nothing to score" in self.score(tmp_path, [], {1: [self.A]}).note
