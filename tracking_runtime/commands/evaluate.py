"""The command `rstrack evaluate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracking_runtime.commands.dataset_options import add_dataset_options, add_topic_option, split_class_names
from tracking_runtime.commands.options import add_calibration_options, add_profile_option
from tracking_runtime.commands.progress import make_progress
from tracking_runtime.system_info import format_command_line

if TYPE_CHECKING:
    from rich.progress import TaskID

    from tracking_runtime.evaluation.run import EvaluationProgress, EvaluationRun


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="PLACE...", type=click.Path(path_type=Path))
@click.option("--tracker", default="", help="Tracker to run over the videos: hanet or spax.")
@click.option("--model", default="", help="Name or path of the model. Default: the tracker's.")
@click.option("--engine", default="auto", show_default=True, help="Engine that runs the model.")
@add_profile_option
@click.option(
    "--results",
    "result_paths",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Result files to score instead: a folder with a file for each video, or a single file. "
    "May be repeated.",
)
@click.option("--tracks-topic", default="", help="Topic of the tracks, if a bag has several.")
@add_topic_option
@add_calibration_options
@add_dataset_options
@click.option(
    "--matching",
    type=click.Choice(["iou0.3", "iou0.4", "any-overlap", "centre5px"]),
    default="iou0.3",
    show_default=True,
    help="Rule of a match between a track and an object. In this order used by: SPAX and MP2Net, CFTracker's "
    "paper, CFTracker's repository, HiEUM.",
)
@click.option(
    "--clear-by",
    type=click.Choice(["trackeval", "motmetrics"]),
    default="trackeval",
    show_default=True,
    help="Definitions of the CLEAR and identity metrics. SPAX and MP2Net publish those of py-motmetrics, "
    "which the extra evaluation installs. They differ in MT (py-motmetrics: from 80 % of an object's frames, "
    "TrackEval: above 80 %), and rarely in IDs, FP and FN. HOTA is always TrackEval's.",
)
@click.option("--live", is_flag=True, help="Drop the frames that arrive while the tracker is busy.")
@click.option(
    "--offline",
    is_flag=True,
    help="Use later frames too (non-causal): passes backward, smoothed tracks, interpolated gaps.",
)
@click.option(
    "--robustness",
    type=click.Choice(["one-pass", "spatial", "temporal"]),
    default="one-pass",
    show_default=True,
    help="Initializations of a single target: once, with 12 perturbed boxes (SRE), or from 20 frames (TRE).",
)
@click.option(
    "--submission",
    type=click.Choice(["mot", "satvideodt", "satmtb", "sdm-car"]),
    help="Write the tracker's results in this format too, into the run's folder submission.",
)
@click.option(
    "--jobs",
    "num_processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes.",
)
@click.option(
    "--fleet",
    "dask_address",
    default="",
    metavar="ADDRESS",
    help="Address of a Dask scheduler. Its workers must share this file system.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("evaluation"),
    show_default=True,
    help="Folder of the report and of each run's folder. A run in this folder is resumed.",
)
def evaluate(
    result_paths: tuple[str, ...], classes: str, skip_malformed: bool, output: Path, **options: Any
) -> None:
    """Score a tracker on the videos at each PLACE, and write a report.

    A PLACE is a recording, a folder of recordings, a benchmark in its original folder (HOT, SatVideoDT,
    SatMTB, VISO, SDM-Car, or folders of frames with MOT or OTB text), a COCO json, a folder of ground-truth
    text files, or any other source: a video file, a cube, a folder of cubes, or an address with options.

    The predictions come from the tracker given by --tracker, which is run over every frame without drops and
    without a clock. With --results, published result files are scored. With neither, the tracks recorded in
    bags are scored.
    """
    from tracking_runtime.evaluation import run as evaluation
    from tracking_runtime.reports.evaluation_report import write_evaluation_report

    evaluate_options = evaluation.EvaluateOptions(
        **options,
        results=_parse_result_paths(result_paths),
        class_names=split_class_names(classes),
        on_invalid_row="skip" if skip_malformed else "raise",
        output=output,
    )
    try:
        evaluate_options.check()
    except evaluation.OptionsError as error:
        raise click.UsageError(str(error)) from error
    with ExitStack() as stack:
        runs = evaluation.evaluate(
            evaluate_options, on_progress=_make_reporter(stack), command=format_command_line()
        )
    write_evaluation_report(runs, output / "report.html")
    _print_summary(runs, output)
    evaluation.check_scored(runs)
    if any(run.failed_results for run in runs):
        raise click.exceptions.Exit(1)


def _parse_result_paths(texts: Sequence[str]) -> dict[str, Path]:
    """Parse texts `[NAME=]PATH`. The default name is the stem of the path."""
    paths: dict[str, Path] = {}
    for text in texts:
        name, separator, path_text = text.rpartition("=")
        path = Path(path_text)
        name = name if separator else path.stem
        if name in paths:
            raise click.UsageError(f"two --results have the name {name!r}: write NAME=PATH")
        paths[name] = path
    return paths


def _make_reporter(stack: ExitStack) -> Callable[[EvaluationProgress], None]:
    """Make a callback that shows a bar for each run and prints the errors.

    Args:
        stack: context of the bars, entered at the first event, so that an earlier error prints no empty bars.
    """
    from rich.markup import escape

    progress = make_progress()
    tasks: dict[str, TaskID] = {}

    def report(event: EvaluationProgress) -> None:
        if not tasks:
            stack.enter_context(progress)
        if event.run_name not in tasks:
            tasks[event.run_name] = progress.add_task(event.run_name, total=event.num_jobs)
        progress.update(tasks[event.run_name], completed=event.num_finished)
        if event.result is not None and event.result.error:
            text = f"[red]{escape(event.result.name)}: {escape(event.result.error)}"
            progress.console.print(text, soft_wrap=True)

    return report


def _print_summary(runs: Sequence[EvaluationRun], output: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tracking_runtime.reports.evaluation_report import format_metric, format_value, list_classes

    table = Table("", *(run.name for run in runs))
    for metric in runs[0].metric_descriptions:
        table.add_row(metric, *(format_metric(run, metric) for run in runs))
    headline = next(iter(runs[0].metric_descriptions))
    for class_name in list_classes(runs):
        metrics = (run.summary.metrics_by_class.get(class_name, {}) if run.summary else {} for run in runs)
        values = (format_value(headline, each.get(headline, math.nan)) for each in metrics)
        table.add_row(f"{headline}, {class_name}", *values)
    table.add_row("videos", *(str(len(run.scored_videos)) for run in runs))
    table.add_row("failed", *(str(len(run.failed_results)) for run in runs))
    for name in runs[0].speed:
        table.add_row(name, *(f"{run.speed.get(name, 0):.4g}" for run in runs))
    console = Console()
    console.print(table)
    for run in runs:
        for note in run.notes:
            console.print(f"[yellow]Note: {escape(note)}", soft_wrap=True)
    console.print(f"Open [bold]{(output / 'report.html').resolve()}[/]", soft_wrap=True)
