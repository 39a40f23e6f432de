"""Track chosen targets in hyperspectral video: ros2 launch remote_sensing_tracking hsi_tracker.launch.py."""

from functools import partial

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, camera, descriptions


def generate_launch_description() -> LaunchDescription:
    """Start the node hsi_tracker, its recorder and views. `--show-args` lists the arguments."""
    make_actions = partial(descriptions.make_camera_actions, camera.HSI_TRACKER)
    return descriptions.make_description(arguments.HSI_TRACKER, make_actions)
