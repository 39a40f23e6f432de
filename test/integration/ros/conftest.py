"""A camera to send frames with, and the brightness node as a process."""

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

RELIABLE = {
    "qos_overrides./image.subscription.reliability": "reliable",
    "qos_overrides./image.subscription.depth": 100,
}


class Camera:
    """Publishes frames reliably and hears the tracks of one node."""

    def __init__(self, session: RosSession, node: str, tracks_type: Any) -> None:
        from sensor_msgs.msg import Image

        from tracking_runtime.ros.node import qos

        self._publisher = session.node.create_publisher(Image, "/image", 100)
        self.tracks = session.listen(tracks_type, f"{node}/tracks", qos.track())
        self.published = 0

    def wait_for_node(self) -> None:
        wait_for(self._publisher.get_subscription_count, 30, "a subscription of image")

    def message(self, image: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str = "camera") -> Image:
        from std_msgs.msg import Header

        from tracking_runtime.ros.conversions import image_messages, track_messages

        return image_messages.from_array(
            image, encoding, Header(stamp=track_messages.to_time(stamp_ns), frame_id=frame_id)
        )

    def send(self, message: Image) -> None:
        self._publisher.publish(message)
        self.published += 1

    def answer(self, message: Image, timeout_s: float = 30) -> Any:
        """The tracks of a frame, sent now."""
        before = len(self.tracks)
        self.send(message)

        def find() -> Any:
            return next((t for t in self.tracks[before:] if t.header.stamp == message.header.stamp), None)

        return wait_for(find, timeout_s, f"tracks of the frame at {message.header.stamp}")


@pytest.fixture
def make_camera(ros: RosSession) -> Callable[[str, Any], Camera]:
    return lambda node, tracks_type: Camera(ros, node, tracks_type)


@pytest.fixture
def brightness(node_process: Callable[..., NodeProcess]) -> Callable[..., NodeProcess]:
    """Start the brightness node with some parameters."""
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")])

    def start(**parameters: Any) -> NodeProcess:
        return node_process(
            "brightness", "brightness", parameters=RELIABLE | parameters, environment={"PYTHONPATH": path}
        )

    return start


def spot(x: int, y: int, *, value: int = 200, size: tuple[int, int] = (24, 32)) -> NDArray[np.uint8]:
    image = np.zeros(size, np.uint8)
    image[y, x] = value
    return image


@pytest.fixture(name="spot")
def spot_fixture() -> Callable[..., NDArray[np.uint8]]:
    """An image that is black but for one pixel."""
    return spot


@pytest.fixture(scope="session")
def camera_class() -> type[Camera]:
    """The class Camera, for fixtures of a wider scope."""
    return Camera


@pytest.fixture
def damaged_model(tmp_path: Path) -> Callable[[str], Path]:
    """The manifest of a copy of a model of which one bit of the weights is wrong."""

    def damage(name: str) -> Path:
        manifest = find_model(name)
        copy = tmp_path / manifest.name
        copy.write_bytes(manifest.read_bytes())
        weights = bytearray(manifest.with_suffix(".safetensors").read_bytes())
        weights[-1] ^= 1
        copy.with_suffix(".safetensors").write_bytes(weights)
        return copy

    return damage
