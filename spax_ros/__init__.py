"""SPAX, a tracker of every moving object in satellite video: `SpaxTracker` and its ROS 2 node."""

from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from spax_ros.association import AssociationSettings, GaussianTracker, Tracks, TrackState
    from spax_ros.tracker import SpaxTracker, TrackerSettings, TrackingResult, load_tracker

__all__ = [
    "AssociationSettings",
    "GaussianTracker",
    "SpaxTracker",
    "TrackState",
    "TrackerSettings",
    "TrackingResult",
    "Tracks",
    "load_tracker",
]

__getattr__ = make_lazy_exports(
    __name__,
    {
        **dict.fromkeys(
            ["SpaxTracker", "TrackerSettings", "TrackingResult", "load_tracker"], "spax_ros.tracker"
        ),
        **dict.fromkeys(
            ["AssociationSettings", "GaussianTracker", "TrackState", "Tracks"], "spax_ros.association"
        ),
    },
)
