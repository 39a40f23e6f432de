"""Launch files parse everywhere; where launch is installed they start, track, record and end for real."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tracking_runtime.bags import BagReader, BagWriter
from tracking_runtime.engines.selection import BACKENDS
from tracking_runtime.io.source_recorder import SourceMessages
from tracking_runtime.ros.launch import arguments

FOLDER = Path(__file__).resolve().parents[2] / "launch"
FILES = {
    "hsi_tracker.launch.py": arguments.HSI_TRACKER,
    "spax_tracker.launch.py": arguments.SPAX_TRACKER,
    "ground_station.launch.py": arguments.GROUND_STATION,
    "replay.launch.py": arguments.REPLAY,
    "georeferencer.launch.py": arguments.GEOREFERENCER,
}
OF_NAV2 = ["namespace", "use_sim_time", "params_file", "autostart", "use_respawn", "log_level"]
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *arguments = sys.argv[1:]
included = IncludeLaunchDescription(
    PythonLaunchDescriptionSource(file), launch_arguments=[a.split(":=", 1) for a in arguments]
)
service = LaunchService(noninteractive=True)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""


def test_every_file_is_known() -> None:
    assert {path.name for path in FOLDER.glob("*.launch.py")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_defines_a_launch_description(name: str) -> None:
    body = ast.parse((FOLDER / name).read_text()).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    assert functions == ["generate_launch_description"]


@pytest.mark.parametrize("name", FILES)
def test_arguments_are_as_nav2_has_them_and_say_what_they_do(name: str) -> None:
    names = [argument.name for argument in FILES[name]]
    assert len(set(names)) == len(names)
    usual = [each for each in OF_NAV2 if each in names]
    assert [each for each in names if each in OF_NAV2] == usual
    assert names[: len(usual)] == usual
    for argument in FILES[name]:
        assert len(argument.description) > 10
        assert not argument.choices or argument.default in argument.choices


def test_every_engine_can_be_chosen() -> None:
    assert set(arguments.ENGINES) == {"", "auto", *(backend.name for backend in BACKENDS)}


@pytest.mark.parametrize("name", FILES)
def test_declares_its_arguments(name: str) -> None:
    pytest.importorskip("launch_ros", reason="no wheel of launch exists")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(FOLDER / name))
    declared = {each.name: each for each in description.get_launch_arguments()}
    assert list(declared) == [argument.name for argument in FILES[name]]
    for argument in FILES[name]:
        assert declared[argument.name].description.startswith(argument.description)
        assert (declared[argument.name].default_value is None) == (argument.default is None)


needs_launch = pytest.mark.skipif(
    find_spec("launch_ros") is None or find_spec("rclpy") is None, reason="no wheel of launch exists"
)


class Launched:
    """A launch file as a process."""

    def __init__(self, name: str, log: Path, environment: dict[str, str], **arguments: str) -> None:
        self._log = log
        given = [f"{key}:={value}" for key, value in arguments.items()]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(FOLDER / name), *given],
                env={**os.environ, **environment, "ROS_LOG_DIR": str(log.parent), "PYTHONUNBUFFERED": "1"},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture
def launch(ros_domain: int, tmp_path: Path) -> Iterator[Any]:
    from tracking_runtime.ros.processes import make_local_environment

    launched: list[Launched] = []

    def start(name: str, **arguments: str) -> Launched:
        launched.append(
            Launched(name, tmp_path / "launch.log", make_local_environment(ros_domain), **arguments)
        )
        return launched[-1]

    yield start
    for each in launched:
        each.end()


@needs_launch
def test_camera_is_tracked_shown_and_recorded_until_sigint(
    launch: Any, ros: Any, tmp_path: Path, wait_for: Any
) -> None:
    from remote_sensing_tracking.msg import TrackArray
    from sensor_msgs.msg import Image

    from spax_ros.simulation import SatelliteScene
    from tracking_runtime.messages.conversion import serialize_image
    from tracking_runtime.ros.node import qos

    run = launch(
        "spax_tracker.launch.py",
        namespace="sat",
        image="/camera/image_raw",
        record="tracks",
        output=str(tmp_path / "bag"),
        visualize="overlay",
    )
    tracks = ros.listen(TrackArray, "/sat/spax_tracker/tracks", qos.make_track_profile())
    overlays = ros.listen(Image, "/sat/visualizer/overlay")
    camera = ros.node.create_publisher(Image, "/camera/image_raw", 10)
    wait_for(lambda: camera.get_subscription_count() == 2, 120, "tracker and visualizer")
    listeners = ros.node.get_subscriptions_info_by_topic
    wait_for(lambda: len(listeners("/sat/spax_tracker/tracks")) == 3, 60, "visualizer and recorder")
    for number, frame in enumerate(SatelliteScene(1_000_009, frames=5, size=(256, 256)), start=1):
        camera.publish(serialize_image(frame))
        wait_for(lambda number=number: len(tracks) == number, 60, f"tracks of frame {number}")
    wait_for(lambda: overlays, description="an overlay")
    assert run.interrupt() == 0
    assert "has died" not in run.log
    reader = BagReader(tmp_path / "bag")
    assert reader.is_complete
    assert reader.counts["/sat/spax_tracker/tracks"] == 5
    assert "/camera/image_raw" not in reader.counts


@needs_launch
def test_click_becomes_a_target(launch: Any, ros: Any, wait_for: Any) -> None:
    from geometry_msgs.msg import Point, PointStamped
    from remote_sensing_tracking.msg import TargetTrackArray
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from hsi_tracker_ros.simulation import HyperspectralScene
    from tracking_runtime.boxes import compute_centers
    from tracking_runtime.messages.conversion import serialize_image
    from tracking_runtime.ros.clients import LifecycleClient
    from tracking_runtime.ros.node import qos

    run = launch("hsi_tracker.launch.py", visualize="overlay", engine="pytorch")
    tracks = ros.listen(TargetTrackArray, "/hsi_tracker/tracks", qos.make_track_profile())
    camera = ros.node.create_publisher(Image, "/image", 10)
    clicks = ros.node.create_publisher(PointStamped, "/clicked_point", 10)
    wait_for(lambda: camera.get_subscription_count() and clicks.get_subscription_count(), 120, "the nodes")
    listeners = ros.node.get_subscriptions_info_by_topic
    wait_for(lambda: len(listeners("/hsi_tracker/tracks")) == 3, 60, "all who hear the tracks")
    frames = iter(HyperspectralScene(1_000_003, frames=60, size=(160, 128)))
    selector = LifecycleClient(ros, "/target_selector")

    def known() -> bool:
        return selector.diagnosis is not None and int(selector.diagnosis.values["frames"]) > 0

    while not known():
        shown = next(frames)
        count = len(tracks) + 1
        camera.publish(serialize_image(shown))
        wait_for(lambda count=count: len(tracks) == count, 60, "the frame's tracks")
        told_ns = selector.diagnosis_stamp_ns
        wait_for(lambda told_ns=told_ns: selector.diagnosis_stamp_ns > told_ns, 30, "what the selector knows")
    ((x, y),) = compute_centers(shown.truth.boxes[:1]) * 0.01
    header = Header(frame_id="image", stamp=tracks[-1].header.stamp)
    clicks.publish(PointStamped(header=header, point=Point(x=x, y=-y)))
    wait_for(lambda: "target 1" in run.log, 30, "the choice")
    count = len(tracks) + 1
    camera.publish(serialize_image(next(frames)))
    wait_for(lambda: len(tracks) == count, 60, "the next frame's tracks")
    assert [track.id for track in tracks[-1].tracks] == [1]
    assert run.interrupt() == 0


@needs_launch
def test_ground_station_has_a_tracker_per_camera_and_respawns_it(
    launch: Any, ros: Any, wait_for: Any
) -> None:
    from tracking_runtime.ros.clients import LifecycleClient

    run = launch("ground_station.launch.py", hsi_cameras="", spax_cameras="north south", use_respawn="true")
    for name in ("north", "south"):
        node = LifecycleClient(ros, f"/{name}/spax_tracker")
        wait_for(lambda node=node: node.diagnosis and node.diagnosis.values["state"] == "active", 120, name)
    (pid, *_) = _children(run.process.pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "has died" in run.log, 30, "the death")
    wait_for(lambda: run.log.count("process started with pid") == 3, 30, "a new process")
    again = [LifecycleClient(ros, f"/{name}/spax_tracker") for name in ("north", "south")]
    wait_for(
        lambda: all(node.diagnosis and node.diagnosis.values["state"] == "active" for node in again),
        120,
        "both active again",
    )
    assert run.interrupt() == 0


@needs_launch
def test_killed_recorder_continues_in_another_folder(
    launch: Any, ros: Any, tmp_path: Path, wait_for: Any
) -> None:
    from tracking_runtime.ros.clients import LifecycleClient

    output = tmp_path / "recording"
    run = launch("spax_tracker.launch.py", record="tracks", output=str(output), use_respawn="true")
    recorder = LifecycleClient(ros, "/recorder")
    wait_for(lambda: recorder.diagnosis and recorder.diagnosis.values["state"] == "active", 120)
    pid = next(p for p in _children(run.process.pid) if "recorder" in Path(f"/proc/{p}/cmdline").read_text())

    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: (tmp_path / "recording_1").exists(), 60, "the next recording")

    assert run.interrupt() == 0
    assert BagReader(output).message_count >= 0


@needs_launch
def test_replay_into_existing_folder_ends_with_the_error(launch: Any, tmp_path: Path) -> None:
    run = launch("replay.launch.py", bag="absent", output=str(tmp_path), start_box="1 1 9 9")

    assert run.process.wait(60) == 1
    assert f"output:={tmp_path} exists already" in run.log


@needs_launch
def test_recording_is_replayed_from_its_own_ground_truth(launch: Any, tmp_path: Path) -> None:
    from hsi_tracker_ros.simulation import HyperspectralScene

    flight = SourceMessages(HyperspectralScene(1_000_003, frames=6, size=(160, 128)))
    with BagWriter(tmp_path / "flight") as writer:
        for topic in flight.topics:
            writer.add_topic(topic)
        for frame in flight:
            for record in (*frame.first_records, *frame.records):
                writer.write(*record)
    run = launch(
        "replay.launch.py",
        bag=str(tmp_path / "flight"),
        output=str(tmp_path / "tracked"),
        engine="pytorch",
        evaluate="false",
    )
    assert run.process.wait(150) == 0, run.log
    reader = BagReader(tmp_path / "tracked")
    tracks = [message.tracks for _, message in reader.read_messages(["/hsi_tracker/tracks"])]
    assert [len(targets) for targets in tracks] == [1] * 6
    assert reader.counts["/ground_truth"] == 6


@needs_launch
def test_only_what_the_ground_needs_goes_over_the_link(launch: Any, ros: Any, wait_for: Any) -> None:
    from remote_sensing_tracking.msg import TrackArray
    from sensor_msgs.msg import CompressedImage, Image

    from spax_ros.simulation import SatelliteScene
    from tracking_runtime.messages.conversion import serialize_image
    from tracking_runtime.ros.clients import LifecycleClient
    from tracking_runtime.ros.node import qos
    from tracking_runtime.ros.processes import reserve_domain
    from tracking_runtime.ros.session import RosSession

    with reserve_domain() as domain, RosSession("ground", domain) as ground:
        run = launch("spax_tracker.launch.py", transport_profile="link", link_domain=str(domain))
        tracks = ground.listen(TrackArray, "/spax_tracker/tracks", qos.make_track_profile())
        previews = ground.listen(CompressedImage, "/visualizer/preview")
        link = LifecycleClient(ground, "/link")
        camera = ros.node.create_publisher(Image, "/image", 10)
        wait_for(lambda: camera.get_subscription_count() == 2, 120, "tracker and visualizer")
        wait_for(lambda: ground.node.count_publishers("/visualizer/preview"), 60, "the link")

        def arrived() -> bool:
            camera.publish(serialize_image(next(frames)))
            return bool(tracks and previews and link.diagnosis)

        frames = iter(SatelliteScene(1_000_009, frames=600, size=(256, 256)))
        wait_for(arrived, 60, "tracks, a preview and diagnoses on the ground")
        crossed = {name for name, _ in ground.node.get_topic_names_and_types()}
        assert "/image" not in crossed
        assert run.interrupt() == 0


@needs_launch
def test_engines_are_built_and_nothing_more(launch: Any, tmp_path: Path) -> None:
    run = launch("ground_station.launch.py", build_only="true", visualize="overlay", hsi_engine="openvino")
    assert run.process.wait(180) == 0, run.log
    assert run.log.count("process started with pid") == run.log.count("process has finished cleanly") == 2
    absent = str(tmp_path / "absent.yaml")
    failing = launch("spax_tracker.launch.py", build_only="true", model=absent)
    assert failing.process.wait(60) == 1
    assert "could not build" in failing.log
    assert f"no model manifest at {absent}" in failing.log


@needs_launch
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"visualize": "rviz"}, "visualize:=rviz needs rviz2, which is not installed"),
        ({"visualize": "foxglove"}, "apt install ros-jazzy-foxglove-bridge"),
        ({"record": "some"}, 'provided value "some" is not valid'),
        ({"engine": "fast"}, 'provided value "fast" is not valid'),
        ({"params_file": "/nowhere.yaml"}, "params_file:=/nowhere.yaml does not exist"),
    ],
)
def test_what_is_not_installed_or_known_is_said(launch: Any, arguments: dict[str, str], reason: str) -> None:
    from tracking_runtime.ros.optional_packages import is_installed

    package = {"rviz": "rviz2", "foxglove": "foxglove_bridge"}.get(next(iter(arguments.values())))
    if package and is_installed(package):
        pytest.skip(f"{package} is installed")
    run = launch("spax_tracker.launch.py", **arguments)
    assert run.process.wait(60) != 0
    assert reason in run.log


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
