"""Follow all that moves in satellite video: ros2 launch remote_sensing_tracking spax_tracker.launch.py."""

from functools import partial

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, descriptions


def generate_launch_description() -> LaunchDescription:
    """The node spax_tracker, its recorder and views; ``--show-args`` lists the arguments."""
    start = partial(descriptions.one_camera, descriptions.SPAX_TRACKER)
    return descriptions.description(arguments.SPAX_TRACKER, start)
