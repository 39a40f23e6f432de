"""Profiles: settings of the tracker for kinds of cameras."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from spax_ros.motion.mask import MotionSettings
from spax_ros.tracker import TrackerSettings

Profile = Literal["satellite", "drone", "fixed"]
"""Name of a profile. ``satellite``: a drifting, jittering camera. ``drone``: a camera that turns, zooms and
moves. ``fixed``: a camera that stands still."""
PROFILES: tuple[Profile, ...] = get_args(Profile)

_MOTION_SETTINGS: dict[str, MotionSettings] = {
    "satellite": MotionSettings(),
    "drone": MotionSettings(registration="homography"),
    "fixed": MotionSettings(registration="none"),
}


def make_profile_settings(profile: str) -> TrackerSettings:
    """Return the settings of the tracker for a profile.

    Raises:
        ValueError: the profile is unknown.
    """
    if profile not in _MOTION_SETTINGS:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}: got {profile!r}")
    return replace(TrackerSettings(), motion=_MOTION_SETTINGS[profile])
