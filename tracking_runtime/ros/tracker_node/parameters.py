"""Parameters of every tracker node."""

from __future__ import annotations

from dataclasses import dataclass

from tracking_runtime.engines import BACKENDS
from tracking_runtime.ros.node.parameters import Change, NodeParameters, parameter

_TRANSPORTS = ("raw", "compressed")
_OVERLOAD_POLICIES = ("skip", "shrink", "light")


@dataclass(frozen=True)
class TrackerNodeParameters(NodeParameters):
    """Parameters of every tracker node."""

    model: str = parameter("", "name of a model, or path of its manifest", is_path=True)
    engine: str = parameter(
        "auto",
        "engine that runs the network; auto: the fastest that works on this machine",
        choices=("auto", *(backend.name for backend in BACKENDS)),
    )
    max_age: float = parameter(
        0.0,
        "[s] highest age of a frame, by its stamp; older frames are refused; 0: no limit",
        minimum=0.0,
        change=Change.ALWAYS,
    )
    max_frame_time: float = parameter(
        0.0,
        "[s] longest time of one frame; then the tracker counts as hanging and is restarted; 0: 20 times the "
        "measured time of a frame, at least 15 s",
        minimum=0.0,
        change=Change.ALWAYS,
    )
    image_transport: str = parameter(
        "raw",
        "transport of the images; raw: topic image; compressed: JPEG or PNG on topic image/compressed",
        choices=_TRANSPORTS,
    )
    overload: str = parameter(
        "skip",
        "policy when frames arrive faster than they can be tracked; skip: drop frames; shrink: also reduce "
        "the search; light: also switch to light_model; ends when there is spare time again",
        choices=_OVERLOAD_POLICIES,
    )
    light_model: str = parameter(
        "", "name or path of the model that overload: light switches to; loaded beside model", is_path=True
    )
    build_only: bool = parameter(
        False,
        "configure the node, which builds and caches its engine, and end the process",
        change=Change.NEVER,
    )
    require_signed_models: bool = parameter(
        False,
        "load only models with a signature of a trusted key, see rstrack models",
        change=Change.NEVER,
    )
