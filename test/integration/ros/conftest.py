"""Fixtures of node tests: a camera that sends frames, and the brightness node as a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tracking_runtime.models.manifest import find_model
from tracking_runtime.ros.processes import NodeProcess
from tracking_runtime.ros.waiting import wait_for

if TYPE_CHECKING:
    from sensor_msgs.msg import Image

    from tracking_runtime.ros.session import RosSession

LOSSLESS = {
    "qos_overrides./image.subscription.reliability": "reliable",
    "qos_overrides./image.subscription.depth": 100,
}


class Camera:
    """Publisher of frames, reliable, with the tracks of one node.

    Attributes:
        tracks: messages of tracks received so far.
        num_published: number of published frames.
    """

    def __init__(self, session: RosSession, node: str, tracks_type: Any) -> None:
        from sensor_msgs.msg import Image

        from tracking_runtime.ros.node import qos

        self._publisher = session.node.create_publisher(Image, "/image", 100)
        self.tracks = session.listen(tracks_type, f"{node}/tracks", qos.make_track_profile())
        self.num_published = 0

    def wait_for_node(self) -> None:
        wait_for(self._publisher.get_subscription_count, 30, "a subscription of image")

    def make_message(
        self, image: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str = "camera"
    ) -> Image:
        from std_msgs.msg import Header

        from tracking_runtime.ros.conversions import image_messages, track_messages

        header = Header(stamp=track_messages.to_time(stamp_ns), frame_id=frame_id)
        return image_messages.make_image_message(image, encoding, header)

    def send(self, message: Image) -> None:
        self._publisher.publish(message)
        self.num_published += 1

    def track(self, message: Image, timeout_s: float = 30) -> Any:
        """Send a frame, wait for its tracks and return them."""
        num_tracks = len(self.tracks)
        self.send(message)

        def find_tracks() -> Any:
            stamp = message.header.stamp
            return next((t for t in self.tracks[num_tracks:] if t.header.stamp == stamp), None)

        return wait_for(find_tracks, timeout_s, f"tracks of the frame at {message.header.stamp}")


@pytest.fixture
def make_camera(ros: RosSession) -> Callable[[str, Any], Camera]:
    return lambda node, tracks_type: Camera(ros, node, tracks_type)


@pytest.fixture(scope="session")
def camera_class() -> type[Camera]:
    """Return the class Camera, for fixtures of a wider scope."""
    return Camera


@pytest.fixture
def brightness(node_process: Callable[..., NodeProcess]) -> Callable[..., NodeProcess]:
    """Return a function that starts the brightness node with parameters."""
    folder = Path(__file__).resolve().parent
    path = os.pathsep.join([str(folder), str(folder.parents[1]), os.environ.get("PYTHONPATH", "")])

    def start(**parameters: Any) -> NodeProcess:
        return node_process(
            "brightness", "brightness", parameters=LOSSLESS | parameters, environment={"PYTHONPATH": path}
        )

    return start


@pytest.fixture(scope="session")
def make_spot() -> Callable[..., NDArray[np.uint8]]:
    """Return a function that makes a black image with one bright pixel."""

    def make(x: int, y: int, *, value: int = 200, size: tuple[int, int] = (24, 32)) -> NDArray[np.uint8]:
        image = np.zeros(size, np.uint8)
        image[y, x] = value
        return image

    return make


@pytest.fixture
def damaged_model(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a model with one wrong bit in its weights."""

    def damage(name: str) -> Path:
        manifest = find_model(name)
        copy = tmp_path / manifest.name
        copy.write_bytes(manifest.read_bytes())
        weights = bytearray(manifest.with_suffix(".safetensors").read_bytes())
        weights[-1] ^= 1
        copy.with_suffix(".safetensors").write_bytes(weights)
        return copy

    return damage
