"""ROS packages that the nodes do without where they are not installed."""

from __future__ import annotations

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

OPTIONAL = {
    "launch_ros": "launch files",
    "cv_bridge": "images with Bayer patterns, YUV or alpha",
    "vision_msgs": "detections from and for other programs",
    "rosbag2_storage_mcap": "ros2 bag record and snapshots",
    "rviz2": "visualize:=rviz",
    "foxglove_bridge": "visualize:=foxglove",
}
"""What each is for."""


def is_installed(package: str) -> bool:
    """Whether a ROS package is there."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def how_to_install(package: str) -> str:
    """The command that installs it."""
    return f"sudo apt install ros-jazzy-{package.replace('_', '-')}"
