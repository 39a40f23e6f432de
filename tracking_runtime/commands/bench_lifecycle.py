"""``rstrack bench lifecycle``: many lives of one node, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track

from tracking_runtime.commands.parameters import NODES
from tracking_runtime.errors import SourceError
from tracking_runtime.io.sources import open_source
from tracking_runtime.messages.conversion import serialize_image
from tracking_runtime.ros.processes import NodeProcess, free_domain, local_environment, set_environment

if TYPE_CHECKING:
    from tracking_runtime.ros.benchmarks.lifecycle_leaks import Growth, Held

_SETTLING_SHARE = 0.2
_ALLOWED_MB_PER_LIFE = 0.1


@click.command()
@click.argument("node")
@click.option("--times", default=200, show_default=True, type=click.IntRange(5), help="Lives.")
@click.option(
    "--source", help="Address of frames, as the player takes it, of which some are shown in each life."
)
@click.option("--frames", default=3, show_default=True, type=click.IntRange(1), help="Frames of it a life.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="A parameter of the node.")
@click.option(
    "--output",
    default="lifecycle",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to write.",
)
def lifecycle(
    node: str, times: int, source: str | None, frames: int, assignments: Sequence[str], output: Path
) -> None:
    """Configure, activate, deactivate and clean up NODE many times; fails if it leaks.

    Threads and open files must be as many after the last life as they were when a fifth of them was over, and
    memory, the GPU's too, may grow by less than 0.1 MB a life. Writes lifecycle.json and lifecycle.png.
    """
    points = {point.name: point for point in entry_points(group=NODES)}
    if node not in points:
        raise click.ClickException(f"no node {node}; there are {', '.join(sorted(points))}")
    try:
        images = [serialize_image(frame) for frame in islice(open_source(source), frames)] if source else []
    except SourceError as error:
        raise click.ClickException(str(error)) from error
    output.mkdir(parents=True, exist_ok=True)
    with told_why():
        lives = _run(points[node], times, images, parsed_assignments(assignments), output)

    from tracking_runtime.ros.benchmarks.lifecycle_leaks import Growth

    growth = Growth.over(lives, round(_SETTLING_SHARE * times))
    (output / "lifecycle.json").write_text(
        json.dumps(
            {"node": node, "growth": asdict(growth), "lives": [asdict(held) for held in lives]}, indent=1
        )
    )
    _plot(node, lives).savefig(output / "lifecycle.png", dpi=150)
    Console().print(
        f"{node}: {times} lives, then {growth.threads:+d} threads, {growth.files:+d} open files, "
        f"{growth.memory_mb_per_life:+.3f} MB a life; {lives[-1].memory_mb:.0f} MB at the end; "
        f"{_on_gpu(growth)}; see {output}"
    )
    if _leaks(growth):
        raise click.ClickException(f"{node} leaks")


def _run(
    point: EntryPoint, times: int, images: Sequence[bytes], parameters: dict[str, object], output: Path
) -> list[Held]:
    from tracking_runtime.ros.benchmarks.lifecycle_leaks import live_often, parameters_for_images
    from tracking_runtime.ros.session import RosSession

    with ExitStack() as stack:
        domain = stack.enter_context(free_domain())
        stack.enter_context(set_environment(local_environment(domain)))
        given = {**parameters_for_images(), **parameters}
        process = NodeProcess(point.module, point.name, output, given)
        stack.enter_context(process)
        session = stack.enter_context(RosSession("lifecycle", domain))
        return list(track(live_often(session, process, times, images), point.name, total=times))


def parsed_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """Parameters given as NAME=VALUE, with values as in YAML."""
    pairs = [assignment.partition("=") for assignment in assignments]
    if wrong := [name for name, separator, _ in pairs if not separator]:
        raise click.ClickException(f"--set {wrong[0]}: a parameter is given as NAME=VALUE")
    return {name: yaml.safe_load(value) for name, _, value in pairs}


@contextmanager
def told_why() -> Iterator[None]:
    """What a node refuses, or does not do in time, as the message of the command that fails."""
    from tracking_runtime.ros.clients import RequestRefused
    from tracking_runtime.ros.session import ServiceError

    try:
        yield
    except (RequestRefused, ServiceError, TimeoutError) as error:
        raise click.ClickException(str(error)) from error


def _on_gpu(growth: Growth) -> str:
    if growth.gpu_memory_mb_per_life is None:
        return "no GPU"
    return f"{growth.gpu_memory_mb_per_life:+.3f} MB a life on the GPU"


def _leaks(growth: Growth) -> bool:
    memory = max(growth.memory_mb_per_life, growth.gpu_memory_mb_per_life or 0.0)
    return growth.threads > 0 or growth.files > 0 or memory >= _ALLOWED_MB_PER_LIFE


def _plot(node: str, lives: Sequence[Held]) -> Figure:
    figure = Figure(figsize=(7, 6), layout="constrained")
    for axes, name, label in zip(
        figure.subplots(3, sharex=True),
        ("memory_mb", "threads", "files"),
        ("resident memory [MB]", "threads", "open files"),
        strict=True,
    ):
        axes.plot(range(1, len(lives) + 1), [getattr(held, name) for held in lives])
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    axes.set_xlabel("life")
    figure.suptitle(f"{node}: what its process holds after each life")
    return figure
