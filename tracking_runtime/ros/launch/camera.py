"""Camera with its tracker: the names of topics, and nodes that use these names.

Only launch files import this module: `launch` and `launch_ros` come with ROS 2 from apt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch_ros.actions import LifecycleNode

from tracking_runtime.files import PACKAGE
from tracking_runtime.ros.shared_memory import make_shared_memory_environment

Values = Mapping[str, str]
"""Values of the launch arguments by name."""

EXIT_TIMEOUT_S = "30"
"""Time between SIGINT and SIGTERM in seconds: a recorder finishes its bag, a tracker its frame."""
RESPAWN_DELAY_S = 2.0
"""Time from the end of a process to its next start in seconds."""
_ONBOARD_ENVIRONMENT = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@dataclass(frozen=True)
class TrackerKind:
    """Facts of a tracker that launch files need.

    Attributes:
        name: name of the executable, and of the node.
        view: value of the visualizer's parameter `tracker`.
        background_topic: topic of the images that the visualizer draws on, relative to the namespace; empty:
            the images of the camera.
        takes_targets: true if users select the targets.
        result_topics: topics of the results, relative to the node.
        node_arguments: launch arguments that set a parameter of the node unless they are empty.
    """

    name: str
    view: str
    background_topic: str = ""
    takes_targets: bool = False
    result_topics: tuple[str, ...] = ("tracks",)
    node_arguments: tuple[str, ...] = ("model", "engine")


HSI_TRACKER = TrackerKind(
    "hsi_tracker",
    "hsi",
    background_topic="hsi_tracker/false_color",
    takes_targets=True,
    node_arguments=("camera", "model", "engine"),
)
SPAX_TRACKER = TrackerKind(
    "spax_tracker",
    "satellite",
    result_topics=("tracks", "detections"),
    node_arguments=("model", "engine", "profile"),
)
TRACKERS = {tracker.name: tracker for tracker in (HSI_TRACKER, SPAX_TRACKER)}


@dataclass(frozen=True)
class Camera:
    """Camera with its tracker.

    Attributes:
        tracker: tracker of the camera.
        values: values of the launch arguments for both.
    """

    tracker: TrackerKind
    values: Values

    @property
    def image(self) -> str:
        """Topic of the images."""
        return self.resolve_topic(self.values["image"])

    @property
    def tracks(self) -> str:
        """Topic of the tracks."""
        return self.resolve_topic(f"{self.tracker.name}/tracks")

    @property
    def remappings(self) -> list[tuple[str, str]]:
        """Pairs of a topic name in the nodes and the topic of this camera."""
        names = ("spectral_info", "ground_truth")
        sibling_topics = [(name, self.resolve_sibling(name)) for name in names]
        return [("image", self.image), ("tracks", self.tracks), *sibling_topics]

    @property
    def recorded_topics(self) -> list[str]:
        """Topics to record."""
        topics = [self.resolve_topic(f"{self.tracker.name}/{topic}") for topic in self.tracker.result_topics]
        topics += [
            self.resolve_sibling("spectral_info"),
            self.resolve_sibling("ground_truth"),
            "/diagnostics",
            "/rosout",
        ]
        return topics if self.values["record"] == "tracks" else [self.image, *topics]

    def resolve_topic(self, name: str) -> str:
        """Return the full name of a topic in the namespace of the camera."""
        namespace = self.values["namespace"].strip("/")
        return name if name.startswith("/") else f"/{namespace}/{name}".replace("//", "/")

    def resolve_sibling(self, name: str) -> str:
        """Return the full name of a topic that the camera publishes in the namespace of its images."""
        return "".join(self.image.rpartition("/")[:2]) + name

    def remap(self, name: str) -> str:
        """Return the full name of a topic after the remappings."""
        return dict(self.remappings).get(name, self.resolve_topic(name))

    def make_node(
        self,
        executable: str,
        parameters: Mapping[str, Any],
        remappings: Sequence[tuple[str, str]] = (),
        *,
        respawn: bool = False,
    ) -> LifecycleNode:
        """Return the action that starts one of this package's nodes.

        Args:
            executable: name of the executable, and of the node.
            parameters: parameters of the node.
            remappings: pairs of old and new name; they take precedence over those of the camera.
            respawn: restart the node if its process ends and `use_respawn` is set.
        """
        values = self.values
        flags = {name: values.get(name, "false") == "true" for name in ("use_sim_time", "autostart")}
        camera_remappings = [pair for pair in self.remappings if pair[0] not in dict(remappings)]
        return LifecycleNode(
            package=PACKAGE,
            executable=executable,
            name=executable,
            namespace=values["namespace"],
            parameters=[*filter(None, [values["params_file"]]), {**flags, **parameters}],
            remappings=[*remappings, *camera_remappings],
            respawn=respawn and values["use_respawn"] == "true",
            respawn_delay=RESPAWN_DELAY_S,
            additional_env=make_environment(values),
            ros_arguments=["--log-level", values["log_level"]],
            output="both",  # the log files go into the black box
            sigterm_timeout=EXIT_TIMEOUT_S,
        )


def make_environment(values: Values) -> dict[str, str] | None:
    """Return environment variables for the processes of a launch; None: no variable is set."""
    profile = values["transport_profile"]
    if profile == "default":
        return None
    return make_shared_memory_environment() | (_ONBOARD_ENVIRONMENT if profile == "link" else {})
