"""What the launch files start: trackers, with recorders and views around them.

Only launch files import this: ``launch`` and ``launch_ros`` come with ROS 2 from apt.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import yaml
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import ProcessExited, SignalProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from tracking_runtime.cli import COMMANDS
from tracking_runtime.io.sources import BagSource
from tracking_runtime.resources import PACKAGE, find
from tracking_runtime.ros.launch.arguments import Argument
from tracking_runtime.ros.launch.rosbag2 import record_command
from tracking_runtime.ros.optional_packages import how_to_install, is_installed
from tracking_runtime.ros.shared_memory import shared_memory_environment

Values = Mapping[str, str]

_RESPAWN_DELAY_S = 2.0
_PATIENCE_S = "30"  # after SIGINT: a recorder finishes its bag, a tracker its frame
_REPLAY_PATIENCE_S = 180.0  # the first frame waits for a model that is loaded for its camera
_MARKER_FRAME = "image"
_ON_BOARD = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
_LOSSLESS = {"reliability": "reliable", "depth": 50}


@dataclass(frozen=True)
class Tracker:
    """What has to be known of a tracker to launch it.

    Attributes:
        name: of the executable, and of the node.
        view: the visualizer's parameter ``tracker``.
        picture: topic that the visualizer draws on, relative to the namespace; empty: the images.
        takes_targets: whether people choose what it follows.
        results: topics of what was found.
        switches: launch arguments that are parameters of the node, where they are given.
    """

    name: str
    view: str
    picture: str = ""
    takes_targets: bool = False
    results: tuple[str, ...] = ("tracks",)
    switches: tuple[str, ...] = ("model", "engine")


HSI_TRACKER = Tracker(
    "hsi_tracker",
    "hsi",
    picture="hsi_tracker/false_color",
    takes_targets=True,
    switches=("camera", "model", "engine"),
)
SPAX_TRACKER = Tracker("spax_tracker", "satellite", results=("tracks", "detections"))
TRACKERS = {tracker.name: tracker for tracker in (HSI_TRACKER, SPAX_TRACKER)}


@dataclass(frozen=True)
class Camera:
    """One camera, its tracker, and the values of the launch arguments for both."""

    tracker: Tracker
    values: Values

    def topic(self, name: str) -> str:
        """A topic's whole name."""
        namespace = self.values["namespace"].strip("/")
        return name if name.startswith("/") else f"/{namespace}/{name}".replace("//", "/")

    def resolve(self, name: str) -> str:
        """What one of the names that the nodes use becomes."""
        return dict(self.remappings).get(name, self.topic(name))

    @property
    def image(self) -> str:
        """Topic of the images."""
        return self.topic(self.values["image"])

    def beside_image(self, name: str) -> str:
        """A topic that the camera publishes in the namespace of its images."""
        return "".join(self.image.rpartition("/")[:2]) + name

    @property
    def tracks(self) -> str:
        """Topic of the tracks."""
        return self.topic(f"{self.tracker.name}/tracks")

    @property
    def remappings(self) -> list[tuple[str, str]]:
        """From the names that the nodes use to those of this camera."""
        beside = [(name, self.beside_image(name)) for name in ("spectral_info", "ground_truth")]
        return [("image", self.image), ("tracks", self.tracks), *beside]

    @property
    def recorded(self) -> list[str]:
        """Topics to record."""
        names = [self.topic(f"{self.tracker.name}/{result}") for result in self.tracker.results]
        names += [self.beside_image("spectral_info"), self.beside_image("ground_truth"), "/diagnostics"]
        return names if self.values["record"] == "tracks" else [self.image, *names]

    def node(
        self,
        executable: str,
        parameters: Mapping[str, Any],
        remappings: Sequence[tuple[str, str]] = (),
        *,
        respawn: bool = False,
    ) -> LifecycleNode:
        """One of this package's nodes."""
        values = self.values
        switches = {name: values.get(name, "false") == "true" for name in ("use_sim_time", "autostart")}
        return LifecycleNode(
            package=PACKAGE,
            executable=executable,
            name=executable,
            namespace=values["namespace"],
            parameters=[*filter(None, [values["params_file"]]), {**switches, **parameters}],
            remappings=[*remappings, *(pair for pair in self.remappings if pair[0] not in dict(remappings))],
            respawn=respawn and values["use_respawn"] == "true",
            respawn_delay=_RESPAWN_DELAY_S,
            additional_env=_environment(values),
            ros_arguments=["--log-level", values["log_level"]],
            output="screen",
            sigterm_timeout=_PATIENCE_S,
        )


def description(
    arguments: Sequence[Argument], start: Callable[[Values], Sequence[Action]]
) -> LaunchDescription:
    """Declares arguments and starts what follows from their values."""

    def launched(context: LaunchContext) -> list[Action]:
        values = {each.name: LaunchConfiguration(each.name).perform(context) for each in arguments}
        if (file := values["params_file"]) and not Path(file).is_file():
            raise RuntimeError(f"params_file:={file}: there is no such file")
        return list(start(values))

    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    each.name,
                    default_value=each.default,
                    description=each.description,
                    choices=each.choices or None,
                )
                for each in arguments
            ),
            OpaqueFunction(function=launched),
        ]
    )


def one_camera(tracker: Tracker, values: Values) -> list[Action]:
    """A tracker with its recorder and views."""
    return _stations([Camera(tracker, values)])


def ground_station(values: Values) -> list[Action]:
    """Both trackers, each for several cameras, every camera in its namespace."""
    output = values["output"] or _dated_name()
    cameras = []
    for tracker, kind in ((HSI_TRACKER, "hsi"), (SPAX_TRACKER, "spax")):
        for name in values[f"{kind}_cameras"].split():
            own = {
                "namespace": f"{values['namespace']}/{name}",
                "output": str(Path(output) / name.strip("/")),
                "model": values[f"{kind}_model"],
                "engine": values[f"{kind}_engine"],
            }
            cameras.append(Camera(tracker, {**values, **own}))
    return _stations(cameras)


def _stations(cameras: Sequence[Camera]) -> list[Action]:
    """What is wanted for each of several cameras, and what all of them share."""
    if not cameras:
        return []
    values = cameras[0].values
    if values["build_only"] == "true":
        return [action for camera in cameras for action in _build(camera)]
    actions = [
        action for camera in cameras for action in (tracker_node(camera), *recorder(camera), *views(camera))
    ]
    return [*actions, *_link(cameras), *_bridge(values)]


def _build(camera: Camera) -> list[Action]:
    """A tracker that builds what runs its network, and ends; the launch fails if it cannot."""
    node = tracker_node(camera, {"build_only": True}, respawn=False)

    def check(event: ProcessExited, _: LaunchContext) -> None:
        if event.returncode:
            raise RuntimeError(f"{event.process_name} could not build: see what it says above")

    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=check))]


def _link(cameras: Sequence[Camera]) -> list[Action]:
    """The node that carries to the ground what it needs of all cameras, if there is a link."""
    values = cameras[0].values
    if values["transport_profile"] != "link":
        return []
    down = [name for camera in cameras for name in (camera.tracks, camera.topic("visualizer/preview"))]
    up = [
        camera.topic(name)
        for camera in cameras
        if camera.tracker.takes_targets
        for name in ("clicked_point", "clicked_box")
    ]
    parameters = {"domain": int(values["link_domain"]), "down": down, **({"up": up} if up else {})}
    return [cameras[0].node("link", parameters, respawn=True)]


def replay(values: Values) -> list[Action]:
    """A recording through a tracker into a new recording, which is scored."""
    output = values["output"] or _dated_name()
    tracker = TRACKERS[values["tracker"]]
    own = {"image": "image", "output": output, "autostart": "true", "use_respawn": "false"}
    camera = Camera(tracker, {**values, **own})
    heard = _qos_overrides(camera.image, "subscription")
    box = _start_box(values) if tracker.takes_targets else {}
    player = camera.node(
        "player",
        {
            "source": _bag_address(values),
            "rate": float(values["rate"]),
            "wait_for_subscribers": 2 if values["record"] == "all" else 1,
            "wait_for_nodes": "recorder",
            "exit_when_done": True,
            "patience": _REPLAY_PATIENCE_S,
            **_qos_overrides(camera.image, "publisher"),
        },
    )
    (recording,) = recorder(camera, own=True)
    finish = EmitEvent(
        event=SignalProcess(signal_number=signal.SIGINT, process_matcher=matches_action(recording))
    )
    return [
        tracker_node(camera, {**heard, **box}),
        recording,
        *views(camera),
        *_bridge(values),
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[finish])),
        RegisterEventHandler(OnProcessExit(target_action=recording, on_exit=_scoring(values, output))),
        player,
    ]


def tracker_node(
    camera: Camera, parameters: Mapping[str, Any] | None = None, *, respawn: bool = True
) -> LifecycleNode:
    """The tracker of a camera, with more parameters; ``respawn`` where that is wished for."""
    given = {name: camera.values[name] for name in camera.tracker.switches if camera.values[name]}
    return camera.node(camera.tracker.name, {**given, **(parameters or {})}, respawn=respawn)


def recorder(camera: Camera, *, own: bool = False) -> list[Action]:
    """What records, if anything is to be: rosbag2 where it is installed, unless it has to be our own.

    Raises:
        RuntimeError: only rosbag2 could do it, and it is not installed.
    """
    values = camera.values
    if values["record"] == "none":
        return []
    output = values["output"] or _dated_name()
    if own or not (is_installed("ros2bag") and is_installed("rosbag2_storage_mcap")):
        if values["record"] == "snapshot":
            _require("ros2bag", "record:=snapshot")
        return [camera.node("recorder", {"topics": camera.recorded, "output": str(Path(output).absolute())})]
    return [
        ExecuteProcess(
            cmd=record_command(values, camera.recorded, output),
            additional_env=_environment(values),
            output="screen",
            sigterm_timeout=_PATIENCE_S,
        )
    ]


def views(camera: Camera) -> list[Action]:
    """What shows the tracks and takes clicks, if anything is to.

    Raises:
        RuntimeError: the program that shows them is not installed.
    """
    if camera.values["visualize"] == "none" and camera.values["transport_profile"] != "link":
        return []
    drawn = [("image", camera.topic(camera.tracker.picture))] if camera.tracker.picture else []
    view = {"tracker": camera.tracker.view, "marker_frame": _MARKER_FRAME}
    nodes: list[Action] = [camera.node("visualizer", view, drawn, respawn=True)]
    if camera.tracker.takes_targets:
        nodes.append(camera.node("target_selector", {"marker_frame": _MARKER_FRAME}, respawn=True))
    return [*nodes, *(_rviz(camera) if camera.values["visualize"] == "rviz" else [])]


def _rviz(camera: Camera) -> list[Action]:
    """RViz, and its fixed frame, which it wants to see among the transforms."""
    _require("rviz2", "visualize:=rviz")
    frame = ["--frame-id", _MARKER_FRAME, "--child-frame-id", f"{_MARKER_FRAME}_plane"]
    config = find("config", f"{camera.tracker.name}.rviz")
    shown = [(topic, camera.resolve(topic.lstrip("/"))) for topic in _topics_of(config)]
    return [
        Node(
            package="tf2_ros",
            executable="static_transform_publisher",
            arguments=frame,
            additional_env=_environment(camera.values),
        ),
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=camera.values["namespace"],
            arguments=["-d", str(config)],
            remappings=shown,
            additional_env=_environment(camera.values),
        ),
    ]


def _topics_of(config: Path) -> list[str]:
    """The topics that a configuration of RViz's displays and tools names."""
    manager = yaml.safe_load(config.read_text())["Visualization Manager"]
    return [each["Topic"]["Value"] for each in (*manager["Displays"], *manager["Tools"]) if "Topic" in each]


def _bridge(values: Values) -> list[Action]:
    """The one program that shows all topics to Foxglove, if it is wanted."""
    if values["visualize"] != "foxglove":
        return []
    _require("foxglove_bridge", "visualize:=foxglove")
    return [
        Node(
            package="foxglove_bridge",
            executable="foxglove_bridge",
            additional_env=_environment(values),
            output="screen",
        )
    ]


def _environment(values: Values) -> dict[str, str] | None:
    """How the processes of a launch exchange images; also those that are not of this package."""
    profile = values["transport_profile"]
    if profile == "default":
        return None
    return shared_memory_environment() | (_ON_BOARD if profile == "link" else {})


def _bag_address(values: Values) -> str:
    topic = f"?topic={values['topic']}" if values["topic"] else ""
    return f"bag:{Path(values['bag']).absolute()}{topic}"


def _start_box(values: Values) -> dict[str, list[float]]:
    """The first target: as given, else as the recording's ground truth has it in the first frame."""
    if values["start_box"]:
        return {"start_box": [float(number) for number in values["start_box"].replace(",", " ").split()]}
    first = next(iter(BagSource(values["bag"], topic=values["topic"])), None)
    if first is None or first.truth is None or not len(first.truth.boxes):
        raise RuntimeError(f"no target in the first frame of {values['bag']}: give start_box")
    return {"start_box": first.truth.boxes[0].tolist()}


def _scoring(values: Values, recording: str) -> list[Action]:
    """Score a recording, if that is wanted and this version can, and end the launch."""
    over = EmitEvent(event=Shutdown(reason="the replay is over"))
    if values["evaluate"] == "false":
        return [over]
    if not entry_points(group=COMMANDS, name="evaluate"):
        return [LogInfo(msg=f"no command rstrack evaluate: {recording} is not scored"), over]
    command = ["rstrack", "evaluate", recording, "--output", f"{recording}_evaluation"]
    scoring = ExecuteProcess(cmd=command, output="screen")
    return [scoring, RegisterEventHandler(OnProcessExit(target_action=scoring, on_exit=[over]))]


def _qos_overrides(topic: str, side: str) -> dict[str, Any]:
    return {f"qos_overrides.{topic}.{side}.{policy}": value for policy, value in _LOSSLESS.items()}


def _dated_name() -> str:
    return datetime.now().strftime("recording_%Y-%m-%d_%H-%M-%S")


def _require(package: str, wish: str) -> None:
    if not is_installed(package):
        raise RuntimeError(f"{wish} needs {package}, which is not installed: {how_to_install(package)}")
