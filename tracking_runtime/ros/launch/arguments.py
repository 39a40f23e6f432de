"""The arguments of the launch files: names and order as nav2's users know them, then this package's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

YES_NO = ("true", "false")
ENGINES = ("", "auto", "tensorrt", "tensorrt-rtx", "pytorch-cuda", "openvino", "pytorch")


@dataclass(frozen=True)
class Argument:
    """One argument of a launch file; a default of None: it must be given."""

    name: str
    default: str | None
    description: str
    choices: tuple[str, ...] = ()


_USUAL = (
    Argument("namespace", "", "namespace of the nodes and of their relative topics"),
    Argument("use_sim_time", "false", "follow /clock instead of the system's clock", YES_NO),
    Argument("params_file", "", "YAML file of parameters; arguments that are given win over it"),
    Argument("autostart", "true", "configure and activate the nodes as soon as they run", YES_NO),
    Argument("use_respawn", "false", "start a node again, up to active, should its process end", YES_NO),
    Argument("log_level", "info", "least severity to log", ("debug", "info", "warn", "error", "fatal")),
)
_LOCAL_TRANSPORT = Argument(
    "transport_profile",
    "shared_memory",
    "how images come from processes of this machine, the camera driver in the same environment: through "
    "shared memory, or as the middleware does by default",
    ("shared_memory", "default"),
)
_TRANSPORT = (
    replace(
        _LOCAL_TRANSPORT,
        description=_LOCAL_TRANSPORT.description
        + "; link: through shared memory, and nothing but tracks, diagnostics and small previews leaves this "
        "machine, into link_domain",
        choices=(*_LOCAL_TRANSPORT.choices, "link"),
    ),
    Argument("link_domain", "10", "ROS domain that the ground is in, with transport_profile:=link"),
)
_BUILD_ONLY = Argument("build_only", "false", "build and keep what runs the network, then end", YES_NO)
_IMAGE = Argument("image", "image", "topic of the camera's images; spectral_info is looked for beside it")
_CAMERA = Argument(
    "camera", "", "name of a hyperspectral camera, or path of its file; empty: as spectral_info says"
)
_MODEL = Argument("model", "", "name of a model, or path of its manifest; empty: as the parameters say")
_ENGINE = Argument("engine", "", "what runs the network; empty: as the parameters say", ENGINES)
_RECORD = Argument(
    "record",
    "none",
    "what to record: nothing, what was found, that and the images, or the last 500 MB of both on request "
    "(the service rosbag2_recorder/snapshot)",
    ("none", "tracks", "all", "snapshot"),
)
_OUTPUT = Argument("output", "", "folder of the recording, which must not exist; empty: recording_DATE_TIME")
_VISUALIZE = Argument(
    "visualize",
    "none",
    "nothing; pictures and markers as topics (visualizer/overlay); or these in RViz, or for Foxglove",
    ("none", "overlay", "rviz", "foxglove"),
)

_MODELS = (_MODEL, _ENGINE)
_AROUND = (_RECORD, _OUTPUT, _VISUALIZE)

SPAX_TRACKER = (
    *_USUAL,
    *_TRANSPORT,
    _BUILD_ONLY,
    _IMAGE,
    _MODEL,
    _ENGINE,
    _RECORD,
    _OUTPUT,
    _VISUALIZE,
)
HSI_TRACKER = (
    *_USUAL,
    *_TRANSPORT,
    _BUILD_ONLY,
    _IMAGE,
    _CAMERA,
    _MODEL,
    _ENGINE,
    _RECORD,
    _OUTPUT,
    _VISUALIZE,
)
GROUND_STATION = (
    *_USUAL,
    *_TRANSPORT,
    _BUILD_ONLY,
    Argument("hsi_cameras", "hsi", "namespaces of the hyperspectral cameras, separated by spaces; ' ': none"),
    Argument(
        "spax_cameras", "satellite", "namespaces of the satellite cameras, separated by spaces; ' ': none"
    ),
    replace(_IMAGE, description="topic of the images in each camera's namespace"),
    _CAMERA,
    *(replace(each, name=f"hsi_{each.name}") for each in _MODELS),
    *(replace(each, name=f"spax_{each.name}") for each in _MODELS),
    _RECORD,
    replace(_OUTPUT, description="folder for a recording of each camera; empty: recording_DATE_TIME"),
    _VISUALIZE,
)
REPLAY = (
    *(each for each in _USUAL if each.name not in ("autostart", "use_respawn", "use_sim_time")),
    _LOCAL_TRANSPORT,
    Argument("bag", None, "recording with images; its ground truth is played beside them"),
    Argument("topic", "", "the images' topic in the recording; empty: its only one"),
    Argument("tracker", "hsi_tracker", "what to run on them", ("hsi_tracker", "spax_tracker")),
    Argument(
        "rate", "0.0", "[Hz] frames a second; 0: each when the one before is tracked; -1: as they were taken"
    ),
    Argument(
        "start_box",
        "",
        "[px] x, y, width, height for hsi_tracker in the first frame; empty: as the ground truth says",
    ),
    _CAMERA,
    _MODEL,
    _ENGINE,
    replace(
        _RECORD,
        default="tracks",
        description="what to record: what was found and the ground truth, or the images as well",
        choices=("tracks", "all"),
    ),
    _OUTPUT,
    _VISUALIZE,
    Argument("evaluate", "true", "score the new recording with `rstrack evaluate` at the end", YES_NO),
)
