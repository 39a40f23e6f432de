"""The report of an evaluation: one page that opens offline, several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from os.path import relpath
from pathlib import Path

from tracking_runtime.evaluation.comparison import Difference
from tracking_runtime.evaluation.multi_object import MATCHINGS
from tracking_runtime.evaluation.one_pass import OTB, PRECISION_THRESHOLDS_PX
from tracking_runtime.evaluation.run import Run
from tracking_runtime.reports.html import render
from tracking_runtime.reports.report_data import Bars, Chart, Curve, Picture, Table
from tracking_runtime.system_info import this_machine

_TEMPLATE = "evaluation.html.j2"
_MOST_PICTURES = 12
_MOST_BARS = 40
_COUNTS = {"IDs", "FP", "FN", "MT", "ML"}
_LOWER_IS_BETTER = {"IDs", "FP", "FN", "ML"}


def write_report(
    runs: Sequence[Run],
    path: Path,
    *,
    title: str = "Evaluation",
    differences: Sequence[Difference] = (),
    tables: Sequence[Table] = (),
) -> None:
    """Write the page of one or several runs of one kind.

    Args:
        runs: side by side.
        path: of the page; the runs' pictures go into it.
        title: of the page.
        differences: of two runs.
        tables: of more figures.

    Raises:
        OSError: a picture cannot be read, or the page not be written.
    """
    page = render(
        _TEMPLATE,
        path.parent,
        title=title,
        created=datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        machine=this_machine(),
        runs=runs,
        meanings=_meanings(runs),
        rules=next((_rules(run) for run in runs if run.matching), ""),
        by_class=list(_by_class(runs)),
        summary=list(_summary(runs)),
        charts=charts(runs),
        bars=bars(runs),
        columns=_columns(runs),
        rows=list(_rows(runs)),
        pictures=_worst(runs, path.parent),
        differences=[(each, difference_text(each)) for each in differences],
        tables=tables,
    )
    path.write_text(page, encoding="utf-8")


def figure_text(run: Run, figure: str) -> str:
    """A figure of all videos of a run, as people read it."""
    return "n/a" if run.summary is None else number_text(figure, run.summary.figures.get(figure, math.nan))


def number_text(figure: str, value: float) -> str:
    """A figure's value: counts whole, shares with four digits, as the field compares them."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.0f}" if figure in _COUNTS else f"{value:.4f}"


def difference_text(difference: Difference) -> tuple[str, str]:
    """A difference and its interval, as people read them."""
    digits = 1 if difference.figure in _COUNTS else 4
    interval = f"{difference.low:+.{digits}f} to {difference.high:+.{digits}f}"
    return f"{difference.difference:+.{digits}f}", "n/a" if math.isnan(difference.low) else interval


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, by what it is sorted, and whether it is the best of its row."""

    text: str
    value: float | str
    best: bool = False


def _meanings(runs: Sequence[Run]) -> Mapping[str, str]:
    return next((run.meanings for run in runs if run.summary), runs[0].meanings if runs else {})


def _headline(runs: Sequence[Run]) -> str:
    return next(iter(_meanings(runs)))


def _summary(runs: Sequence[Run]) -> Iterator[tuple[str, list[Cell]]]:
    """A row for each figure, then one for each attribute, with a cell for each run."""
    for figure in _meanings(runs):
        yield figure, _compared(figure, [run.summary.figures if run.summary else {} for run in runs])
    headline = _headline(runs)
    for attribute in _attributes(runs):
        figures = [run.summary.by_attribute.get(attribute, {}) if run.summary else {} for run in runs]
        yield f"{headline}, {attribute}", _compared(headline, figures)


def _rules(run: Run) -> str:
    """By which many objects were scored."""
    tool = {"trackeval": "TrackEval", "motmetrics": "py-motmetrics"}[run.clear_by]
    return f"{MATCHINGS[run.matching].name}, CLEAR and identity by {tool}"


def by_class(runs: Sequence[Run]) -> list[str]:
    """The classes that any run has figures of, if there are several."""
    names = sorted({name for run in runs if run.summary for name in run.summary.by_class})
    return names if len(names) > 1 else []


def _by_class(runs: Sequence[Run]) -> Iterator[list[Cell]]:
    """A row for each class and run, with all figures."""
    for name in by_class(runs):
        for run in runs:
            figures = run.summary.by_class.get(name, {}) if run.summary else {}
            cells = [figures.get(figure, math.nan) for figure in _meanings(runs)]
            texts = [number_text(figure, value) for figure, value in zip(_meanings(runs), cells, strict=True)]
            label = f"{name}, {run.name}" if len(runs) > 1 else name
            yield [Cell(label, label), *(Cell(text, value) for text, value in zip(texts, cells, strict=True))]


def _attributes(runs: Sequence[Run]) -> list[str]:
    return sorted({name for run in runs if run.summary for name in run.summary.by_attribute})


def _compared(figure: str, runs: Sequence[Mapping[str, float]]) -> list[Cell]:
    values = [figures.get(figure, math.nan) for figures in runs]
    known = [value for value in values if not math.isnan(value)]
    choose = min if figure in _LOWER_IS_BETTER else max
    best = choose(known) if len(known) > 1 else None
    return [Cell(number_text(figure, value), value, value == best) for value in values]


def charts(runs: Sequence[Run]) -> list[Chart]:
    """Success and precision, as the papers draw them."""
    drawn = [run for run in runs if run.summary is not None and run.summary.curves]
    kinds = (
        ("Success", "success", "overlap threshold", OTB.thresholds),
        ("Precision", "precision", "centre error [px]", PRECISION_THRESHOLDS_PX),
    )
    return [
        Chart(
            title,
            label,
            "share of frames",
            tuple(_curve(run, name, tuple(map(float, x))) for run in drawn),
            (0, 1.02),
        )
        for title, name, label, x in kinds
        if drawn
    ]


def _curve(run: Run, name: str, x: tuple[float, ...]) -> Curve:
    assert run.summary is not None
    return Curve(f"{run.name} [{run.summary.figures[name]:.3f}]", x, run.summary.curves[name])


def bars(runs: Sequence[Run]) -> list[Bars]:
    """The first figure of each attribute and of each video."""
    headline = _headline(runs)
    attributes = _attributes(runs)
    by_attribute = {
        run.name: tuple(_known(run.summary.by_attribute.get(name, {}), headline) for name in attributes)
        for run in runs
        if run.summary
    }
    videos = _names(runs)[:_MOST_BARS]
    by_video = {
        run.name: tuple(_known(figures.get(name, {}), headline) for name in videos)
        for run in runs
        for figures in [{video.name: video.figures for video in run.scored}]
    }
    shown = (("By attribute", attributes, by_attribute), ("By video", videos, by_video))
    return [Bars(title, headline, tuple(rows), series) for title, rows, series in shown if len(rows) > 1]


def _known(figures: Mapping[str, float], name: str) -> float:
    value = figures.get(name, 0.0)
    return 0.0 if math.isnan(value) else value


def _names(runs: Sequence[Run]) -> list[str]:
    return sorted({video.name for run in runs for video in run.scored})


def _columns(runs: Sequence[Run]) -> list[str]:
    figures = list(_meanings(runs)) if len(runs) == 1 else [run.name for run in runs]
    return ["video", "frames", *(["attributes"] if _attributes(runs) else []), *figures]


def _rows(runs: Sequence[Run]) -> Iterator[list[Cell]]:
    """A row for each video: all figures of one run, or the first figure of several."""
    for name in _names(runs):
        found = [next((video for video in run.scored if video.name == name), None) for run in runs]
        some = next(video for video in found if video is not None)
        if len(runs) == 1:
            cells = [Cell(number_text(key, some.figures[key]), some.figures[key]) for key in _meanings(runs)]
        else:
            cells = _compared(_headline(runs), [video.figures if video else {} for video in found])
        attributes = " ".join(some.attributes)
        told = [Cell(attributes, attributes)] if _attributes(runs) else []
        yield [Cell(name, name), Cell(str(some.frames), some.frames), *told, *cells]


def _worst(runs: Sequence[Run], folder: Path) -> list[Picture]:
    """The pictures of all runs, the worst first."""
    found = []
    for run in runs:
        prefix = f"{run.name}: " if len(runs) > 1 else ""
        for result in run.results:
            if result.picture and result.scores is not None:
                badness = max(value for value in result.scores.badness if not math.isnan(value))
                path = relpath(run.folder / result.picture, folder)
                found.append((badness, Picture(path, f"{prefix}{result.caption}")))
    return [picture for _, picture in sorted(found, key=lambda item: -item[0])[:_MOST_PICTURES]]
