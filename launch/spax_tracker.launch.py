"""Track moving objects in satellite video: ros2 launch remote_sensing_tracking spax_tracker.launch.py."""

from functools import partial

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, camera, descriptions


def generate_launch_description() -> LaunchDescription:
    """Start the node spax_tracker, its recorder and views. `--show-args` lists the arguments."""
    make_actions = partial(descriptions.make_camera_actions, camera.SPAX_TRACKER)
    return descriptions.make_description(arguments.SPAX_TRACKER, make_actions)
