"""ROS packages that are optional at run time."""

from __future__ import annotations

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

OPTIONAL_PACKAGES = {
    "launch_ros": "launch files",
    "cv_bridge": "images with rare encodings",
    "vision_msgs": "detections from and for other programs",
    "tf2_msgs": "georeferencer with poses from /tf",
    "foxglove_msgs": "georeferencer/geojson for Foxglove",
    "rosbag2_storage_mcap": "ros2 bag record and snapshots",
    "rviz2": "visualize:=rviz",
    "foxglove_bridge": "visualize:=foxglove",
}
"""Purpose of each optional package, by its name."""


def is_installed(package: str) -> bool:
    """Return whether a ROS package is installed."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def format_install_command(package: str) -> str:
    """Return the command that installs a ROS package."""
    return f"sudo apt install ros-jazzy-{package.replace('_', '-')}"
