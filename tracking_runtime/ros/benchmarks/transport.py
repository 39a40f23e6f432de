"""Transport benchmark: one process publishes images, another measures their age.

Both processes run `python -m tracking_runtime.ros.benchmarks.transport ROLE LOAD PATH`. ROLE is publish or
subscribe. LOAD is an ImageLoad as JSON. The subscriber writes the ages to PATH. Stamps use the monotonic
clock, which both processes share.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_msgs.msg import Empty

from tracking_runtime.errors import TrackingError
from tracking_runtime.ros.node.qos import make_sensor_profile
from tracking_runtime.ros.shared_memory import remove_shared_memory_settings
from tracking_runtime.ros.waiting import wait_for

_IMAGE_PROFILE = QoSProfile(depth=make_sensor_profile().depth, reliability=ReliabilityPolicy.RELIABLE)
_READY_PROFILE = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
_LAST_FRAME_ID = "last"  # marks the last image
_START_S = 30.0  # longest time until both processes have found each other
_EXIT_S = 10.0  # longest time from the last image to the end of the subscriber


class BenchmarkError(TrackingError, RuntimeError):
    """A benchmark without results. The message has the output of its processes."""


@dataclass(frozen=True)
class ImageLoad:
    """Images of 16 bits that one process sends to another.

    Attributes:
        num_frames: number of images.
        rate_hz: images per second.
        height: height of an image in pixels.
        width: width of an image in pixels.
        num_bands: number of bands; 512 x 256 pixels of 16 bands are 4.2 MB.
    """

    num_frames: int = 200
    rate_hz: float = 10.0
    height: int = 256
    width: int = 512
    num_bands: int = 16

    @property
    def timeout_s(self) -> float:
        """Longest time of the whole transfer in seconds."""
        return self.num_frames / self.rate_hz + _START_S


@dataclass(frozen=True)
class TransportLatency:
    """Age of images in the subscriber's callback, since just before the message was filled.

    Attributes:
        megabytes: size of an image.
        published: number of images sent.
        received: number of images that arrived.
        p50_ms: median age in milliseconds.
        p95_ms: 95th percentile of the age in milliseconds.
        max_ms: highest age in milliseconds.
    """

    megabytes: float
    published: int
    received: int
    p50_ms: float
    p95_ms: float
    max_ms: float


def measure_transport(load: ImageLoad, settings: Mapping[str, str], domain_id: int) -> TransportLatency:
    """Send images between two processes over DDS on the loopback interface, and measure their age.

    Args:
        load: images to send.
        settings: environment variables for both processes, for example of `make_shared_memory_environment`.
        domain_id: ROS domain without other participants.

    Raises:
        BenchmarkError: no image arrived; the message has the output of the subscriber.
    """
    environment = remove_shared_memory_settings(dict(os.environ)) | dict(settings)
    environment |= {"ROS_DOMAIN_ID": str(domain_id), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    ages_ms, output = _run_processes(load, environment)
    if not ages_ms:
        raise BenchmarkError(
            f"no image of {load} arrived: {output.strip() or 'the processes wrote no output'}"
        )
    p50_ms, p95_ms = np.percentile(ages_ms, [50, 95])
    megabytes = load.height * load.width * load.num_bands * 2 / 1e6
    return TransportLatency(
        megabytes, load.num_frames, len(ages_ms), float(p50_ms), float(p95_ms), max(ages_ms)
    )


def _run_processes(load: ImageLoad, environment: dict[str, str]) -> tuple[list[float], str]:
    """Run both processes, and return the ages in milliseconds and the output of the subscriber."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ages.json"

        def start(role: str) -> subprocess.Popen[str]:
            module = "tracking_runtime.ros.benchmarks.transport"
            command = [sys.executable, "-m", module, role, json.dumps(asdict(load)), str(path)]
            return subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )

        with start("subscribe") as subscriber, start("publish") as publisher:
            try:
                output, _ = subscriber.communicate(timeout=load.timeout_s + _EXIT_S)
            finally:
                subscriber.kill()
                publisher.kill()
        return json.loads(path.read_text()) if path.exists() else [], output


def publish(node: Node, load: ImageLoad) -> None:
    """Publish all images at their rate as soon as both processes match, and wait for the subscriber's end."""
    publisher = node.create_publisher(Image, "image", _IMAGE_PROFILE)
    cube = np.random.default_rng(0).integers(
        0, 4096, (load.height, load.width, load.num_bands), dtype=np.uint16
    )
    is_ready = Future()
    node.create_subscription(Empty, "heard", is_ready.set_result, _READY_PROFILE)
    rclpy.spin_until_future_complete(node, is_ready)
    wait_for(publisher.get_subscription_count, load.timeout_s, "a subscription of image")
    due_s = time.monotonic()
    for number in range(load.num_frames):
        message = Image(height=load.height, width=load.width, encoding=f"16UC{load.num_bands}")
        message.step = cube.strides[0]
        message.header.frame_id = _LAST_FRAME_ID if number == load.num_frames - 1 else ""
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s += 1 / load.rate_hz
        begin_ns = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(begin_ns, 10**9)
        data = array("B")
        data.frombytes(cube.data.cast("B"))
        message.data = data
        publisher.publish(message)
    wait_for(lambda: not publisher.get_subscription_count(), load.timeout_s, "the end of the subscription")


def subscribe(node: Node, load: ImageLoad) -> list[float]:
    """Receive images until the last one or the timeout, and return the age of each in milliseconds."""
    ages_ms: list[float] = []
    is_finished = False

    def receive(message: Image) -> None:
        nonlocal is_finished
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        ages_ms.append((time.monotonic_ns() - stamp_ns) / 1e6)
        is_finished = message.header.frame_id == _LAST_FRAME_ID

    ready_publisher = node.create_publisher(Empty, "heard", _READY_PROFILE)
    callbacks = SubscriptionEventCallbacks(matched=lambda _: ready_publisher.publish(Empty()))
    node.create_subscription(Image, "image", receive, _IMAGE_PROFILE, event_callbacks=callbacks)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    deadline_s = time.monotonic() + load.timeout_s
    while not is_finished and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.1)
    return ages_ms


def main() -> None:
    """Run one of the two processes."""
    role = sys.argv[1]
    load = ImageLoad(**json.loads(sys.argv[2]))
    path = Path(sys.argv[3])
    rclpy.init()
    node = rclpy.create_node(f"transport_benchmark_{role}")
    if role == "publish":
        publish(node, load)
    else:
        path.write_text(json.dumps(subscribe(node, load)))
    rclpy.shutdown()


if __name__ == "__main__":
    main()
