"""Follow chosen targets in hyperspectral video: ros2 launch remote_sensing_tracking hsi_tracker.launch.py."""

from functools import partial

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, descriptions


def generate_launch_description() -> LaunchDescription:
    """The node hsi_tracker, its recorder and views; ``--show-args`` lists the arguments."""
    start = partial(descriptions.one_camera, descriptions.HSI_TRACKER)
    return descriptions.description(arguments.HSI_TRACKER, start)
