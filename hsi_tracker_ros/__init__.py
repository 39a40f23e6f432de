"""HA-Net, a tracker of chosen targets in hyperspectral video: `HsiTracker` and its ROS 2 node."""

from typing import TYPE_CHECKING

from tracking_runtime.lazy_exports import make_lazy_exports

if TYPE_CHECKING:
    from hsi_tracker_ros.tracker.loading import load_rgb_tracker, load_tracker
    from hsi_tracker_ros.tracker.settings import TrackerSettings
    from hsi_tracker_ros.tracker.target import TargetState, TargetStatus
    from hsi_tracker_ros.tracker.tracker import HsiTracker

__all__ = [
    "HsiTracker",
    "TargetState",
    "TargetStatus",
    "TrackerSettings",
    "load_rgb_tracker",
    "load_tracker",
]

__getattr__ = make_lazy_exports(__name__, dict.fromkeys(__all__, "hsi_tracker_ros.tracker"))
