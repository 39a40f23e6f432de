"""Replay a recording through a tracker: ros2 launch remote_sensing_tracking replay.launch.py bag:=FOLDER."""

from launch import LaunchDescription

from tracking_runtime.ros.launch import arguments, descriptions


def generate_launch_description() -> LaunchDescription:
    """Start player, tracker and recorder, then score. `--show-args` lists the arguments."""
    return descriptions.make_description(arguments.REPLAY, descriptions.make_replay_actions)
