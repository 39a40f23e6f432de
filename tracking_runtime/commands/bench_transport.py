"""``rstrack bench transport``: large images from process to process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from tracking_runtime.ros.processes import free_domain
from tracking_runtime.ros.shared_memory import shared_memory_environment, without_settings


class BenchmarkFailed(RuntimeError):
    """A benchmark gave no figures. The message has what its processes said."""


@dataclass(frozen=True)
class Load:
    """Images of 16 bits sent from one process to another.

    Attributes:
        frames: how many.
        rate_hz: how often.
        height: of an image, in pixels.
        width: of an image, in pixels.
        bands: of an image; 512 x 256 pixels of 16 bands are 4.2 MB.
    """

    frames: int = 200
    rate_hz: float = 10.0
    height: int = 256
    width: int = 512
    bands: int = 16

    @property
    def patience_s(self) -> float:
        """How long the whole may take."""
        return self.frames / self.rate_hz + 30.0


@dataclass(frozen=True)
class Latency:
    """Age of the images at the receiver's callback, from just before the message was filled.

    Attributes:
        megabytes: size of an image.
        published: how many images were sent.
        received: how many arrived.
        p50_ms: half of them were younger.
        p95_ms: of every hundred, 95 were younger.
        max_ms: the oldest.
    """

    megabytes: float
    published: int
    received: int
    p50_ms: float
    p95_ms: float
    max_ms: float


def measure_transport(load: Load, settings: dict[str, str], domain_id: int) -> Latency:
    """Send a load between two processes over DDS, on the loopback interface.

    Args:
        load: what to send.
        settings: added to the environment of both processes, as by :mod:`tracking_runtime.ros.shared_memory`.
        domain_id: ROS domain, of its own.

    Raises:
        BenchmarkFailed: nothing arrived; the message has what the processes said.
    """
    environment = without_settings(dict(os.environ)) | settings
    environment |= {"ROS_DOMAIN_ID": str(domain_id), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}

    ages_ms, said = _run(load, environment)
    if not ages_ms:
        raise BenchmarkFailed(f"no image of {load} arrived: {said.strip() or 'the processes said nothing'}")
    p50, p95 = np.percentile(ages_ms, [50, 95])
    megabytes = load.height * load.width * load.bands * 2 / 1e6
    return Latency(megabytes, load.frames, len(ages_ms), float(p50), float(p95), max(ages_ms))


def _run(load: Load, environment: dict[str, str]) -> tuple[list[float], str]:
    """The ages of the images in milliseconds, and what the receiver and its middleware said."""
    with TemporaryDirectory() as folder:
        ages = Path(folder) / "ages.json"

        def start(role: str) -> subprocess.Popen[str]:
            module = "tracking_runtime.ros.benchmarks.transport"
            command = [sys.executable, "-m", module, role, json.dumps(asdict(load)), str(ages)]
            return subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )

        with start("subscribe") as receiver, start("publish") as sender:
            try:
                said, _ = receiver.communicate(timeout=load.patience_s + 10)
            finally:
                receiver.kill()
                sender.kill()
        return json.loads(ages.read_text()) if ages.exists() else [], said


@click.command()
@click.option("--frames", default=200, show_default=True, help="Images to send.")
@click.option("--rate", default=10.0, show_default=True, help="Images per second.")
@click.option(
    "--size", nargs=3, type=int, default=(256, 512, 16), show_default=True, help="Rows, columns, bands."
)
@click.option(
    "--shared-memory/--no-shared-memory", default=True, show_default=True, help="As the demo runs, or bare."
)
def transport(frames: int, rate: float, size: tuple[int, int, int], shared_memory: bool) -> None:
    """Time images of 16 bits from one process to another; prints JSON."""
    settings = shared_memory_environment() if shared_memory else {}
    try:
        with free_domain() as domain_id:
            latency = measure_transport(Load(frames, rate, *size), settings, domain_id)
    except BenchmarkFailed as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(asdict(latency), indent=2))
