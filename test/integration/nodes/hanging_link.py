"""Link whose publications on board never return, as those of a middleware that hangs."""

from __future__ import annotations

import sys
import time
from typing import Any

from tracking_runtime.nodes.link import Link
from tracking_runtime.ros.node.run import run_node


class HangingPublisher:
    def publish(self, _: bytes) -> None:
        time.sleep(1000)


class HangingLink(Link):
    def advertise(self, message_type: Any, topic: str, profile: Any) -> Any:
        super().advertise(message_type, topic, profile)
        return HangingPublisher()


if __name__ == "__main__":
    sys.exit(run_node(HangingLink))
