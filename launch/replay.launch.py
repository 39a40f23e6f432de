"""A recording through a tracker: ros2 launch remote_sensing_tracking replay.launch.py bag:=FOLDER."""

from launch import LaunchDescription

from tracking_runtime.ros import launch_arguments, launching


def generate_launch_description() -> LaunchDescription:
    """Player, tracker and recorder, then the score; ``--show-args`` lists the arguments."""
    return launching.description(launch_arguments.REPLAY, launching.replay)
