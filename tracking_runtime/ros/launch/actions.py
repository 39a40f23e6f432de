"""Launch actions: tracker, recorder, views, link and scoring.

Only launch files import this module: `launch` and `launch_ros` come with ROS 2 from apt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from launch import Action, LaunchContext
from launch.actions import EmitEvent, ExecuteProcess, LogInfo, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import LifecycleNode, Node

from tracking_runtime.bags.naming import make_recording_name
from tracking_runtime.files import find_data_file
from tracking_runtime.plugins import COMMANDS, find_plugins
from tracking_runtime.ros.launch.camera import (
    EXIT_TIMEOUT_S,
    RESPAWN_DELAY_S,
    Camera,
    Values,
    make_environment,
)
from tracking_runtime.ros.launch.rosbag2 import make_record_command
from tracking_runtime.ros.optional_packages import format_install_command, is_installed

_MARKER_FRAME = "image"
_SNAPSHOT_S = 30.0  # time of the newest messages that record:=snapshot keeps


def make_tracker_node(
    camera: Camera, parameters: Mapping[str, Any] | None = None, *, respawn: bool = True
) -> LifecycleNode:
    """Return the tracker of a camera.

    Args:
        camera: camera of the tracker.
        parameters: parameters in addition to those of the launch arguments.
        respawn: restart the node if its process ends and `use_respawn` is set.
    """
    tracker = camera.tracker
    given = {name: value for name in tracker.node_arguments if (value := camera.values.get(name))}
    return camera.make_node(tracker.name, {**given, **(parameters or {})}, respawn=respawn)


def make_engine_build(camera: Camera) -> list[Action]:
    """Return a tracker that builds its engine and ends. The launch fails if the build fails."""
    node = make_tracker_node(camera, {"build_only": True}, respawn=False)

    def check_exit_status(event: ProcessExited, _: LaunchContext) -> None:
        if event.returncode:
            raise RuntimeError(f"{event.process_name} could not build its engine: see its log above")

    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=check_exit_status))]


def make_recorder(camera: Camera, *, use_own: bool = False, number: int = 0) -> list[Action]:
    """Return the recorder of a camera: rosbag2 or the node `recorder`; or no action.

    The node `recorder` records images, because it saves them after a crash of another node. rosbag2 records
    the tracks, if it is installed.

    With `use_respawn`, a recorder that ends is started again. Each recorder writes a bag of its own: the
    folders after the first have a number at their end.

    Args:
        camera: camera of the recorder.
        use_own: use the node `recorder` in any case.
        number: number of recorders that have ended.

    Raises:
        RuntimeError: the folder of the bag exists.
    """
    values = camera.values
    if values["record"] == "none":
        return []
    output = Path(values["output"] or make_recording_name()).absolute()
    if number:
        output = output.with_name(f"{output.name}_{number}")
    elif output.exists():
        raise RuntimeError(f"output:={output} exists already: choose another folder")
    has_rosbag2 = is_installed("ros2bag") and is_installed("rosbag2_storage_mcap")
    if use_own or values["record"] != "tracks" or not has_rosbag2:
        parameters: dict[str, Any] = {"topics": camera.recorded_topics, "output": str(output)}
        if values["record"] == "snapshot":
            parameters["keep"] = _SNAPSHOT_S
        recorder: ExecuteProcess = camera.make_node("recorder", parameters)
    else:
        recorder = ExecuteProcess(
            cmd=make_record_command(values, camera.recorded_topics, str(output)),
            additional_env=make_environment(values),
            output="screen",
            sigterm_timeout=EXIT_TIMEOUT_S,
        )
    if values["use_respawn"] != "true":
        return [recorder]

    def start_again(_: ProcessExited, context: LaunchContext) -> list[Action]:
        if context.is_shutdown:
            return []
        again = make_recorder(camera, use_own=use_own, number=number + 1)
        return [TimerAction(period=RESPAWN_DELAY_S, actions=again)]

    return [recorder, RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=start_again))]


def make_views(camera: Camera) -> list[Action]:
    """Return the nodes that show the tracks of a camera and take clicks, as the arguments set.

    Raises:
        RuntimeError: the program that shows the tracks is not installed.
    """
    values = camera.values
    tracker = camera.tracker
    if values["visualize"] == "none" and values["transport_profile"] != "link":
        return []
    remappings = []
    if tracker.background_topic:
        remappings.append(("image", camera.resolve_topic(tracker.background_topic)))
    parameters = {"tracker": tracker.view, "marker_frame": _MARKER_FRAME}
    actions: list[Action] = [camera.make_node("visualizer", parameters, remappings, respawn=True)]
    if tracker.takes_targets:
        actions.append(camera.make_node("target_selector", {"marker_frame": _MARKER_FRAME}, respawn=True))
    if values["visualize"] == "rviz":
        actions += _make_rviz(camera)
    return actions


def _make_rviz(camera: Camera) -> list[Action]:
    """Return RViz, and the publisher of a static transform that makes the fixed frame known to RViz."""
    _require("rviz2", "visualize:=rviz")
    transform = ["--frame-id", _MARKER_FRAME, "--child-frame-id", f"{_MARKER_FRAME}_plane"]
    config = find_data_file("config", f"{camera.tracker.name}.rviz")
    remappings = [(topic, camera.remap(topic.lstrip("/"))) for topic in _read_rviz_topics(config)]
    return [
        Node(
            package="tf2_ros",
            executable="static_transform_publisher",
            arguments=transform,
            additional_env=make_environment(camera.values),
        ),
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=camera.values["namespace"],
            arguments=["-d", str(config)],
            remappings=remappings,
            additional_env=make_environment(camera.values),
        ),
    ]


def _read_rviz_topics(config: Path) -> list[str]:
    """Return the topics of the displays and tools in an RViz configuration."""
    manager = yaml.safe_load(config.read_text())["Visualization Manager"]
    items = (*manager["Displays"], *manager["Tools"])
    return [item["Topic"]["Value"] for item in items if "Topic" in item]


def make_foxglove_bridge(values: Values) -> list[Action]:
    """Return the Foxglove bridge for all topics if the arguments ask for Foxglove.

    Raises:
        RuntimeError: the bridge is not installed.
    """
    if values["visualize"] != "foxglove":
        return []
    _require("foxglove_bridge", "visualize:=foxglove")
    return [
        Node(
            package="foxglove_bridge",
            executable="foxglove_bridge",
            additional_env=make_environment(values),
            output="screen",
        )
    ]


def make_link(cameras: Sequence[Camera]) -> list[Action]:
    """Return the node that relays the topics of all cameras to the ground if the arguments ask for a link."""
    values = cameras[0].values
    if values["transport_profile"] != "link":
        return []
    down = []
    up = []
    for camera in cameras:
        down += [camera.tracks, camera.resolve_topic("visualizer/preview")]
        if camera.tracker.takes_targets:
            up += [camera.resolve_topic(name) for name in ("clicked_point", "clicked_box")]
    parameters: dict[str, Any] = {"domain": int(values["link_domain"]), "down": down}
    if up:
        parameters["up"] = up
    return [cameras[0].make_node("link", parameters, respawn=True)]


def make_scoring(values: Values, recording: str) -> list[Action]:
    """Return the actions after a replay: score the recording if `evaluate` is set, then end the launch."""
    shutdown = EmitEvent(event=Shutdown(reason="the replay has ended"))
    if values["evaluate"] == "false":
        return [shutdown]
    if "evaluate" not in find_plugins(COMMANDS):
        return [
            LogInfo(msg=f"command rstrack evaluate is not installed: {recording} is not scored"),
            shutdown,
        ]
    command = ["rstrack", "evaluate", recording, "--output", f"{recording}_evaluation"]
    scoring = ExecuteProcess(cmd=command, output="screen")
    return [scoring, RegisterEventHandler(OnProcessExit(target_action=scoring, on_exit=[shutdown]))]


def _require(package: str, argument: str) -> None:
    if not is_installed(package):
        command = format_install_command(package)
        raise RuntimeError(f"{argument} needs {package}, which is not installed: {command}")
