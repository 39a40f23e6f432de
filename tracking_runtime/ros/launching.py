"""What the launch files share: one lifecycle node, its arguments named as nav2 names them.

Only launch files import this: ``launch`` and ``launch_ros`` come with ROS 2 from apt.
"""

from __future__ import annotations

from collections.abc import Sequence

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from tracking_runtime.transport import shared_memory_environment

PACKAGE = "remote_sensing_tracking"
_ENGINES = ("auto", "torch", "openvino", "tensorrt")
_YES_NO = ("true", "false")


def _arguments(model: str) -> list[DeclareLaunchArgument]:
    def argument(
        name: str, default: str, description: str, choices: Sequence[str] | None = None
    ) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)

    return [
        argument("namespace", "", "namespace of the node and of its relative topics"),
        argument("params_file", "", "YAML file of parameters; the arguments below win over it"),
        argument("use_sim_time", "false", "follow /clock instead of the system's clock", _YES_NO),
        argument("autostart", "true", "configure and activate the node as soon as it runs", _YES_NO),
        argument("use_respawn", "false", "start the node again should its process end", _YES_NO),
        argument("log_level", "info", "least severity to log", ("debug", "info", "warn", "error", "fatal")),
        argument(
            "transport_profile", "shared_memory",
            "how images come from processes of this machine; the camera driver needs the same environment",
            ("shared_memory", "default"),
        ),
        argument("image", "image", "topic of the camera's images"),
        argument("model", model, "name of a model, or path of its manifest"),
        argument("engine", "auto", "what runs the network", _ENGINES),
    ]  # fmt: skip


def _started(node: LifecycleNode) -> list[RegisterEventHandler]:
    """Handlers that configure a node when its process starts, also after a respawn, and then activate it."""
    configure = ChangeState(
        lifecycle_node_matcher=matches_action(node), transition_id=Transition.TRANSITION_CONFIGURE
    )
    activate = ChangeState(
        lifecycle_node_matcher=matches_action(node), transition_id=Transition.TRANSITION_ACTIVATE
    )
    configured = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="inactive",
        entities=[EmitEvent(event=activate)],
    )
    started = OnProcessStart(target_action=node, on_start=[EmitEvent(event=configure)])
    return [RegisterEventHandler(configured), RegisterEventHandler(started)]


def _launch(context: LaunchContext, executable: str, beside_image: Sequence[str]) -> list[Action]:
    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    image = value("image")
    camera = "".join(image.rpartition("/")[:2])
    parameters = [value("params_file")] if value("params_file") else []
    shared = value("transport_profile") == "shared_memory"
    node = LifecycleNode(
        package=PACKAGE,
        executable=executable,
        name=executable,
        namespace=value("namespace"),
        parameters=[
            *parameters,
            {"use_sim_time": value("use_sim_time") == "true"},
            {"model": value("model"), "engine": value("engine")},
        ],
        remappings=[("image", image), *((topic, camera + topic) for topic in beside_image)],
        respawn=value("use_respawn") == "true",
        respawn_delay=2.0,
        additional_env=shared_memory_environment() if shared else None,
        arguments=["--ros-args", "--log-level", value("log_level")],
        output="screen",
    )
    return [*(_started(node) if value("autostart") == "true" else []), node]


def tracker_description(executable: str, model: str, beside_image: Sequence[str] = ()) -> LaunchDescription:
    """Launch one tracker.

    Args:
        executable: of this package; also the node's name.
        model: launched with unless the argument ``model`` says otherwise.
        beside_image: topics that a camera publishes in the namespace of its images.
    """
    launched = OpaqueFunction(function=_launch, args=[executable, beside_image])
    return LaunchDescription([*_arguments(model), launched])
