"""What the launch files share: one lifecycle node, its arguments named as nav2 names them.

Only launch files import this: ``launch`` and ``launch_ros`` come with ROS 2 from apt.
"""

from __future__ import annotations

from collections.abc import Sequence

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from tracking_runtime.transport import shared_memory_environment

PACKAGE = "remote_sensing_tracking"
_YES_NO = ("true", "false")


def _arguments() -> list[DeclareLaunchArgument]:
    def argument(
        name: str, default: str, description: str, choices: Sequence[str] | None = None
    ) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)

    return [
        argument("namespace", "", "namespace of the node and of its relative topics"),
        argument("params_file", "", "YAML file of parameters; arguments that are given win over it"),
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
        argument("model", "", "name of a model, or path of its manifest; empty: as the parameters say"),
        argument("engine", "", "what runs the network; empty: as the parameters say"),
    ]  # fmt: skip


def _launch(context: LaunchContext, executable: str, beside_image: Sequence[str]) -> list[Action]:
    def value(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    image = value("image")
    camera = "".join(image.rpartition("/")[:2])
    file = [value("params_file")] if value("params_file") else []
    given = {name: value(name) for name in ("model", "engine") if value(name)}
    switches = {name: value(name) == "true" for name in ("use_sim_time", "autostart")}
    shared = value("transport_profile") == "shared_memory"
    node = LifecycleNode(
        package=PACKAGE,
        executable=executable,
        name=executable,
        namespace=value("namespace"),
        parameters=[*file, switches | given],
        remappings=[("image", image), *((topic, camera + topic) for topic in beside_image)],
        respawn=value("use_respawn") == "true",
        respawn_delay=2.0,
        additional_env=shared_memory_environment() if shared else None,
        arguments=["--ros-args", "--log-level", value("log_level")],
        output="screen",
    )
    return [node]


def tracker_description(executable: str, beside_image: Sequence[str] = ()) -> LaunchDescription:
    """Launch one tracker.

    Args:
        executable: of this package; also the node's name.
        beside_image: topics that a camera publishes in the namespace of its images.
    """
    launched = OpaqueFunction(function=_launch, args=[executable, beside_image])
    return LaunchDescription([*_arguments(), launched])
