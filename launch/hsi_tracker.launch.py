"""Follow chosen targets in hyperspectral video: ros2 launch remote_sensing_tracking hsi_tracker.launch.py."""

from functools import partial

from launch import LaunchDescription

from tracking_runtime.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """The node hsi_tracker, its recorder and views; ``--show-args`` lists the arguments."""
    start = partial(launching.one_camera, launching.HSI_TRACKER)
    return launching.description(launch_arguments.HSI_TRACKER, start)
