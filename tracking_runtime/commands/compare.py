"""The command `rstrack compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tracking_runtime.evaluation.comparison import Difference
    from tracking_runtime.evaluation.run import EvaluationRun


@click.command()
@click.argument("first", type=click.Path(path_type=Path, file_okay=False))
@click.argument("second", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--resamples",
    "num_resamples",
    type=click.IntRange(100),
    default=2000,
    show_default=True,
    help="Number of bootstrap samples.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random numbers.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of report.html, with both runs side by side, and differences.json.",
)
def compare(first: Path, second: Path, num_resamples: int, seed: int, output: Path | None) -> None:
    """Compare the run SECOND with the run FIRST, with confidence intervals.

    A run is a folder that rstrack evaluate has written. The comparison covers the videos that both runs have.
    An interval contains 95 % of the differences over random samples of these videos.
    """
    from rich.console import Console

    from tracking_runtime.evaluation.comparison import compare_runs, make_names_distinct, write_differences
    from tracking_runtime.evaluation.run import find_run_folder, read_run
    from tracking_runtime.reports.evaluation_report import write_evaluation_report

    runs = make_names_distinct(read_run(find_run_folder(first)), read_run(find_run_folder(second)))
    differences = compare_runs(*runs, num_resamples=num_resamples, seed=seed)
    _print_differences(runs, differences)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_evaluation_report(runs, output / "report.html", title="Comparison", differences=differences)
        write_differences(output / "differences.json", differences)
        Console().print(f"Open [bold]{(output / 'report.html').resolve()}[/]", soft_wrap=True)


def _print_differences(runs: tuple[EvaluationRun, EvaluationRun], differences: Sequence[Difference]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tracking_runtime.evaluation.comparison import find_common_videos
    from tracking_runtime.reports.evaluation_report import format_difference, format_value

    table = Table("", *(run.name for run in runs), "difference", "95 % interval")
    for difference in differences:
        style = "bold" if difference.is_certain else None
        values = (format_value(difference.metric, value) for value in (difference.first, difference.second))
        table.add_row(difference.metric, *values, *format_difference(difference), style=style)
    console = Console()
    console.print(table)
    console.print(f"{len(find_common_videos(*runs))} common videos. Bold: the interval excludes 0.")
