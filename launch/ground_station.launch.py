"""Both trackers, for several cameras: ros2 launch remote_sensing_tracking ground_station.launch.py."""

from launch import LaunchDescription

from tracking_runtime.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """A tracker in the namespace of each camera; ``--show-args`` lists the arguments."""
    return launching.description(launch_arguments.GROUND_STATION, launching.ground_station)
