"""Command `rstrack bench cameras`: highest rate of several cameras on one machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.bench_soak import DEFAULT_SOURCES, make_plan
from tracking_runtime.commands.nodes import parse_assignments, set_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tracking_runtime.ros.benchmarks.camera_capacity import Capacity, LoadPoint

_MAX_DROP_PERCENT = 1.0


@click.command()
@click.argument("node")
@click.option("--source", help="Frames, as for the player. Default: a simulated scene.")
@click.option("--cameras", default="1,2,4", show_default=True, help="Numbers of cameras.")
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(1.0), help="Time at each rate."
)
@click.option(
    "--kept", default=60, show_default=True, type=click.IntRange(3), help="Number of different frames."
)
@set_option
@click.option(
    "--output",
    default="cameras",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the results.",
)
def cameras(
    node: str,
    source: str | None,
    cameras: str,
    seconds: float,
    kept: int,
    assignments: Sequence[str],
    output: Path,
) -> None:
    """Measure the highest rate of 1, 2 and 4 cameras, each with a tracker NODE, on this machine.

    The highest rate has less than 1 % of frames without tracks. Rates up to three times as high show how the
    machine degrades. Writes cameras.json, cameras.png and cameras.html.
    """
    from tracking_runtime.ros.benchmarks.camera_capacity import measure_capacity

    numbers = _parse_numbers(cameras)
    if source is None and node not in DEFAULT_SOURCES:
        raise click.UsageError(f"--source is needed for {node}")
    plan = make_plan(node, source or DEFAULT_SOURCES[node], kept, parse_assignments(assignments))
    output.mkdir(parents=True, exist_ok=True)
    capacities = []
    for number in numbers:
        click.echo(f"{number} cameras")
        capacities.append(
            measure_capacity(
                plan.module,
                plan.name,
                output,
                plan.parameters,
                plan.images,
                number,
                seconds,
                _MAX_DROP_PERCENT / 100,
                lambda point: click.echo(f"  {_describe(point)}"),
            )
        )
        click.echo(f"{number} cameras: highest rate {capacities[-1].highest_hz:.3g} Hz each")
        _write(output, node, capacities)
    click.echo(f"see {output / 'cameras.html'}")


def _parse_numbers(text: str) -> list[int]:
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise click.UsageError(f"--cameras must be numbers from 1, separated by commas: got {text}")
    return numbers


def _describe(point: LoadPoint) -> str:
    return (
        f"{point.rate_hz:6.2f} Hz each: {point.processed_hz:6.2f} Hz tracked, {point.drop_fraction:6.1%} "
        f"dropped, p50 {point.p50_ms:.0f} ms, p95 {point.p95_ms:.0f} ms"
    )


def _write(output: Path, node: str, capacities: Sequence[Capacity]) -> None:
    from tracking_runtime.reports.html import render_page
    from tracking_runtime.system_info import describe_machine, format_now

    data = {"node": node, "capacities": [asdict(capacity) for capacity in capacities]}
    (output / "cameras.json").write_text(json.dumps(data, indent=1))
    _draw_plot(node, capacities).savefig(output / "cameras.png", dpi=110)
    machine = describe_machine()
    highest = [f"{each.num_cameras} cameras: {each.highest_hz:.3g} Hz each" for each in capacities]
    page = render_page(
        "measurement.html.j2",
        output,
        title=f"Cameras of {node} on one machine",
        facts=[
            f"Highest rate with less than {_MAX_DROP_PERCENT:g} % of frames dropped: {'; '.join(highest)}",
            f"{format_now()}, {machine.system}, {machine.processor}, {machine.cores} cores",
        ],
        problems=[],
        headings=["cameras", "rate [Hz]", "tracked [Hz]", "dropped", "p50 [ms]", "p95 [ms]"],
        rows=[_make_row(each.num_cameras, point) for each in capacities for point in each.points],
        plot="cameras.png",
    )
    (output / "cameras.html").write_text(page)


def _make_row(num_cameras: int, point: LoadPoint) -> list[str]:
    figures = [f"{point.rate_hz:.2f}", f"{point.processed_hz:.2f}", f"{point.drop_fraction:.1%}"]
    return [str(num_cameras), *figures, f"{point.p50_ms:.0f}", f"{point.p95_ms:.0f}"]


def _draw_plot(node: str, capacities: Sequence[Capacity]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 8), layout="constrained")
    subplots = figure.subplots(3, sharex=True)
    rows = (
        ("processed_hz", 1, "tracked [Hz]"),
        ("drop_fraction", 100, "dropped [%]"),
        ("p95_ms", 1, "p95 [ms]"),
    )
    for axes, (name, factor, label) in zip(subplots, rows, strict=True):
        for capacity in capacities:
            rates = [point.rate_hz for point in capacity.points]
            values = [factor * getattr(point, name) for point in capacity.points]
            axes.plot(rates, values, "o-", markersize=3, label=f"{capacity.num_cameras} cameras")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    subplots[0].legend()
    subplots[-1].set_xlabel("rate of each camera [Hz]")
    figure.suptitle(f"{node}: cameras on one machine")
    return figure
