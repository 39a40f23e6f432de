"""``rstrack evaluate``."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tracking_runtime.commands.progress import counting
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.datasets.result_files import Submission
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.evaluation.initializations import Robustness
from tracking_runtime.evaluation.job_planning import make_jobs, named_apart, recorded_videos
from tracking_runtime.evaluation.jobs import (
    Answers,
    Job,
    MakePool,
    RecordedTracks,
    ResultFiles,
    TrackerChoice,
    VideoResult,
    file_name,
    on_fleet,
    processes,
    run_jobs,
)
from tracking_runtime.evaluation.replay import find_tracker
from tracking_runtime.evaluation.run import Run, sorted_results, write_run, write_submission
from tracking_runtime.evaluation.video_scores import ClearBy, Rules
from tracking_runtime.io.table_reader import Malformed
from tracking_runtime.reports.evaluation_report import by_class, figure_text, number_text, write_report
from tracking_runtime.system_info import this_machine


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="PLACE...", type=click.Path(path_type=Path))
@click.option("--tracker", help="Run this tracker over the videos: hanet or spax.")
@click.option("--model", default="", help="Name or path of its model; default: its own.")
@click.option("--engine", default="auto", show_default=True, help="That runs the model.")
@click.option(
    "--results",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Score these result files instead: a folder with one for each video, or a file; may be repeated.",
)
@click.option("--tracks-topic", default="", help="Of the tracks in a bag, where it has several.")
@click.option(
    "--layout",
    type=click.Choice(["auto", "bag", "coco", "hot", "folders", "truth"]),
    default="auto",
    show_default=True,
    help="How the videos lie; truth: text files of ground truth, no images.",
)
@click.option(
    "--view",
    type=click.Choice(["mosaic", "false_color", "rgb"]),
    default="mosaic",
    show_default=True,
    help="Which frames of the HOT challenge.",
)
@click.option(
    "--classes",
    default="",
    help="Names, separated by commas, of the classes in text files, whose numbers count from 1.",
)
@click.option(
    "--matching",
    type=click.Choice(["iou0.3", "iou0.4", "any-overlap", "centre5px"]),
    default="iou0.3",
    show_default=True,
    help="When a track is an object: SPAX and MP2Net, CFTracker's paper, CFTracker's repository, HiEUM.",
)
@click.option(
    "--clear-by",
    type=click.Choice(["trackeval", "motmetrics"]),
    default="trackeval",
    show_default=True,
    help="Whose CLEAR and identity figures: SPAX and MP2Net publish py-motmetrics'. They differ in MT (there "
    "from 80 % of an object's frames, here above), seldom in IDs, FP and FN. HOTA stays TrackEval's.",
)
@click.option(
    "--skip-malformed",
    is_flag=True,
    help="Leave out rows that cannot be believed; a frame with such a row of truth does not count.",
)
@click.option("--live", is_flag=True, help="Drop the frames that would come while the tracker is busy.")
@click.option(
    "--robustness",
    type=click.Choice(["one-pass", "spatial", "temporal"]),
    default="one-pass",
    show_default=True,
    help="Start one target once, with 12 perturbed boxes (SRE), or from 20 frames (TRE).",
)
@click.option(
    "--submission",
    type=click.Choice(["mot", "satvideodt", "satmtb", "sdm-car"]),
    help="Write the tracker's results in this form as well, into the run's folder submission.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--fleet", metavar="ADDRESS", help="Of a Dask scheduler whose workers share this file system.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for the report and a folder of each run; a run found there is resumed.",
)
def evaluate(
    places: tuple[Path, ...],
    tracker: str | None,
    model: str,
    engine: str,
    results: tuple[str, ...],
    tracks_topic: str,
    layout: str,
    view: str,
    classes: str,
    matching: str,
    clear_by: ClearBy,
    skip_malformed: bool,
    live: bool,
    robustness: Robustness,
    submission: Submission | None,
    jobs: int,
    fleet: str | None,
    output: Path,
) -> None:
    """Score a tracker on the videos at each PLACE, and write a report.

    A PLACE is a recording, a folder of recordings, a benchmark where it lies (HOT, SatVideoDT, SatMTB, VISO,
    SDM-Car, or folders of frames with MOT or OTB text), a COCO json, or a folder of ground truth text files.

    With --tracker it is run over every frame, without drops and without a clock; with --results published
    result files are scored; with neither, the tracks that were recorded in bags.
    """
    malformed: Malformed = "skip" if skip_malformed else "raise"
    names = tuple(name for name in classes.split(",") if name)
    options: dict[str, Any] = {"layout": layout, "view": view, "class_names": names, "malformed": malformed}
    try:
        _check(tracker, results, submission, robustness)
        rules = Rules(matching, clear_by)
        runs = _runs(tracker, model, engine, live, results, malformed, tracks_topic)
        if tracker or results:
            videos = named_apart({place: open_dataset(place, **options) for place in places})
        else:
            videos = recorded_videos(places)
        finished = []
        for name, answers in runs.items():
            work = make_jobs(videos, answers, robustness=robustness, rules=rules)
            finished.append(_run(name, work, output, _pool(jobs, fleet)))
        if submission:
            write_submission(finished[0], submission)
        write_report(finished, output / "report.html")
    except (SourceError, ModelError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    _tell(finished, output)
    if any(run.failed for run in finished):
        raise click.exceptions.Exit(1)


def _check(
    tracker: str | None, results: tuple[str, ...], submission: Submission | None, robustness: Robustness
) -> None:
    """Raise UsageError where options do not go together, SourceError where there is no such tracker."""
    if tracker and results:
        raise click.UsageError("--tracker and --results exclude each other")
    kind = find_tracker(tracker) if tracker else None
    if submission and (kind is None or kind.follows_one_target):
        raise click.UsageError("--submission is of a --tracker of many objects; HOT takes results/ as it is")
    if robustness != "one-pass" and (kind is None or not kind.follows_one_target):
        raise click.UsageError("--robustness is of a --tracker that follows one target")


def _runs(
    tracker: str | None,
    model: str,
    engine: str,
    live: bool,
    results: tuple[str, ...],
    malformed: Malformed,
    tracks_topic: str,
) -> dict[str, Answers]:
    """Where answers come from, by the names of the runs."""
    if tracker:
        choice = TrackerChoice.of(tracker, model, engine, live=live)
        return {f"{tracker} {Path(choice.model).stem}": choice}
    labelled = dict(_labelled(given) for given in results)
    if len(labelled) < len(results):
        raise click.UsageError("two --results have the same name; write NAME=PATH")
    files: dict[str, Answers] = {name: ResultFiles(path, malformed) for name, path in labelled.items()}
    return files or {"recorded tracks": RecordedTracks(tracks_topic)}


def _labelled(given: str) -> tuple[str, Path]:
    name, separator, path = given.rpartition("=")
    place = Path(path)
    if not place.exists():
        raise SourceError(f"no results at {place}")
    return (name if separator else place.stem), place


def _pool(jobs: int, fleet: str | None) -> MakePool | None:
    if fleet:
        return on_fleet(fleet)
    return processes(jobs) if jobs > 1 else None


def _run(name: str, work: Sequence[Job], output: Path, pool: MakePool | None) -> Run:
    folder = output / file_name(name)
    done: list[VideoResult] = []
    with counting() as progress:
        task = progress.add_task(name, total=len(work))
        for result in run_jobs(work, folder, pool):
            done.append(result)
            progress.advance(task)
            if result.error:
                text = f"[red]{escape(result.name)}: {escape(result.error)}"
                progress.console.print(text, soft_wrap=True)
    run = Run(name, folder, sorted_results(done))
    created = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    write_run(run, this_machine(), created, shlex.join(["rstrack", *sys.argv[1:]]))
    return run


def _tell(runs: Sequence[Run], output: Path) -> None:
    table = Table("", *(run.name for run in runs))
    for figure in runs[0].meanings:
        table.add_row(figure, *(figure_text(run, figure) for run in runs))
    for name in by_class(runs):
        headline = next(iter(runs[0].meanings))
        figures = (run.summary.by_class.get(name, {}) if run.summary else {} for run in runs)
        values = (number_text(headline, each.get(headline, math.nan)) for each in figures)
        table.add_row(f"{headline}, {name}", *values)
    table.add_row("videos", *(str(len(run.scored)) for run in runs))
    table.add_row("failed", *(str(len(run.failed)) for run in runs))
    for name in runs[0].speed:
        table.add_row(name, *(f"{run.speed.get(name, 0):.4g}" for run in runs))
    console = Console()
    console.print(table)
    console.print(f"Open [bold]{(output / 'report.html').resolve()}[/]", soft_wrap=True)
