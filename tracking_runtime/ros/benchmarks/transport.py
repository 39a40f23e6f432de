"""The two processes of ``rstrack bench transport``: one publishes images, the other takes the time.

``python -m tracking_runtime.ros.benchmarks.transport publish|subscribe LOAD PATH``, where LOAD is the JSON of
:class:`tracking_runtime.commands.bench_transport.Load` and PATH is where the second writes what it found.
Stamps are of the monotonic clock, which both share.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from pathlib import Path

import numpy as np
import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_msgs.msg import Empty

from tracking_runtime.commands.bench_transport import Load
from tracking_runtime.ros.node.qos import sensor
from tracking_runtime.ros.waiting import wait_for

_QOS = QoSProfile(depth=sensor().depth, reliability=ReliabilityPolicy.RELIABLE)
_KEPT = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_LAST = "last"


def publish(node: Node, load: Load) -> None:
    """Publish every frame of the load at its rate, once both ends match, and wait until the last is taken."""
    publisher = node.create_publisher(Image, "image", _QOS)
    cube = np.random.default_rng(0).integers(0, 4096, (load.height, load.width, load.bands), dtype=np.uint16)
    heard = Future()
    node.create_subscription(Empty, "heard", heard.set_result, _KEPT)
    rclpy.spin_until_future_complete(node, heard)
    wait_for(publisher.get_subscription_count, load.patience_s, "a subscription of image")
    due = time.monotonic()
    for number in range(load.frames):
        message = Image(height=load.height, width=load.width, encoding=f"16UC{load.bands}")
        message.step = cube.strides[0]
        message.header.frame_id = _LAST if number == load.frames - 1 else ""
        time.sleep(max(0.0, due - time.monotonic()))
        due += 1 / load.rate_hz
        start = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(start, 10**9)
        data = array("B")
        data.frombytes(cube.data.cast("B"))
        message.data = data
        publisher.publish(message)
    wait_for(lambda: not publisher.get_subscription_count(), load.patience_s, "the end of the subscription")


def subscribe(node: Node, load: Load) -> list[float]:
    """The age of every frame at its callback, in milliseconds."""
    ages_ms: list[float] = []
    finished = False

    def receive(message: Image) -> None:
        nonlocal finished
        sent = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        ages_ms.append((time.monotonic_ns() - sent) / 1e6)
        finished = message.header.frame_id == _LAST

    heard = node.create_publisher(Empty, "heard", _KEPT)
    matched = SubscriptionEventCallbacks(matched=lambda _: heard.publish(Empty()))
    node.create_subscription(Image, "image", receive, _QOS, event_callbacks=matched)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    deadline = time.monotonic() + load.patience_s
    while not finished and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    return ages_ms


def main() -> None:
    """Be one of the two processes."""
    role, load, path = sys.argv[1], Load(**json.loads(sys.argv[2])), Path(sys.argv[3])
    rclpy.init()
    node = rclpy.create_node(f"transport_benchmark_{role}")
    if role == "publish":
        publish(node, load)
    else:
        path.write_text(json.dumps(subscribe(node, load)))
    rclpy.shutdown()


if __name__ == "__main__":
    main()
