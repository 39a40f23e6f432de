"""Launch descriptions: one camera, ground station, replay.

Only launch files import this module: `launch` and `launch_ros` come with ROS 2 from apt.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import matches_action
from launch.events.process import SignalProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from tracking_runtime.bags.naming import make_recording_name
from tracking_runtime.io.bag_source import BagSource
from tracking_runtime.ros.launch.actions import (
    make_engine_build,
    make_foxglove_bridge,
    make_link,
    make_recorder,
    make_scoring,
    make_tracker_node,
    make_views,
)
from tracking_runtime.ros.launch.arguments import Argument
from tracking_runtime.ros.launch.camera import (
    HSI_TRACKER,
    SPAX_TRACKER,
    TRACKERS,
    Camera,
    TrackerKind,
    Values,
)
from tracking_runtime.ros.node.qos import make_lossless_overrides

_REPLAY_PATIENCE_S = 180.0  # time that the player waits for tracks; the first frame waits for the model


def make_description(
    arguments: Sequence[Argument], make_actions: Callable[[Values], Sequence[Action]]
) -> LaunchDescription:
    """Return a launch description that declares arguments and starts the actions for their values.

    Args:
        arguments: arguments of the launch file.
        make_actions: function from the values of the arguments to the actions.
    """

    def start(context: LaunchContext) -> list[Action]:
        values = {
            argument.name: LaunchConfiguration(argument.name).perform(context) for argument in arguments
        }
        if (file := values["params_file"]) and not Path(file).is_file():
            raise RuntimeError(f"params_file:={file} does not exist")
        return list(make_actions(values))

    declarations = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=argument.choices or None,
        )
        for argument in arguments
    ]
    return LaunchDescription([*declarations, OpaqueFunction(function=start)])


def make_camera_actions(tracker: TrackerKind, values: Values) -> list[Action]:
    """Return one tracker with its recorder and views."""
    return _make_station_actions([Camera(tracker, values)])


def make_ground_station_actions(values: Values) -> list[Action]:
    """Return both trackers for several cameras. Each camera has its namespace."""
    output = values["output"] or make_recording_name()
    cameras = []
    for tracker, kind in ((HSI_TRACKER, "hsi"), (SPAX_TRACKER, "spax")):
        for name in values[f"{kind}_cameras"].split():
            camera_values = {
                "namespace": f"{values['namespace']}/{name}",
                "output": str(Path(output) / name.strip("/")),
                "model": values[f"{kind}_model"],
                "engine": values[f"{kind}_engine"],
            }
            cameras.append(Camera(tracker, {**values, **camera_values}))
    return _make_station_actions(cameras)


def _make_station_actions(cameras: Sequence[Camera]) -> list[Action]:
    """Return the actions of several cameras, and those that the cameras share."""
    if not cameras:
        return []
    values = cameras[0].values
    if values["build_only"] == "true":
        return [action for camera in cameras for action in make_engine_build(camera)]
    actions: list[Action] = []
    for camera in cameras:
        actions += [make_tracker_node(camera), *make_recorder(camera), *make_views(camera)]
    return [*actions, *make_link(cameras), *make_foxglove_bridge(values)]


def make_replay_actions(values: Values) -> list[Action]:
    """Return a player, a tracker and a recorder. At the end the new recording is scored."""
    output = values["output"] or make_recording_name()
    tracker = TRACKERS[values["tracker"]]
    replay_values = {"image": "image", "output": output, "autostart": "true", "use_respawn": "false"}
    camera = Camera(tracker, {**values, **replay_values})
    start_box = _find_start_box(values) if tracker.takes_targets else {}
    player = _make_player(camera)
    (recorder,) = make_recorder(camera, use_own=True)
    finish_recording = EmitEvent(
        event=SignalProcess(signal_number=signal.SIGINT, process_matcher=matches_action(recorder))
    )
    return [
        make_tracker_node(camera, {**make_lossless_overrides(camera.image, "subscription"), **start_box}),
        recorder,
        *make_views(camera),
        *make_foxglove_bridge(values),
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[finish_recording])),
        RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=make_scoring(values, output))),
        player,
    ]


def make_georeferencer_actions(values: Values) -> list[Action]:
    """Return the georeferencer of a tracker."""
    tracker = TRACKERS[values["tracker"]]
    camera = Camera(tracker, {**values, "image": "image"})
    parameters = {"tracker": tracker.view}
    if values["geography"]:
        parameters["geography"] = str(Path(values["geography"]).expanduser().absolute())
    if values["pose_source"]:
        parameters["pose_source"] = values["pose_source"]
    remappings = [(name, camera.resolve_topic(values[name])) for name in ("camera_info", "camera_pose")]
    return [camera.make_node("georeferencer", parameters, remappings, respawn=True)]


def _make_player(camera: Camera) -> LifecycleNode:
    """Return a player that starts when tracker and recorder listen, and ends after the last frame."""
    values = camera.values
    parameters: dict[str, Any] = {
        "source": _make_bag_address(values),
        "rate": float(values["rate"]),
        "wait_for_subscribers": 2 if values["record"] == "all" else 1,
        "wait_for_nodes": "recorder",
        "exit_when_done": True,
        "patience": _REPLAY_PATIENCE_S,
        **make_lossless_overrides(camera.image, "publisher"),
    }
    return camera.make_node("player", parameters)


def _make_bag_address(values: Values) -> str:
    topic = f"?topic={values['topic']}" if values["topic"] else ""
    return f"bag:{Path(values['bag']).absolute()}{topic}"


def _find_start_box(values: Values) -> dict[str, list[float]]:
    """Return the parameter of the first target: as set, else from the ground truth of the first frame."""
    if values["start_box"]:
        return {"start_box": [float(number) for number in values["start_box"].replace(",", " ").split()]}
    frame = next(iter(BagSource(values["bag"], topic=values["topic"])), None)
    if frame is None or frame.truth is None or not len(frame.truth.boxes):
        raise RuntimeError(f"no target in the first frame of {values['bag']}: set start_box")
    return {"start_box": frame.truth.boxes[0].tolist()}
