"""Following chosen targets through hyperspectral video with HA-Net.

One search crop per target and frame, all targets as one batch. The response and the spectrum of a box tell
together how sure it is. A lost target is looked for in more crops, where the spectrum fits best.
"""

from hsi_tracker_ros.tracker.loading import CameraUnknown, load_rgb_tracker, load_tracker, rgb_settings
from hsi_tracker_ros.tracker.settings import SIAMBAN, TrackerSettings, tuned_settings
from hsi_tracker_ros.tracker.target import TargetState, TargetStatus
from hsi_tracker_ros.tracker.tracker import HsiTracker
from hsi_tracker_ros.tracker.uninitialized import WaitingTracker

__all__ = (
    "SIAMBAN",
    "CameraUnknown",
    "HsiTracker",
    "TargetState",
    "TargetStatus",
    "TrackerSettings",
    "WaitingTracker",
    "load_rgb_tracker",
    "load_tracker",
    "rgb_settings",
    "tuned_settings",
)
