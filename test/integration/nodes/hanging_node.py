"""A node of the package with one more topic, whose callback never returns: `hanging_node.py NODE`."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from std_msgs.msg import Empty

from tracking_runtime.ros.node.run import run_node


def make_hanging_node() -> Any:
    """Return the node that the first argument names."""
    (point,) = entry_points(group="remote_sensing_tracking.nodes", name=sys.argv[1])
    module = import_module(point.module)
    base = getattr(module, "".join(part.capitalize() for part in sys.argv[1].split("_")))

    class HangingNode(base):
        def start(self) -> None:
            super().start()
            self.subscribe(Empty, "hang", lambda _: time.sleep(1000), 10)

    return HangingNode()


if __name__ == "__main__":
    sys.exit(run_node(make_hanging_node))
