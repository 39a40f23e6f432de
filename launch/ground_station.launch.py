"""Both trackers for several cameras: ros2 launch remote_sensing_tracking ground_station.launch.py."""

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, descriptions


def generate_launch_description() -> LaunchDescription:
    """Start a tracker in the namespace of each camera. `--show-args` lists the arguments."""
    return descriptions.make_description(arguments.GROUND_STATION, descriptions.make_ground_station_actions)
