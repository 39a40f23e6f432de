"""The player and the recorder as processes: what is played is recorded, and nothing is lost unsaid."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

pytest.importorskip("rclpy", reason="needs ROS 2")

import os

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from remote_sensing_tracking.msg import SpectralInfo, TrackArray
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image
from std_msgs.msg import String, UInt8MultiArray

from tracking_runtime.bags import BagReader
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.io.image_folder import ImageFolderSource
from tracking_runtime.ros.clients import LifecycleClient, RequestRefusedError
from tracking_runtime.ros.node import qos
from tracking_runtime.ros.node.diagnostics import DiagnosticLevel
from tracking_runtime.ros.session import RosSession

from .conftest import FRAMES

PLAYER, RECORDER = "tracking_runtime.nodes.player", "tracking_runtime.nodes.recorder"


def stamp(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def diagnosed(client: LifecycleClient, key: str, value: str) -> bool:
    return bool(client.diagnosis and client.diagnosis.values.get(key) == value)


def install_hanging_scene(folder: Path, sequence: Path) -> str:
    """Install a package with a scene that never gives its fourth frame, and return a path with it."""
    package = folder / "hanging-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n")
    entry = "[remote_sensing_tracking.scenes]\nhanging = hanging_scene:HangingSource\n"
    (package / "entry_points.txt").write_text(entry)
    (folder / "hanging_scene.py").write_text(
        "import time\n"
        "from itertools import islice\n"
        "from tracking_runtime.io.image_folder import ImageFolderSource\n"
        "class HangingSource(ImageFolderSource):\n"
        "    def __init__(self):\n"
        f"        super().__init__({str(sequence)!r})\n"
        "    def __iter__(self):\n"
        "        yield from islice(super().__iter__(), 3)\n"
        "        time.sleep(1000)\n"
    )
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


class TestTogether:
    def test_recorder_records_all_played_messages(self, ros, node_process, sequence, tmp_path, wait_for):
        """In lock step with a consumer that answers each frame."""
        answers = ros.node.create_publisher(TrackArray, "tracks", qos.make_track_profile())
        ros.node.create_subscription(
            Image, "image", lambda m: answers.publish(TrackArray(header=m.header)), qos.make_sensor_profile()
        )
        recorder = node_process(
            RECORDER,
            "recorder",
            parameters={
                "autostart": True,
                "output": str(tmp_path / "bag"),
                "topics": ["image", "spectral_info", "ground_truth", "tracks"],
            },
        )
        watched = LifecycleClient(ros, "/recorder")
        wait_for(lambda: answers.get_subscription_count() == 1, description="recorder of the answers")
        player = node_process(
            PLAYER,
            "player",
            parameters={
                "autostart": True,
                "source": f"folder:{sequence}?rate=25",
                "rate": 0.0,
                "wait_for_subscribers": 2,
                "exit_when_done": True,
            },
        )
        assert player.wait(30) == 0
        wait_for(lambda: diagnosed(watched, "written", str(3 * FRAMES + 1)), description="all written")
        assert recorder.stop() == 0
        reader = BagReader(tmp_path / "bag")
        assert reader.is_complete
        assert reader.counts == {
            "/tracks": FRAMES,
            "/image": FRAMES,
            "/ground_truth": FRAMES,
            "/spectral_info": 1,
        }
        recorded, original = BagSource(tmp_path / "bag"), ImageFolderSource(sequence, rate=25)
        assert recorded.spectral_info == original.spectral_info
        for one, other in zip(recorded, original, strict=True):
            assert (one.stamp_ns, one.encoding) == (other.stamp_ns, other.encoding)
            np.testing.assert_array_equal(one.image, other.image)
            np.testing.assert_array_equal(one.truth.boxes, other.truth.boxes)
        with AnyReader([tmp_path / "bag"]) as rosbags:
            assert rosbags.message_count == 3 * FRAMES + 1
        with (tmp_path / "bag" / "bag_0.mcap").open("rb") as file:
            in_file = make_reader(file).iter_messages(log_time_order=False)
            times = [message.log_time for _, _, message in in_file]
        assert times == sorted(times)
        (info,) = reader.topics["/spectral_info"].qos
        assert info.durability == "transient_local"


class TestPlayer:
    def play(self, node_process, sequence, **parameters):
        defaults = {"autostart": True, "source": f"folder:{sequence}", "rate": 0.0}
        return node_process(PLAYER, "player", parameters={**defaults, **parameters})

    def test_player_lock_step_waits_for_tracks(self, ros, node_process, sequence, wait_for):
        answers = ros.node.create_publisher(TrackArray, "tracks", qos.make_track_profile())
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        truths = ros.listen(TrackArray, "ground_truth", qos.make_track_profile())
        client = LifecycleClient(ros, "/player")
        self.play(node_process, sequence)
        for count in range(1, FRAMES + 1):
            wait_for(lambda count=count: len(images) == count, description=f"image {count}")
            if count == 3:
                wait_for(lambda: diagnosed(client, "published", "3"))
                assert len(images) == 3
            answers.publish(TrackArray(header=images[-1].header))
        wait_for(lambda: diagnosed(client, "finished", "true"), description="end")
        assert client.diagnosis.values["published"] == str(FRAMES)
        assert client.diagnosis.values["unanswered"] == "0"
        wait_for(lambda: len(truths) == FRAMES)
        assert [len(truth.ids) for truth in truths] == [1] * 5 + [0] + [1] * 6
        assert [stamp(image) for image in images] == [i * 100_000_000 for i in range(1, FRAMES + 1)]

    def test_player_lock_step_counts_missing_tracks(self, ros, node_process, sequence, wait_for):
        ros.node.create_publisher(TrackArray, "tracks", qos.make_track_profile())
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        client = LifecycleClient(ros, "/player")
        self.play(node_process, sequence, patience=0.02)
        wait_for(lambda: diagnosed(client, "finished", "true"), description="end")
        assert client.diagnosis.values["unanswered"] == str(FRAMES)
        assert "12 frames were not answered" in client.diagnosis.message
        wait_for(lambda: len(images) == FRAMES)

    def test_player_waits_for_required_subscribers(self, ros, node_process, sequence, wait_for):
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        client = LifecycleClient(ros, "/player")
        self.play(node_process, sequence, rate=100.0, wait_for_nodes="recorder")
        wait_for(lambda: diagnosed(client, "published", "0"), description="a player that waits")
        with RosSession("recorder", ros.node.context.get_domain_id()) as recorder:
            recorder.listen(TrackArray, "tracks", qos.make_track_profile())
            wait_for(lambda: len(images) == FRAMES, description="all images")

    def test_player_bands_reach_late_subscribers(self, ros, node_process, sequence, wait_for):
        client = LifecycleClient(ros, "/player")
        self.play(node_process, sequence, rate=200.0, wait_for_subscribers=0)
        wait_for(lambda: diagnosed(client, "finished", "true"), description="end")
        infos = ros.listen(SpectralInfo, "spectral_info", qos.make_info_profile())
        wait_for(lambda: infos, description="spectral_info")
        assert list(infos[0].wavelengths) == [500, 600, 700, 800]
        assert (infos[0].mosaic_rows, infos[0].mosaic_columns) == (2, 2)

    def test_player_loops_with_current_stamps(self, ros, node_process, sequence, wait_for):
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        before = time.time_ns()
        self.play(node_process, sequence, rate=100.0, loop=True, stamps="now")
        wait_for(lambda: len(images) > 2 * FRAMES, description="third round")
        stamps = [stamp(image) for image in images]
        assert before < stamps[0]
        assert stamps == sorted(stamps)
        assert stamps[-1] < time.time_ns()

    def test_player_keeps_the_frame_rate(self, ros, node_process, sequence, wait_for):
        arrivals: list[float] = []
        ros.node.create_subscription(
            Image, "image", lambda _: arrivals.append(time.monotonic()), QoSProfile(depth=100)
        )
        self.play(node_process, sequence, rate=20.0)
        wait_for(lambda: len(arrivals) == FRAMES, description="all images")
        assert 0.045 < np.median(np.diff(arrivals)) < 0.055

    def test_player_restarts_at_activation(self, ros, node_process, sequence, wait_for):
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        client = LifecycleClient(ros, "/player")
        self.play(node_process, sequence, autostart=False, rate=5.0)
        client.start()
        wait_for(lambda: len(images) >= 2, description="two images")
        client.deactivate()
        client.activate()

        def stamps() -> list[int]:
            return [stamp(image) for image in images]

        wait_for(lambda: stamps().count(100_000_000) == 2, description="the first image again")
        before = stamps().index(100_000_000, 1)
        assert before >= 2
        assert stamps()[:before] == [i * 100_000_000 for i in range(1, before + 1)]

    def test_player_reports_source_errors_at_configuration(self, ros, node_process, sequence):
        client = LifecycleClient(ros, "/player")
        self.play(node_process, sequence, autostart=False, source="folder:/nowhere")
        with pytest.raises(RequestRefusedError, match="no folder at /nowhere"):
            client.configure()
        for source, reason in (
            ("scene:moon", "no scene named 'moon'"),
            (f"bag:{sequence}", "is not a recording"),
        ):
            value = Parameter("source", value=source).to_parameter_msg()
            request = SetParameters.Request(parameters=[value])
            assert ros.call(SetParameters, "/player/set_parameters", request).results[0].successful
            with pytest.raises(RequestRefusedError, match=reason):
                client.configure()
        assert client.state() == "unconfigured"

    def test_player_survives_a_damaged_frame(self, ros, node_process, sequence, wait_for):
        (sequence / "4.png").write_bytes(b"no image")
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        client = LifecycleClient(ros, "/player")
        process = self.play(node_process, sequence, rate=100.0)
        wait_for(lambda: client.diagnosis and "4.png" in client.diagnosis.message, description="the reason")
        wait_for(lambda: len(images) == 4, description="the frames before")
        assert process.is_running

    def test_player_of_a_hanging_source_reports_it_and_ends(
        self, ros, node_process, sequence, tmp_path, wait_for
    ):
        path = install_hanging_scene(tmp_path / "packages", sequence)
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        client = LifecycleClient(ros, "/player")
        process = node_process(
            PLAYER,
            "player",
            parameters={"autostart": True, "source": "scene:hanging", "rate": 50.0, "read_ahead": 1},
            environment={"PYTHONPATH": path},
        )
        wait_for(lambda: len(images) == 3, description="the frames before")

        wait_for(lambda: client.diagnosis and "given no frame" in client.diagnosis.message, 20, "the error")
        assert client.diagnosis.level == DiagnosticLevel.ERROR
        client.deactivate()

        assert client.state() == "inactive"
        assert "the source hangs and is left behind" in process.log
        assert process.stop() == 0

    def test_autostarted_player_waits_for_a_late_folder(
        self, ros, node_process, tmp_path, sequence, wait_for
    ):
        late_folder = tmp_path / "mounted late"
        images = ros.listen(Image, "image", qos.make_sensor_profile())
        client = LifecycleClient(ros, "/player")
        self.play(node_process, late_folder, rate=100.0)
        wait_for(
            lambda: client.diagnosis and "mounted late" in client.diagnosis.message, description="reason"
        )

        sequence.rename(late_folder)

        wait_for(lambda: images, description="images")


class TestRecorder:
    def record(self, node_process, folder: Path, **parameters):
        defaults = {"autostart": True, "output": str(folder), "topics": ["chatter", "late"]}
        return node_process(RECORDER, "recorder", parameters={**defaults, **parameters})

    def test_recorder_records_any_type_and_qos(self, ros, node_process, tmp_path, wait_for):
        client = LifecycleClient(ros, "/recorder")
        latched = ros.node.create_publisher(String, "chatter", qos.make_info_profile())
        latched.publish(String(data="before the recorder was there"))
        recorder = self.record(node_process, tmp_path / "bag", pattern="/by/.*")
        wait_for(lambda: diagnosed(client, "written./chatter", "1"), description="the latched message")
        assert client.diagnosis.values["awaited"] == "/late"
        best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        late = ros.node.create_publisher(UInt8MultiArray, "late", best_effort)
        other = ros.node.create_publisher(String, "/by/pattern", 10)
        wait_for(lambda: late.get_subscription_count() and other.get_subscription_count(), description="taps")
        late.publish(UInt8MultiArray(data=b"123"))
        other.publish(String(data="x"))
        wait_for(lambda: diagnosed(client, "written", "3"), description="all written")
        assert recorder.stop() == 0
        reader = BagReader(tmp_path / "bag")
        contents = {record.topic: message.data for record, message in reader.read_messages()}
        assert contents["/chatter"] == "before the recorder was there"
        assert bytes(contents["/late"]) == b"123"
        assert contents["/by/pattern"] == "x"
        assert reader.topics["/late"].qos[0].reliability == "best_effort"

    def test_recorder_takes_a_topic_when_the_peer_of_another_type_has_left(
        self, ros, node_process, tmp_path, wait_for
    ):
        good = ros.node.create_publisher(String, "chatter", 10)
        client = LifecycleClient(ros, "/recorder")
        with RosSession("peer") as peer:
            peer.node.create_publisher(UInt8MultiArray, "chatter", 10)
            wait_for(lambda: ros.node.count_publishers("/chatter") == 2)
            self.record(node_process, tmp_path / "bag", autostart=False)
            client.configure()
            wait_for(lambda: "recorder" in peer.node.get_node_names(), 30, "the discovery of the recorder")
            client.activate()
            wait_for(
                lambda: client.diagnosis and "has several types" in client.diagnosis.message,
                60,
                "the refusal",
            )

        wait_for(good.get_subscription_count, 30, "the recorder")
        good.publish(String(data="hello"))

        wait_for(lambda: diagnosed(client, "written./chatter", "1"), 30, "the message")
        assert client.diagnosis.message == "recording"

    def test_killed_recorder_loses_at_most_one_second(self, ros, node_process, tmp_path, wait_for):
        chatter = ros.node.create_publisher(String, "chatter", QoSProfile(depth=1000))
        client = LifecycleClient(ros, "/recorder")
        recorder = self.record(node_process, tmp_path / "bag")
        wait_for(chatter.get_subscription_count, description="tap")
        timer = ros.node.create_timer(0.01, lambda: chatter.publish(String(data=str(time.time_ns()))))

        def written() -> int:
            return int(client.diagnosis.values.get("written", 0)) if client.diagnosis else 0

        wait_for(lambda: written() > 50, description="messages")
        kept, second_later = written(), client.diagnosis_stamp_ns + 10**9
        wait_for(
            lambda: client.diagnosis_stamp_ns >= second_later, description="a second on the recorder's clock"
        )
        last = written() + 2
        wait_for(lambda: written() >= last, description="a message that was written after that second")
        os.kill(recorder.pid, signal.SIGKILL)
        recorder.wait(10)
        ros.run(timer.cancel)
        reader = BagReader(tmp_path / "bag")
        assert not reader.is_complete
        times = [int(message.data) for _, message in reader.read_messages()]
        assert times == sorted(times)
        assert len(times) >= kept

    def test_existing_bag_is_not_overwritten(self, ros, node_process, tmp_path):
        (tmp_path / "bag").mkdir()
        client = LifecycleClient(ros, "/recorder")
        self.record(node_process, tmp_path / "bag", autostart=False)
        with pytest.raises(RequestRefusedError, match="bag exists already"):
            client.configure()

    def test_recorder_reports_a_full_disk_and_survives(self, ros, node_process, tmp_path, wait_for):
        chatter = ros.node.create_publisher(UInt8MultiArray, "chatter", 10)
        client = LifecycleClient(ros, "/recorder")
        recorder = self.record(node_process, tmp_path / "bag")
        wait_for(chatter.get_subscription_count, description="tap")
        resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        timer = ros.node.create_timer(0.01, lambda: chatter.publish(UInt8MultiArray(data=bytes(100_000))))
        wait_for(
            lambda: client.diagnosis and "cannot write" in client.diagnosis.message, description="the reason"
        )
        ros.run(timer.cancel)
        assert client.diagnosis.level == 2
        client.deactivate()
        assert recorder.is_running
        written = list(BagReader(tmp_path / "bag").read_records())
        assert all(len(record.data) > 100_000 for record in written)

    def test_recorder_continues_when_there_is_room_again(self, ros, node_process, tmp_path, wait_for):
        chatter = ros.node.create_publisher(UInt8MultiArray, "chatter", 10)
        client = LifecycleClient(ros, "/recorder")
        recorder = self.record(node_process, tmp_path / "bag")
        wait_for(chatter.get_subscription_count, description="tap")
        unlimited = resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, (1_200_000, unlimited[1]))
        timer = ros.node.create_timer(0.01, lambda: chatter.publish(UInt8MultiArray(data=bytes(100_000))))
        wait_for(lambda: "cannot write" in recorder.log, description="the reason in the log")
        resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, unlimited)

        wait_for(
            lambda: client.diagnosis and "again after a gap" in client.diagnosis.message,
            description="the gap",
        )
        num_written = int(client.diagnosis.values["written"])
        wait_for(lambda: int(client.diagnosis.values["written"]) > num_written, description="more messages")
        ros.run(timer.cancel)
        client.deactivate()

        assert client.diagnosis.values["gaps"] == "1"
        reader = BagReader(tmp_path / "bag")
        assert reader.is_complete
        assert not reader.check()
        assert "messages dropped: File too large" in reader.gaps[0]
        assert reader.message_count == int(client.diagnosis.values["written"])

    def test_recorder_of_many_publishers_reports_no_losses(self, ros, node_process, tmp_path, wait_for):
        """Publishers that come after the recorder number their messages by themselves."""
        chatter = [ros.node.create_publisher(UInt8MultiArray, "chatter", 100)]
        client = LifecycleClient(ros, "/recorder")
        self.record(node_process, tmp_path / "bag")
        wait_for(chatter[0].get_subscription_count, description="tap")
        for _ in range(5):
            chatter[0].publish(UInt8MultiArray(data=b"x"))
        chatter += [ros.node.create_publisher(UInt8MultiArray, "chatter", 100) for _ in range(2)]
        wait_for(lambda: all(each.get_subscription_count() for each in chatter), description="taps")

        for number in range(30):
            chatter[number % 3].publish(UInt8MultiArray(data=b"x"))

        wait_for(lambda: diagnosed(client, "written", "35"), description="all written")
        assert client.diagnosis.values["lost_in_transport"] == "0"

    def test_recorder_counts_dropped_messages(self, ros, node_process, tmp_path, wait_for):
        chatter = ros.node.create_publisher(UInt8MultiArray, "chatter", 10)
        client = LifecycleClient(ros, "/recorder")
        self.record(node_process, tmp_path / "bag", queue=1)
        wait_for(chatter.get_subscription_count, description="tap")
        chatter.publish(UInt8MultiArray(data=bytes(2_000_000)))
        chatter.publish(UInt8MultiArray(data=b"x"))
        wait_for(lambda: diagnosed(client, "dropped./chatter", "1"), description="the drop")
        wait_for(lambda: diagnosed(client, "written./chatter", "1"), description="the other")
        assert "too slow" in client.diagnosis.message
