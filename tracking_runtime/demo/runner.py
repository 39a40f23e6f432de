"""Runner of the demo: plays, records and scores the scenario of each tracker and writes a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tracking_runtime.demo.output_folder import METRICS_FILE, OVERVIEW_FILE, REPORT_FILE, prepare_output
from tracking_runtime.demo.scenario import (
    DemoOptions,
    DemoPlan,
    DemoRecording,
    DemoScenario,
    ProgressCallback,
    SessionResult,
    load_scenarios,
)
from tracking_runtime.errors import TrackingError
from tracking_runtime.models.manifest import find_model, read_manifest
from tracking_runtime.reports.html import write_html
from tracking_runtime.reports.overview import write_overview
from tracking_runtime.reports.report_data import (
    DemoReport,
    DemoResult,
    FrameAccounting,
    KeyFrame,
    NetworkInfo,
    Picture,
    write_metrics,
)
from tracking_runtime.system_info import describe_machine, format_command_line, format_now

SessionRunner = Callable[[DemoScenario, DemoPlan, Path, ProgressCallback], SessionResult]

REPORT_TITLE = "Two trackers on board"


class DemoError(TrackingError, RuntimeError):
    """A demo that could not be finished. The message contains the reason."""


def run_demo(
    output: Path,
    options: Mapping[str, DemoOptions],
    names: Sequence[str],
    run_session: SessionRunner,
) -> DemoReport:
    """Run scenarios and write their report. Print the progress, a summary and the report's path.

    Args:
        output: folder for report.html, metrics.json, overview.png and a folder per scenario.
        options: options of the user by name of the scenario.
        names: names of the scenarios to run.
        run_session: function that runs the nodes of a scenario.

    Raises:
        DemoError: a scenario is unknown, was interrupted, or its frames are not all accounted for.
        SourceError: the source of a scenario cannot be used, or `output` contains other files.
        ModelError: the model of a scenario cannot be used.
        SessionError: a node failed.
    """
    console = Console()
    scenarios = _load_scenarios(names)
    try:
        plans = {
            scenario.name: scenario.plan(options.get(scenario.name, DemoOptions())) for scenario in scenarios
        }
        networks = {name: _read_network_info(plan.model) for name, plan in plans.items()}
        prepare_output(output, [scenario.name for scenario in scenarios])
        with _make_progress(console) as progress:
            results = tuple(
                _run_scenario(
                    scenario, plans[scenario.name], networks[scenario.name], output, progress, run_session
                )
                for scenario in scenarios
            )
    except KeyboardInterrupt:
        raise DemoError("interrupted; all nodes are stopped") from None
    report = DemoReport(REPORT_TITLE, format_now(), describe_machine(), results, format_command_line())
    write_metrics(report, output / METRICS_FILE)
    write_overview(report, output / OVERVIEW_FILE)
    write_html(report, output / REPORT_FILE)
    _print_summary(report, output, console)
    _check_accounting(results)
    return report


def _load_scenarios(names: Sequence[str]) -> list[DemoScenario]:
    scenarios = load_scenarios()
    for name in names:
        if name not in scenarios:
            available = ", ".join(scenarios) or "none installed"
            raise DemoError(f"demo scenario {name!r} is unknown; available: {available}")
    return [scenarios[name] for name in names]


def _run_scenario(
    scenario: DemoScenario,
    plan: DemoPlan,
    network: NetworkInfo,
    output: Path,
    progress: Progress,
    run_session: SessionRunner,
) -> DemoResult:
    folder = output / scenario.name
    task = progress.add_task(scenario.name, total=plan.num_frames, stage="")

    def report_progress(stage: str, num_played: int) -> None:
        progress.update(task, completed=num_played, stage=stage)

    session = run_session(scenario, plan, folder, report_progress)
    report_progress("scoring", plan.num_frames)
    scores = scenario.score(DemoRecording(session.bag, scenario.tracks_topic))
    pictures = _write_pictures(scores.moments, session.overlays, folder)
    report_progress("done", session.accounting.published)
    return DemoResult(
        name=scenario.name,
        title=scenario.title,
        source=plan.source,
        rate_hz=plan.rate_hz,
        seconds=session.seconds,
        network=replace(network, engine=session.tracker_diagnostics.get("engine", "unknown")),
        accounting=session.accounting,
        stages=session.stage_summaries,
        scoring=scores,
        pictures=pictures,
        bag=f"{scenario.name}/{session.bag.name}",
    )


def _write_pictures(
    key_frames: Sequence[KeyFrame], overlays: Mapping[int, bytes], folder: Path
) -> tuple[Picture, ...]:
    """Write the overlays of the key frames, as far as the visualizer drew them.

    Args:
        key_frames: frames to show.
        overlays: JPEG images of the visualizer by stamp.
        folder: folder of the scenario.
    """
    drawn_frames = [key_frame for key_frame in key_frames if key_frame.stamp_ns in overlays]
    pictures = []
    for number, key_frame in enumerate(drawn_frames, start=1):
        path = folder / f"frame_{number}.jpg"
        path.write_bytes(overlays[key_frame.stamp_ns])
        pictures.append(Picture(f"{folder.name}/{path.name}", key_frame.caption))
    return tuple(pictures)


def _read_network_info(model: str) -> NetworkInfo:
    """Read name, checksum and training of a model from its manifest, without nested training settings."""
    manifest = read_manifest(find_model(model))
    training = {
        key: value for key, value in manifest.training.items() if isinstance(value, (str, int, float))
    }
    return NetworkInfo(manifest.name, "", manifest.weights_sha256, training)


def _make_progress(console: Console) -> Progress:
    return Progress(
        TextColumn("[bold]{task.description:13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[stage]}"),
        console=console,
    )


def _print_summary(report: DemoReport, output: Path, console: Console) -> None:
    table = Table("scenario", "frames", "scores", show_lines=True)
    for result in report.flights:
        metrics = [f"{metric.name} {metric.text}" for metric in result.scoring.figures if metric.headline]
        table.add_row(
            result.name, _format_accounting(result.accounting), "\n".join(metrics) or result.scoring.note
        )
    console.print(table)
    console.print(f"Open [bold]{(output / REPORT_FILE).resolve()}[/]", soft_wrap=True)


def _format_accounting(accounting: FrameAccounting) -> str:
    """Format the numbers of frames by their fate, one per line."""
    counts = {
        "dropped": accounting.dropped,
        "refused": accounting.refused,
        "failed": accounting.failed,
        "lost": accounting.lost,
    }
    lines = [f"{accounting.published} published", f"{accounting.processed} processed"]
    lines += [f"{count} {fate}" for fate, count in counts.items() if count or fate == "dropped"]
    return "\n".join(lines) + ("" if accounting.is_exact else "\n[red]frames are missing[/]")


def _check_accounting(results: Sequence[DemoResult]) -> None:
    """Check that all frames are accounted for.

    Raises:
        DemoError: frames of a scenario are missing.
    """
    for result in results:
        accounting = result.accounting
        if not accounting.is_exact:
            raise DemoError(
                f"scenario {result.name}: {accounting.published} frames published, "
                f"{accounting.num_accounted} accounted for"
            )
