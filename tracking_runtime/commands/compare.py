"""``rstrack compare``."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.comparison import RESAMPLES, Difference, common_videos
from tracking_runtime.evaluation.comparison import compare as compare_runs
from tracking_runtime.evaluation.run import Run, read_run
from tracking_runtime.evaluation.video_scores import plain
from tracking_runtime.reports.evaluation_report import difference_text, number_text, write_report


@click.command()
@click.argument("first", type=click.Path(path_type=Path, file_okay=False))
@click.argument("second", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--resamples", type=click.IntRange(100), default=RESAMPLES, show_default=True, help="Drawings of videos."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the drawings.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for report.html, both runs side by side, and differences.json.",
)
def compare(first: Path, second: Path, resamples: int, seed: int, output: Path | None) -> None:
    """Tell how far the run SECOND is better than FIRST, and how certain that is.

    A run is the folder of one that rstrack evaluate has written. Compared are the videos that both have; the
    intervals hold 95 % of the differences that drawing those videos anew gives.
    """
    try:
        runs = _named_apart(read_run(_run_folder(first)), read_run(_run_folder(second)))
        differences = compare_runs(*runs, resamples=resamples, seed=seed)
    except (SourceError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    _tell(runs, differences)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_report(runs, output / "report.html", title="Comparison", differences=differences)
        content = [plain(asdict(each)) for each in differences]
        (output / "differences.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        Console().print(f"Open [bold]{(output / 'report.html').resolve()}[/]", soft_wrap=True)


def _run_folder(folder: Path) -> Path:
    """The folder itself, or the one run in it."""
    inside = [path.parent for path in folder.glob("*/scores.json")]
    return inside[0] if len(inside) == 1 and not (folder / "scores.json").is_file() else folder


def _named_apart(first: Run, second: Run) -> tuple[Run, Run]:
    """Runs of the same name get that of the folder above before it."""
    if first.name != second.name:
        return first, second
    one, other = (
        replace(run, name=f"{run.folder.resolve().parent.name}/{run.name}") for run in (first, second)
    )
    return one, other


def _tell(runs: tuple[Run, Run], differences: list[Difference]) -> None:
    table = Table("", *(run.name for run in runs), "difference", "95 % interval")
    for each in differences:
        difference, interval = difference_text(each)
        style = "bold" if each.is_certain else None
        figures = (number_text(each.figure, value) for value in (each.first, each.second))
        table.add_row(each.figure, *figures, difference, interval, style=style)
    console = Console()
    console.print(table)
    console.print(f"{len(common_videos(*runs))} videos that both have; bold where the interval leaves out 0")
