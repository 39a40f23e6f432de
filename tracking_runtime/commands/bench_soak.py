"""Command `rstrack bench soak`: trackers at a rate for hours, with bounds for leaks and drift."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracking_runtime.commands.nodes import find_node, parse_assignments, set_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tracking_runtime.ros.benchmarks.soak import SoakPlan, SoakResult
    from tracking_runtime.ros.benchmarks.soak_bounds import SoakBounds

DEFAULT_SOURCES = {
    "hsi_tracker": "scene:hyperspectral?seed=1&frames=60",
    "spax_tracker": "scene:satellite?seed=3&frames=60",
}
"""Frames of each tracker if no source is given."""
_START_BOX = "start_box"  # parameter of a node that takes targets
_NUM_SAMPLES = 200  # usual number of samples of a run
_MIN_PERIOD_S = 2.0
_MAX_PERIOD_S = 60.0
_PAGE_PERIOD_S = 60.0  # time between two pages: drawing takes as long as some frames


@click.command()
@click.option(
    "--minutes", default=60.0, show_default=True, type=click.FloatRange(0.05), help="Time of the run."
)
@click.option(
    "--warm-up",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.0),
    help="[min] First time, not counted.",
)
@click.option(
    "--rate", default=5.0, show_default=True, type=click.FloatRange(0.1), help="[Hz] Frames per second."
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NODE=ADDRESS",
    help="Frames of a tracker, as for the player. Default: a simulated scene for each tracker.",
)
@click.option(
    "--kept", default=60, show_default=True, type=click.IntRange(3), help="Number of different frames."
)
@click.option(
    "--max-memory-growth", default=0.01, show_default=True, help="Growth of the memory that fails the run."
)
@click.option(
    "--max-p99-growth", default=0.1, show_default=True, help="Growth of the latency that fails the run."
)
@set_option
@click.option(
    "--output",
    default="soak",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the results.",
)
def soak(
    minutes: float,
    warm_up: float,
    rate: float,
    sources: Sequence[str],
    kept: int,
    max_memory_growth: float,
    max_p99_growth: float,
    assignments: Sequence[str],
    output: Path,
) -> None:
    """Run both trackers at a steady rate for a long time. Fail if they leak or slow down.

    Samples memory, threads, open files, latency and drops. The first fifth of the samples after the warm-up
    is compared with the last: memory may grow by less than 1 %, the 99th percentile of the latency by less
    than 10 %, threads by 1, files by 2. Every frame must be counted once. Ctrl-C ends the run earlier. Writes
    soak.json after each sample, and soak.png and soak.html every minute.
    """
    from tracking_runtime.ros.benchmarks.soak import run_soak
    from tracking_runtime.ros.benchmarks.soak_bounds import SoakBounds

    if warm_up >= minutes:
        raise click.UsageError(f"--warm-up must be shorter than --minutes {minutes:g}: got {warm_up:g}")
    output.mkdir(parents=True, exist_ok=True)
    plans = [
        make_plan(name, source, kept, parse_assignments(assignments))
        for name, source in (_parse_sources(sources) or DEFAULT_SOURCES).items()
    ]
    bounds = SoakBounds(memory=max_memory_growth, p99=max_p99_growth)
    period_s = min(max(60 * (minutes - warm_up) / _NUM_SAMPLES, _MIN_PERIOD_S), _MAX_PERIOD_S)

    page_due_s = _PAGE_PERIOD_S

    def report(elapsed_s: float, results: Mapping[str, SoakResult]) -> None:
        nonlocal page_due_s
        _write(output, list(results.values()), rate, warm_up, bounds, has_page=elapsed_s >= page_due_s)
        if elapsed_s >= page_due_s:
            page_due_s = elapsed_s + _PAGE_PERIOD_S
        newest = [f"{name}: {_describe_newest(result)}" for name, result in results.items()]
        click.echo(f"{elapsed_s / 60:7.1f} min  {'  '.join(newest)}")

    results = run_soak(plans, output, rate, 60 * minutes, period_s, report)
    problems = _write(output, results, rate, warm_up, bounds, is_ended=True)
    click.echo(f"see {output / 'soak.html'}")
    if problems:
        raise click.ClickException("; ".join(problems))


def _parse_sources(sources: Sequence[str]) -> dict[str, str]:
    """Return the address of each node."""
    parsed = {}
    for source in sources:
        node, separator, address = source.partition("=")
        if not separator or not address:
            raise click.ClickException(f"--source must be NODE=ADDRESS: got {source}")
        parsed[node] = address
    return parsed


def make_plan(name: str, source: str, kept: int, parameters: dict[str, object]) -> SoakPlan:
    """Load the frames of a tracker. A node that takes targets gets the first target of the ground truth."""
    from dataclasses import fields

    from tracking_runtime.io.sources import open_source
    from tracking_runtime.messages.conversion import serialize_image
    from tracking_runtime.ros.benchmarks.soak import SoakPlan

    point = find_node(name)
    frames = list(islice(open_source(source), kept))
    truth = frames[0].truth
    if (
        _START_BOX in (field.name for field in fields(point.load()))
        and truth is not None
        and len(truth.boxes)
    ):
        parameters = {_START_BOX: truth.boxes[0].tolist(), **parameters}
    return SoakPlan(point.module, point.name, parameters, [serialize_image(frame) for frame in frames])


def _describe_newest(result: SoakResult) -> str:
    if not result.samples:
        return "no sample"
    sample = result.samples[-1]
    return (
        f"{sample.memory_mb:.0f} MB, p50 {sample.p50_ms:.0f} p99 {sample.p99_ms:.0f} ms, "
        f"{sample.dropped} of {sample.published} dropped"
    )


def _find_problems(result: SoakResult, warm_up_s: float, bounds: SoakBounds, *, is_ended: bool) -> list[str]:
    """Return what is wrong with a run, for people."""
    from tracking_runtime.ros.benchmarks.soak_bounds import SoakGrowth

    problems = []
    if result.exit_status is not None:
        problems.append(f"the process ended with status {result.exit_status}")
    try:
        problems += SoakGrowth.compute(result.samples, warm_up_s).find_excess(bounds)
    except ValueError as error:
        problems += [str(error)] if is_ended else []
    if is_ended and result.exit_status is None and not result.is_complete:
        problems.append(f"{result.published} frames published, but counted {dict(result.counts)}")
    return [f"{result.node}: {problem}" for problem in problems]


def _write(
    output: Path,
    results: Sequence[SoakResult],
    rate_hz: float,
    warm_up_min: float,
    bounds: SoakBounds,
    *,
    has_page: bool = True,
    is_ended: bool = False,
) -> list[str]:
    """Write the results so far, with or without plot and page, and return the problems."""
    from tracking_runtime.files import atomic_write

    problems = [
        problem
        for result in results
        for problem in _find_problems(result, 60 * warm_up_min, bounds, is_ended=is_ended)
    ]
    data = {
        "rate_hz": rate_hz,
        "warm_up_s": 60 * warm_up_min,
        "bounds": asdict(bounds),
        "is_ended": is_ended,
        "problems": problems,
        "nodes": [asdict(result) for result in results],
    }
    with atomic_write(output / "soak.json") as path:
        path.write_text(json.dumps(data, indent=1))
    if has_page and all(result.samples for result in results):
        state = "ended" if is_ended else "under way"
        conditions = f"at {rate_hz:g} Hz, {state}"
        _write_page(output, results, conditions, warm_up_min, problems)
    return problems


def _write_page(
    output: Path, results: Sequence[SoakResult], conditions: str, warm_up_min: float, problems: Sequence[str]
) -> None:
    """Write soak.png and soak.html. Each result must have a sample."""
    from tracking_runtime.files import atomic_write
    from tracking_runtime.reports.html import render_page
    from tracking_runtime.system_info import describe_machine, format_now

    _draw_plot(results, warm_up_min).savefig(output / "soak.png", dpi=110)
    machine = describe_machine()
    minutes = results[0].samples[-1].time_s / 60
    page = render_page(
        "measurement.html.j2",
        output,
        title=f"Soak of {', '.join(result.node for result in results)}",
        facts=[
            f"{minutes:.1f} min {conditions}, {format_now()}; the first {warm_up_min:g} min do not count",
            f"{machine.system}, {machine.processor}, {machine.cores} cores, {machine.memory_gb:.0f} GB",
        ],
        problems=problems,
        headings=["", "first sample", "last sample"],
        rows=[row for result in results for row in _make_rows(result)],
        plot="soak.png",
    )
    with atomic_write(output / "soak.html") as path:
        path.write_text(page)


def _make_rows(result: SoakResult) -> list[list[str]]:
    first, last = result.samples[0], result.samples[-1]
    units = {"memory_mb": "memory [MB]", "threads": "threads", "files": "open files", "p50_ms": "p50 [ms]"}
    units |= {"p95_ms": "p95 [ms]", "p99_ms": "p99 [ms]"}
    rows = [
        [f"{result.node}: {unit}", f"{getattr(first, name):.5g}", f"{getattr(last, name):.5g}"]
        for name, unit in units.items()
    ]
    published = sum(sample.published for sample in result.samples)
    dropped = sum(sample.dropped for sample in result.samples)
    return [*rows, [f"{result.node}: frames, dropped", str(published), str(dropped)]]


def _draw_plot(results: Sequence[SoakResult], warm_up_min: float) -> Figure:
    from matplotlib.figure import Figure

    labels = {"memory_mb": "memory [MB]", "threads": "threads", "files": "open files"}
    figure = Figure(figsize=(4.5 * len(results), 10), layout="constrained")
    subplots = figure.subplots(len(labels) + 2, len(results), sharex=True, squeeze=False)
    for column, result in enumerate(results):
        minutes = [sample.time_s / 60 for sample in result.samples]
        axes = subplots[:, column]
        axes[0].set_title(result.node)
        for row, (name, label) in enumerate(labels.items()):
            axes[row].plot(minutes, [getattr(sample, name) for sample in result.samples])
            axes[row].set_ylabel(label)
        for name in ("p50_ms", "p95_ms", "p99_ms"):
            values = [getattr(sample, name) for sample in result.samples]
            axes[-2].plot(minutes, values, label=name.removesuffix("_ms"))
        axes[-2].set_ylabel("latency [ms]")
        axes[-2].legend()
        shares = [100 * sample.dropped / max(sample.published, 1) for sample in result.samples]
        axes[-1].plot(minutes, shares)
        axes[-1].set_ylabel("dropped frames [%]")
        axes[-1].set_xlabel("time [min]")
        for each in axes:
            each.grid(alpha=0.3)
            each.axvspan(0, min(warm_up_min, minutes[-1]), color="#8884", linewidth=0)
    return figure
