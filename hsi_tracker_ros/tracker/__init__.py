"""Tracker of targets in hyperspectral video with HA-Net.

Each frame has one search region per target, and all targets form one batch. The response of the network and
the spectrum of a box together give the score. A lost target is searched in more regions, where the spectra of
the frame match best.
"""

from hsi_tracker_ros.tracker.loading import (
    CameraNotSpecifiedError,
    load_rgb_tracker,
    load_tracker,
    make_rgb_settings,
)
from hsi_tracker_ros.tracker.settings import SIAMBAN, TrackerSettings, make_tracker_settings
from hsi_tracker_ros.tracker.target import TargetState, TargetStatus
from hsi_tracker_ros.tracker.tracker import HsiTracker
from hsi_tracker_ros.tracker.uninitialized import UninitializedTracker

__all__ = (
    "SIAMBAN",
    "CameraNotSpecifiedError",
    "HsiTracker",
    "TargetState",
    "TargetStatus",
    "TrackerSettings",
    "UninitializedTracker",
    "load_rgb_tracker",
    "load_tracker",
    "make_rgb_settings",
    "make_tracker_settings",
)
