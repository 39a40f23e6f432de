"""Choose a target of a running `hsi_tracker` from a program.

    ros2 launch remote_sensing_tracking hsi_tracker.launch.py      # in one terminal
    python examples/set_target.py /hsi_tracker 130 60 24 18        # in another

The box is x, y, width, height in pixels of the newest frame.
"""

import os
import sys

from tracking_runtime.ros.clients import HsiTrackerClient
from tracking_runtime.ros.session import RosSession

node, *box = sys.argv[1:]
with RosSession("set_target", int(os.environ.get("ROS_DOMAIN_ID", "0"))) as session:
    target_id = HsiTrackerClient(session, node).set_target([float(value) for value in box], label="example")
    print(f"target {target_id}")
