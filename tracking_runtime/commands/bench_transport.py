"""Command `rstrack bench transport`: latency of large images between two processes."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--frames", default=200, show_default=True, help="Number of images to send.")
@click.option("--rate", default=10.0, show_default=True, help="Images per second.")
@click.option(
    "--size",
    nargs=3,
    type=int,
    default=(256, 512, 16),
    show_default=True,
    help="Rows, columns and bands of an image.",
)
@click.option(
    "--shared-memory/--no-shared-memory",
    default=True,
    show_default=True,
    help="Use the transport profile of this package, or the default of the middleware.",
)
def transport(frames: int, rate: float, size: tuple[int, int, int], shared_memory: bool) -> None:
    """Measure the latency of 16-bit images between two processes. Print JSON."""
    from tracking_runtime.ros.benchmarks.transport import ImageLoad, measure_transport
    from tracking_runtime.ros.processes import reserve_domain
    from tracking_runtime.ros.shared_memory import make_shared_memory_environment

    settings = make_shared_memory_environment() if shared_memory else {}
    with reserve_domain() as domain_id:
        latency = measure_transport(ImageLoad(frames, rate, *size), settings, domain_id)
    click.echo(json.dumps(asdict(latency), indent=2))
