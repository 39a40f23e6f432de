"""Arguments of the launch files: first those of nav2 with the same names and order, then our own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracking_runtime.engines.names import ENGINE_NAMES

YES_NO = ("true", "false")
ENGINES = ("", "auto", *ENGINE_NAMES)


@dataclass(frozen=True)
class Argument:
    """Argument of a launch file.

    Attributes:
        name: name of the argument.
        default: default value; None: the user must set a value.
        description: meaning of the argument, for people.
        choices: allowed values; empty: all.
    """

    name: str
    default: str | None
    description: str
    choices: tuple[str, ...] = ()


_COMMON = (
    Argument("namespace", "", "namespace of the nodes and of their relative topics"),
    Argument(
        "use_sim_time", "false", "use the clock of the topic /clock instead of the system clock", YES_NO
    ),
    Argument("params_file", "", "YAML file of parameters; launch arguments take precedence over it"),
    Argument("autostart", "true", "configure and activate the nodes when they start", YES_NO),
    Argument("use_respawn", "false", "restart a node, up to active, if its process ends", YES_NO),
    Argument(
        "log_level",
        "info",
        "lowest severity of log messages",
        ("debug", "info", "warn", "error", "fatal"),
    ),
)
_LOCAL_TRANSPORT = Argument(
    "transport_profile",
    "shared_memory",
    "transport of images between processes of this machine; shared_memory: Fast DDS with shared memory (the "
    "camera driver needs the same environment); default: default of the middleware",
    ("shared_memory", "default"),
)
_TRANSPORT = (
    replace(
        _LOCAL_TRANSPORT,
        description=_LOCAL_TRANSPORT.description
        + "; link: shared memory; only tracks, diagnostics and previews leave this machine, to link_domain",
        choices=(*_LOCAL_TRANSPORT.choices, "link"),
    ),
    Argument("link_domain", "10", "ROS domain of the ground, with transport_profile:=link"),
)
_BUILD_ONLY = Argument("build_only", "false", "build and cache the engines, then end", YES_NO)
_IMAGE = Argument(
    "image", "image", "topic of the camera's images; spectral_info must have the same namespace"
)
_CAMERA = Argument(
    "camera", "", "name of a hyperspectral camera, or path of a camera file; empty: from spectral_info"
)
_MODEL = Argument("model", "", "name of a model, or path of its manifest; empty: from the parameters")
_ENGINE = Argument("engine", "", "engine that runs the network; empty: from the parameters", ENGINES)
_PROFILE = Argument(
    "profile",
    "",
    "kind of camera; satellite: drifts and jitters; drone: turns, zooms and moves; fixed: stands still; "
    "empty: from the parameters",
    ("", "satellite", "drone", "fixed"),
)
_RECORD = Argument(
    "record",
    "none",
    "topics to record; none: nothing; tracks: the results; all: results and images; snapshot: the last 30 s "
    "of results and images, saved when a node crashes or the service recorder/snapshot is called",
    ("none", "tracks", "all", "snapshot"),
)
_OUTPUT = Argument("output", "", "folder of the recording, must not exist; empty: recording_DATE_TIME")
_VISUALIZE = Argument(
    "visualize",
    "none",
    "view of the tracks; none: nothing; overlay: images and markers on topics (visualizer/overlay); rviz: "
    "also start RViz; foxglove: also start the Foxglove bridge",
    ("none", "overlay", "rviz", "foxglove"),
)

_NETWORK = (_MODEL, _ENGINE)
_VIEW = (_RECORD, _OUTPUT, _VISUALIZE)

SPAX_TRACKER = (*_COMMON, *_TRANSPORT, _BUILD_ONLY, _IMAGE, *_NETWORK, _PROFILE, *_VIEW)
HSI_TRACKER = (*_COMMON, *_TRANSPORT, _BUILD_ONLY, _IMAGE, _CAMERA, *_NETWORK, *_VIEW)
GROUND_STATION = (
    *_COMMON,
    *_TRANSPORT,
    _BUILD_ONLY,
    Argument("hsi_cameras", "hsi", "namespaces of the hyperspectral cameras, separated by spaces; ' ': none"),
    Argument(
        "spax_cameras", "satellite", "namespaces of the satellite cameras, separated by spaces; ' ': none"
    ),
    replace(_IMAGE, description="topic of the images in the namespace of each camera"),
    _CAMERA,
    *(replace(argument, name=f"hsi_{argument.name}") for argument in _NETWORK),
    *(replace(argument, name=f"spax_{argument.name}") for argument in _NETWORK),
    _RECORD,
    replace(_OUTPUT, description="folder with a recording of each camera; empty: recording_DATE_TIME"),
    _VISUALIZE,
)
REPLAY = (
    *(argument for argument in _COMMON if argument.name not in ("autostart", "use_respawn", "use_sim_time")),
    _LOCAL_TRANSPORT,
    Argument("bag", None, "recording with images; its ground truth is played with the images"),
    Argument("topic", "", "topic of the images in the recording; empty: the only one"),
    Argument("tracker", "hsi_tracker", "tracker of the images", ("hsi_tracker", "spax_tracker")),
    Argument(
        "rate",
        "0.0",
        "[Hz] frames per second; 0: each frame as soon as the frame before is tracked; -1: as recorded",
    ),
    Argument(
        "start_box",
        "",
        "[px] target of hsi_tracker in the first frame: x, y, width, height; empty: from the ground truth",
    ),
    _CAMERA,
    *_NETWORK,
    replace(
        _RECORD,
        default="tracks",
        description="topics to record; tracks: results and ground truth; all: also the images",
        choices=("tracks", "all"),
    ),
    _OUTPUT,
    _VISUALIZE,
    Argument("evaluate", "true", "score the new recording with `rstrack evaluate` at the end", YES_NO),
)
GEOREFERENCER = (
    *_COMMON,
    _LOCAL_TRANSPORT,
    Argument("tracker", "spax_tracker", "tracker whose tracks are located", ("spax_tracker", "hsi_tracker")),
    Argument("geography", "", "file of a geographic reference; empty: camera_info and the camera's pose"),
    Argument("camera_info", "camera_info", "topic of the camera's calibration"),
    Argument("camera_pose", "camera_pose", "topic of the camera's pose, with pose_source:=topic"),
    Argument(
        "pose_source",
        "",
        "source of the camera's pose; empty: from the parameters",
        ("", "tf", "topic", "fixed"),
    ),
)
