"""A recording through a tracker: ros2 launch remote_sensing_tracking replay.launch.py bag:=FOLDER."""

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, descriptions


def generate_launch_description() -> LaunchDescription:
    """Player, tracker and recorder, then the score; ``--show-args`` lists the arguments."""
    return descriptions.description(arguments.REPLAY, descriptions.replay)
