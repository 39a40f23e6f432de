"""A run over many videos, as it lies in a folder and as reports tell it.

``scores.json`` and ``scores.csv`` hold what follows from the input alone, the same bytes each time;
``run.json`` what ran, on which machine and how fast.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from tracking_runtime.datasets.result_files import Submission, read_tracks, write_tracks
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.jobs import VideoResult, file_name, read_result
from tracking_runtime.evaluation.video_scores import (
    MANY_OBJECTS_FIGURES,
    ONE_TARGET_FIGURES,
    SCHEMA,
    Summary,
    VideoScores,
    plain,
    summarise,
)
from tracking_runtime.reports.report_data import Machine


@dataclass(frozen=True)
class Run:
    """What became of every video.

    Attributes:
        name: of the run, as legends and tables call it.
        folder: with its files; pictures are named relative to it.
        results: of the videos, in the order of their names.
    """

    name: str
    folder: Path
    results: tuple[VideoResult, ...]

    @property
    def scored(self) -> list[VideoScores]:
        """The videos with figures."""
        return [
            result.scores for result in self.results if result.scores is not None and result.scores.details
        ]

    @property
    def failed(self) -> list[VideoResult]:
        """The videos without."""
        return [result for result in self.results if result.error]

    @cached_property
    def summary(self) -> Summary | None:
        """Figures of all videos together; None if no frame counts."""
        return summarise(self.scored) if self.scored else None

    @property
    def meanings(self) -> Mapping[str, str]:
        """The figures' names, in the order of reports, and what they mean."""
        one_target = self.summary is not None and "success" in self.summary.figures
        return ONE_TARGET_FIGURES if one_target else MANY_OBJECTS_FIGURES

    @property
    def matching(self) -> str:
        """By which objects and tracks were matched; empty for one target."""
        return self.scored[0].matching if self.scored else ""

    @property
    def clear_by(self) -> str:
        """Whose CLEAR and identity figures these are; empty for one target."""
        return self.scored[0].clear_by if self.scored else ""

    @property
    def ran(self) -> Mapping[str, str]:
        """What ran, by the first video that tells."""
        return next((result.ran for result in self.results if result.ran), {})

    @property
    def speed(self) -> Mapping[str, float]:
        """Frames, frames a second, share of the time outside of the tracker, and dropped frames.

        Reading and decoding count as outside of the tracker as far as it waited for them, scoring entirely.
        """
        told = [result.speed for result in self.results if "tracking_seconds" in result.speed]
        dropped = sum(result.speed.get("dropped", 0) for result in self.results)
        if not told:
            return {"dropped": dropped} if dropped else {}
        frames, seconds, tracking, scoring = (
            sum(speed[name] for speed in told)
            for name in ("frames", "seconds", "tracking_seconds", "scoring_seconds")
        )
        return {
            "frames": frames,
            "frames per second": (frames - dropped) / seconds if seconds else 0.0,
            "outside of the tracker": 1 - tracking / (seconds + scoring) if seconds else 0.0,
            "dropped": dropped,
        }


def write_run(run: Run, machine: Machine, created: str, command: str) -> None:
    """Write a run's figures beside its videos' files."""
    run.folder.mkdir(parents=True, exist_ok=True)
    summary = None if run.summary is None else asdict(run.summary)
    videos = [
        {"name": v.name, "frames": v.frames, "attributes": v.attributes, "figures": v.figures}
        for v in run.scored
    ]
    failed = [{"name": result.name, "error": result.error} for result in run.failed]
    _write_json(
        run.folder / "scores.json",
        {"schema": SCHEMA, "name": run.name, "matching": run.matching,
         "clear_by": run.clear_by, "summary": summary, "videos": videos,
         "failed": failed},
    )  # fmt: skip
    _write_json(
        run.folder / "run.json",
        {"schema": SCHEMA, "created": created, "command": command, "ran": run.ran, "speed": run.speed,
         "machine": asdict(machine)},
    )  # fmt: skip
    with (run.folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["video", "frames", "attributes", *run.meanings])
        for video in run.scored:
            figures = [plain(video.figures[name]) for name in run.meanings]
            table.writerow([video.name, video.frames, " ".join(video.attributes), *figures])


def write_submission(run: Run, form: Submission) -> None:
    """Write a tracker's results on many objects as a benchmark takes them, into the run's ``submission``."""
    (run.folder / "submission").mkdir(exist_ok=True)
    for result in run.results:
        if not result.error:
            name = f"{file_name(result.name)}.txt"
            objects = read_tracks(run.folder / "results" / name)
            write_tracks(run.folder / "submission" / name, objects, form=form)


def read_run(folder: Path) -> Run:
    """A run by its folder.

    Raises:
        SourceError: there is none; the message names what is missing.
    """
    path = folder / "scores.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError("another version of rstrack has written it; evaluate anew")
        names = [entry["name"] for entry in (*content["videos"], *content["failed"])]
        return Run(content["name"], folder, tuple(read_result(folder, name) for name in names))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder} is not the folder of an evaluated run: {error}") from error


def sorted_results(results: Sequence[VideoResult]) -> tuple[VideoResult, ...]:
    """In the order of their names, whatever the order in which they were done."""
    return tuple(sorted(results, key=lambda result: result.name))


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")
