"""Follow chosen targets in hyperspectral video: ros2 launch remote_sensing_tracking hsi_tracker.launch.py."""

from launch import LaunchDescription

from tracking_runtime.ros.launching import tracker_description


def generate_launch_description() -> LaunchDescription:
    """The node hsi_tracker; ``--show-args`` lists its arguments."""
    return tracker_description("hsi_tracker", beside_image=["spectral_info"])
