"""Follow all that moves in satellite video: ros2 launch remote_sensing_tracking spax_tracker.launch.py."""

from launch import LaunchDescription

from tracking_runtime.ros.launching import tracker_description


def generate_launch_description() -> LaunchDescription:
    """The node spax_tracker; ``--show-args`` lists its arguments."""
    return tracker_description("spax_tracker")
