"""The demo: every tracker's flight through its real nodes, recorded, scored and reported."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tracking_runtime.demo.scenario import Flight, Plan, Recording, Wishes, load_flights
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.models.manifest import find_model, read_manifest
from tracking_runtime.reports.html import write_html
from tracking_runtime.reports.overview import write_overview
from tracking_runtime.reports.report_data import (
    Accounting,
    FlightResult,
    Moment,
    Network,
    Picture,
    Report,
    write_metrics,
)
from tracking_runtime.ros.demo_session import FlightFailed, fly
from tracking_runtime.system_info import this_machine

TITLE = "Two trackers on board"


class DemoFailed(RuntimeError):
    """The demo could not be finished. The message says why."""


def run_demo(output: Path, wishes: Mapping[str, Wishes], names: Sequence[str]) -> Report:
    """Fly, score and report; progress, a summary and the report's path go to the terminal.

    Args:
        output: folder for report.html, metrics.json, overview.png and a folder of each flight.
        wishes: of the user, by flight.
        names: of the flights to fly.

    Raises:
        DemoFailed: a flight is unknown, cannot take place or failed, or frames are missing from an account.
    """
    console = Console()
    flights = load_flights()
    unknown = [name for name in names if name not in flights]
    if unknown:
        raise DemoFailed(f"no flight named {unknown[0]}; there: {', '.join(flights) or 'none'}")
    try:
        plans = {name: flights[name].plan(wishes.get(name, Wishes())) for name in names}
        networks = {name: _network(plans[name].model) for name in names}
        with _progress(console) as progress:
            results = tuple(
                _fly(flights[name], plans[name], networks[name], output, progress) for name in names
            )
    except (SourceError, ModelError, FlightFailed) as error:
        raise DemoFailed(str(error)) from error
    except KeyboardInterrupt:
        raise DemoFailed("interrupted; all nodes are stopped") from None
    created = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    report = Report(TITLE, created, this_machine(), results, shlex.join(["rstrack", *sys.argv[1:]]))
    write_metrics(report, output / "metrics.json")
    write_overview(report, output / "overview.png")
    write_html(report, output / "report.html")
    _summarize(report, output, console)
    missing = [result for result in results if not result.accounting.is_exact]
    if missing:
        account = missing[0].accounting
        raise DemoFailed(
            f"{missing[0].name}: {account.published} frames published, {account.accounted} accounted for"
        )
    return report


def _fly(flight: Flight, plan: Plan, network: Network, output: Path, progress: Progress) -> FlightResult:
    folder = _emptied(output / flight.name)
    task = progress.add_task(flight.name, total=plan.frames, stage="")

    def tell(stage: str, played: int) -> None:
        progress.update(task, completed=played, stage=stage)

    log = fly(flight, plan, folder, tell)
    tell("scoring", plan.frames)
    scoring = flight.score(Recording(log.bag, flight.tracks_topic))
    pictures = _pictures(scoring.moments, log.overlays, folder)
    tell("done", log.accounting.published)
    return FlightResult(
        name=flight.name,
        title=flight.title,
        source=plan.source,
        rate_hz=plan.rate_hz,
        seconds=log.seconds,
        network=replace(network, engine=log.tracker.get("engine", "unknown")),
        accounting=log.accounting,
        stages=log.stages,
        scoring=scoring,
        pictures=pictures,
        bag=f"{flight.name}/{log.bag.name}",
    )


def _pictures(moments: Sequence[Moment], overlays: Mapping[int, bytes], folder: Path) -> tuple[Picture, ...]:
    """The overlays of the moments that the visualizer drew, as files in the flight's folder."""
    pictures = []
    for number, moment in enumerate((m for m in moments if m.stamp_ns in overlays), start=1):
        path = folder / f"frame_{number}.jpg"
        path.write_bytes(overlays[moment.stamp_ns])
        pictures.append(Picture(f"{folder.name}/{path.name}", moment.caption))
    return tuple(pictures)


def _network(model: str) -> Network:
    """What the manifest says of a model, without the details of its training."""
    manifest = read_manifest(find_model(model))
    told = {key: value for key, value in manifest.training.items() if isinstance(value, (str, int, float))}
    return Network(manifest.name, "", manifest.weights_sha256, told)


def _emptied(folder: Path) -> Path:
    """A flight's folder with nothing in it.

    Raises:
        SourceError: there is something in it that no demo has written.
    """
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "player.log").exists():
            raise SourceError(f"{folder} is not of an earlier demo: choose another --output")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("[bold]{task.description:13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[stage]}"),
        console=console,
    )


def _summarize(report: Report, output: Path, console: Console) -> None:
    table = Table("flight", "frames", "scores", show_lines=True)
    for result in report.flights:
        headlines = [f"{figure.name} {figure.text}" for figure in result.scoring.figures if figure.headline]
        table.add_row(result.name, _account(result.accounting), "\n".join(headlines))
    console.print(table)
    console.print(f"Open [bold]{(output / 'report.html').resolve()}[/]", soft_wrap=True)


def _account(frames: Accounting) -> str:
    """What became of the frames, a line for each fate."""
    fates = {
        "dropped": frames.dropped,
        "refused": frames.refused,
        "failed": frames.failed,
        "lost": frames.lost,
    }
    lines = [f"{frames.published} published", f"{frames.processed} processed"]
    lines += [f"{count} {fate}" for fate, count in fates.items() if count or fate == "dropped"]
    return "\n".join(lines) + ("" if frames.is_exact else "\n[red]frames are missing[/]")
