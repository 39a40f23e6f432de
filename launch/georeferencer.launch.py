"""Positions of tracks on the ground: ros2 launch remote_sensing_tracking georeferencer.launch.py."""

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, descriptions


def generate_launch_description() -> LaunchDescription:
    """Start the georeferencer beside a tracker. `--show-args` lists the arguments."""
    return descriptions.make_description(arguments.GEOREFERENCER, descriptions.make_georeferencer_actions)
