"""Evaluation runs: `evaluate` runs them, `EvaluationRun` is their result, in memory and as files.

`scores.json` and `scores.csv` depend only on the input: the same input gives the same bytes. `run.json`
describes the tracker, the machine and the speed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path

from tracking_runtime.datasets.factory import Layout, open_dataset
from tracking_runtime.datasets.hot import HotView
from tracking_runtime.datasets.result_files import Submission, read_tracks, write_tracks
from tracking_runtime.errors import EvaluationError, SourceError
from tracking_runtime.evaluation.executors import OpenExecutor, open_dask_pool, open_process_pool, run_jobs
from tracking_runtime.evaluation.initializations import Robustness
from tracking_runtime.evaluation.job_planning import (
    NamedVideo,
    assign_unique_names,
    find_recorded_videos,
    make_jobs,
)
from tracking_runtime.evaluation.jobs import (
    Job,
    PredictionSource,
    RecordedTracks,
    ResultFiles,
    TrackerSource,
)
from tracking_runtime.evaluation.replay import find_tracker
from tracking_runtime.evaluation.result_store import VideoResult, make_file_stem, read_result
from tracking_runtime.evaluation.summary import Summary, summarize
from tracking_runtime.evaluation.video_scores import (
    MULTI_OBJECT_METRICS,
    SCHEMA,
    SINGLE_TARGET_METRICS,
    ClearBy,
    ScoringRules,
    VideoScores,
)
from tracking_runtime.io.ground_truth import GROUND_TRUTH_FILE_NAMES
from tracking_runtime.io.json_data import to_json_data
from tracking_runtime.io.table_reader import OnInvalidRow
from tracking_runtime.system_info import Machine, describe_machine, format_now
from tracking_runtime.untrusted.files import read_file

_MAX_NAMED_VIDEOS = 5  # videos that a message names


class OptionsError(EvaluationError):
    """Options of an evaluation that exclude each other."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `evaluate`.

    The predictions come from a tracker that is run over the videos (`tracker`), from published result files
    (`results`), or, without both, from the tracks recorded in bags.

    Attributes:
        places: recordings, folders of recordings, benchmarks in their original folders, COCO json files, or
            folders of ground-truth text files.
        tracker: name of the tracker to run, `hanet` or `spax`; empty for none.
        model: name or path of the tracker's model; empty: its default model.
        engine: engine that runs the model.
        profile: kind of camera, one of the tracker's profiles; empty: its default.
        live: True drops the frames that arrive while the tracker is busy; False tracks every frame.
        offline: True uses later frames (non-causal), as `rstrack track --offline`.
        robustness: initializations of a single-target tracker: once, 12 perturbed boxes (SRE) or 20 frames
            (TRE).
        results: path of published result files by the name of the run: a folder with a file for each video,
            or a single file.
        tracks_topic: topic of the tracks, if a bag has several.
        topic: topic of the images, if a bag has several.
        camera: camera of all videos, a name or a camera file; empty: as described beside the videos.
        white: path of the white reference of all videos; empty: none.
        dark: path of the dark reference of all videos; empty: none.
        layout: layout of the videos; `auto` detects it.
        view: camera of the HOT challenge.
        class_names: names of the classes that text files number from 1.
        on_invalid_row: `skip` leaves out invalid rows of ground truth and results. A frame with an invalid
            row of ground truth does not count.
        matching: rule of a match between a track and an object, a key of `MATCHINGS`.
        clear_by: library of the CLEAR and identity metrics.
        submission: format of a benchmark in which the tracker's results are written too; None for none.
        num_processes: number of processes. More evaluate more videos at the same time.
        dask_address: address of a Dask scheduler whose workers share this file system; empty: this machine.
        output: folder with a subfolder for each run. A run in this folder is resumed.
    """

    places: Sequence[str | Path]
    tracker: str = ""
    model: str = ""
    engine: str = "auto"
    profile: str = ""
    live: bool = False
    offline: bool = False
    robustness: Robustness = "one-pass"
    results: Mapping[str, str | Path] = field(default_factory=dict)
    tracks_topic: str = ""
    topic: str = ""
    camera: str = ""
    white: str = ""
    dark: str = ""
    layout: Layout = "auto"
    view: HotView = "mosaic"
    class_names: Sequence[str] = ()
    on_invalid_row: OnInvalidRow = "raise"
    matching: str = "iou0.3"
    clear_by: ClearBy = "trackeval"
    submission: Submission | None = None
    num_processes: int = 1
    dask_address: str = ""
    output: str | Path = "evaluation"

    def check(self) -> None:
        """Check that the options fit together.

        Raises:
            OptionsError: two options exclude each other.
            SourceError: the tracker is unknown.
        """
        if self.tracker and self.results:
            raise OptionsError("tracker and results exclude each other: give one of both")
        if self.profile and not self.tracker:
            raise OptionsError("profile needs a tracker: result files and recorded tracks stay as they are")
        if self.offline and not self.tracker:
            raise OptionsError("offline needs a tracker: result files and recorded tracks stay as they are")
        if self.offline and self.live:
            raise OptionsError("offline and live exclude each other: give one of both")
        tracker = find_tracker(self.tracker) if self.tracker else None
        if self.submission and (tracker is None or tracker.follows_one_target):
            raise OptionsError(
                "submission needs a tracker of many objects; for HOT, submit the files in results/ unchanged"
            )
        if self.robustness != "one-pass" and (tracker is None or not tracker.follows_one_target):
            raise OptionsError(f"robustness {self.robustness} needs a tracker that follows one target")


@dataclass(frozen=True)
class EvaluationProgress:
    """Progress of `evaluate`.

    Attributes:
        run_name: name of the run.
        num_finished: number of finished jobs of the run.
        num_jobs: number of jobs of the run.
        result: result of the job that has just finished; None at the start of a run.
    """

    run_name: str
    num_finished: int
    num_jobs: int
    result: VideoResult | None = None


@dataclass(frozen=True)
class EvaluationRun:
    """Results of one tracker, or of one set of result files, on all videos.

    Attributes:
        name: name of the run in legends and tables.
        folder: folder of the run's files.
        results: result of each video, sorted by name.
    """

    name: str
    folder: Path
    results: tuple[VideoResult, ...]

    @property
    def scored_videos(self) -> list[VideoScores]:
        """Scores of the evaluated videos, without the videos that failed."""
        return [
            result.scores for result in self.results if result.scores is not None and result.scores.details
        ]

    @property
    def failed_results(self) -> list[VideoResult]:
        """Results of the videos that failed."""
        return [result for result in self.results if result.error]

    @property
    def unscored_results(self) -> list[VideoResult]:
        """Results of the videos that did not fail, but have no frame that counts."""
        return [
            result
            for result in self.results
            if not result.error and (result.scores is None or not result.scores.details)
        ]

    @property
    def notes(self) -> list[str]:
        """Notes about the input of all videos, each once: rows left out, frames without an image."""
        unscored = [
            f"{result.name}: no frame counts, because none has known ground truth"
            for result in self.unscored_results
        ]
        return list(dict.fromkeys([*unscored, *(note for result in self.results for note in result.notes)]))

    @cached_property
    def summary(self) -> Summary | None:
        """Metrics of all videos together; None if no frame counts."""
        return summarize(self.scored_videos) if self.scored_videos else None

    @property
    def metric_descriptions(self) -> Mapping[str, str]:
        """Description of each metric by its name, in the order of reports."""
        is_single_target = self.summary is not None and "success" in self.summary.metrics
        return SINGLE_TARGET_METRICS if is_single_target else MULTI_OBJECT_METRICS

    @property
    def matching(self) -> str:
        """Rule of a match; empty for a single target."""
        return self.scored_videos[0].matching if self.scored_videos else ""

    @property
    def clear_by(self) -> str:
        """Library of the CLEAR and identity metrics; empty for a single target."""
        return self.scored_videos[0].clear_by if self.scored_videos else ""

    @property
    def tracker_info(self) -> Mapping[str, str]:
        """Description of the tracker, from the first video that has one."""
        return next((result.tracker_info for result in self.results if result.tracker_info), {})

    @property
    def speed(self) -> Mapping[str, float]:
        """Number of frames, frames per second, fraction of the time outside of the tracker, number of drops.

        Reading and decoding count as outside only while the tracker waits for them. Scoring counts fully.
        """
        speeds = [result.speed for result in self.results if "tracking_seconds" in result.speed]
        num_dropped = sum(result.speed.get("dropped", 0) for result in self.results)
        if not speeds:
            return {"dropped": num_dropped} if num_dropped else {}
        num_frames = sum(speed["frames"] for speed in speeds)
        seconds = sum(speed["seconds"] for speed in speeds)
        tracking_seconds = sum(speed["tracking_seconds"] for speed in speeds)
        scoring_seconds = sum(speed["scoring_seconds"] for speed in speeds)
        return {
            "frames": num_frames,
            "frames per second": (num_frames - num_dropped) / seconds if seconds else 0.0,
            "outside of the tracker": 1 - tracking_seconds / (seconds + scoring_seconds) if seconds else 0.0,
            "dropped": num_dropped,
        }


def evaluate(
    options: EvaluateOptions,
    *,
    on_progress: Callable[[EvaluationProgress], None] = lambda _: None,
    command: str = "",
) -> list[EvaluationRun]:
    """Score a tracker, published result files or recorded tracks on videos, and write the results.

    A video that fails is part of the run's `failed_results` and stops no other video. Finished videos of an
    earlier run in the same folder are not evaluated again.

    Example:
        `evaluate(EvaluateOptions(places=["recordings"], tracker="hanet"))`

    Args:
        options: videos, source of the predictions, and rules.
        on_progress: function that is called at the start of each run and after each job.
        command: command line for `run.json`.

    Returns:
        A run of the tracker, or of the recorded tracks, or of each entry of `options.results`.

    Raises:
        OptionsError: two options exclude each other.
        SourceError: videos, results or the tracker cannot be found.
        ModelError: the model cannot be read.
        EvaluationError: the videos of a run have no metrics in common.
    """
    options.check()
    rules = ScoringRules(options.matching, options.clear_by)
    sources = _make_sources(options)
    videos = _open_videos(options)
    runs = []
    for name, source in sources.items():
        jobs = make_jobs(videos, source, robustness=options.robustness, rules=rules)
        folder = Path(options.output) / make_file_stem(name)
        results = _run_jobs(name, jobs, folder, _choose_executor(options), on_progress)
        run = EvaluationRun(name, folder, sort_results(results))
        write_run(run, describe_machine(), format_now(), command)
        runs.append(run)
    if options.submission:
        write_submission(runs[0], options.submission)
    return runs


def _make_sources(options: EvaluateOptions) -> dict[str, PredictionSource]:
    """Return the source of the predictions of each run by the name of the run."""
    if options.tracker:
        source = TrackerSource.resolve(
            options.tracker,
            options.model,
            options.engine,
            live=options.live,
            offline=options.offline,
            profile=options.profile,
        )
        suffix = f" {options.profile}" if options.profile else ""
        suffix += " offline" if options.offline else ""
        return {f"{options.tracker} {Path(source.model).stem}{suffix}": source}
    if not options.results:
        return {"recorded tracks": RecordedTracks(options.tracks_topic)}
    paths = {name: Path(path) for name, path in options.results.items()}
    for path in paths.values():
        if not path.exists():
            raise SourceError(f"no results at {path}: check the path")
    return {name: ResultFiles(path, options.on_invalid_row) for name, path in paths.items()}


def _open_videos(options: EvaluateOptions) -> list[NamedVideo]:
    paths = [Path(place) for place in options.places]
    if not options.tracker and not options.results:
        return find_recorded_videos(paths, options.topic)
    return assign_unique_names(
        {
            path: open_dataset(
                path,
                layout=options.layout,
                view=options.view,
                class_names=options.class_names,
                on_invalid_row=options.on_invalid_row,
                topic=options.topic,
                camera=options.camera,
                white=options.white,
                dark=options.dark,
            )
            for path in paths
        }
    )


def _choose_executor(options: EvaluateOptions) -> OpenExecutor | None:
    if options.dask_address:
        return partial(open_dask_pool, options.dask_address)
    return partial(open_process_pool, options.num_processes) if options.num_processes > 1 else None


def _run_jobs(
    name: str,
    jobs: Sequence[Job],
    folder: Path,
    open_executor: OpenExecutor | None,
    on_progress: Callable[[EvaluationProgress], None],
) -> list[VideoResult]:
    on_progress(EvaluationProgress(name, 0, len(jobs)))
    results = []
    for result in run_jobs(jobs, folder, open_executor):
        results.append(result)
        on_progress(EvaluationProgress(name, len(results), len(jobs), result))
    return results


def sort_results(results: Sequence[VideoResult]) -> tuple[VideoResult, ...]:
    """Sort results by name, so that the order in which jobs finish does not matter."""
    return tuple(sorted(results, key=lambda result: result.name))


def write_run(run: EvaluationRun, machine: Machine, created: str, command: str) -> None:
    """Write `scores.json`, `run.json` and `scores.csv` of a run into its folder, which is created.

    Args:
        run: run.
        machine: machine on which the run was done.
        created: date and time.
        command: command line.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    videos = [
        {
            "name": video.name,
            "frames": video.num_frames,
            "attributes": video.attributes,
            "figures": video.metrics,
        }
        for video in run.scored_videos
    ]
    scores = {
        "schema": SCHEMA,
        "name": run.name,
        "matching": run.matching,
        "clear_by": run.clear_by,
        "summary": None if run.summary is None else run.summary.to_json(),
        "videos": videos,
        "failed": [{"name": result.name, "error": result.error} for result in run.failed_results],
        "notes": run.notes,
    }
    description = {
        "schema": SCHEMA,
        "created": created,
        "command": command,
        "ran": run.tracker_info,
        "speed": run.speed,
        "machine": asdict(machine),
    }
    _write_json(run.folder / "scores.json", scores)
    _write_json(run.folder / "run.json", description)
    _write_csv(run.folder / "scores.csv", run)


def write_submission(run: EvaluationRun, submission: Submission) -> None:
    """Write the result files of a tracker of many objects in the format of a benchmark.

    Args:
        run: run. The files are written into its subfolder `submission`.
        submission: format.
    """
    (run.folder / "submission").mkdir(exist_ok=True)
    for result in run.results:
        if not result.error:
            file_name = f"{make_file_stem(result.name)}.txt"
            objects = read_tracks(run.folder / "results" / file_name)
            write_tracks(run.folder / "submission" / file_name, objects, submission=submission)


def read_run(folder: Path) -> EvaluationRun:
    """Read a run from its folder.

    Raises:
        SourceError: the folder contains no run, or one of another version. The message names the missing
            file.
    """
    path = folder / "scores.json"
    try:
        content = json.loads(read_file(path))
        if content["schema"] != SCHEMA:
            raise ValueError("another version of rstrack has written it; run rstrack evaluate again")
        names = [entry["name"] for entry in (*content["videos"], *content["failed"])]
        run = EvaluationRun(content["name"], folder, tuple(read_result(folder, name) for name in names))
        _ = run.summary  # the scores of all videos fit together
    except OSError as error:
        raise SourceError(f"{folder} is not the folder of an evaluation run: {error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise SourceError(f"{folder} is damaged, or not the folder of an evaluation run: {reason}") from error
    return run


def check_scored(runs: Sequence[EvaluationRun]) -> None:
    """Check that each run scored something.

    Raises:
        EvaluationError: no video of a run has a frame that counts, or no object. The message says why.
    """
    for run in runs:
        if run.summary is None:
            names = ", ".join(result.name for result in run.results[:_MAX_NAMED_VIDEOS])
            more = ", …" if len(run.results) > _MAX_NAMED_VIDEOS else ""
            reasons = "; ".join([result.error for result in run.failed_results][:1]) or (
                "no frame has known ground truth; expected "
                f"{', '.join(GROUND_TRUTH_FILE_NAMES)} in or beside images, or NAME_gt.txt beside NAME.mp4"
            )
            raise EvaluationError(f"{run.name} scored nothing in {names or 'no video'}{more}: {reasons}")
        has_counts = all("counts" in video.details for video in run.scored_videos)
        if has_counts and not any(video.details["counts"]["objects"] for video in run.scored_videos):
            raise EvaluationError(f"{run.name} scored nothing: the ground truth contains no object")


def find_run_folder(folder: Path) -> Path:
    """Return the folder of the only run in an output folder.

    Return the folder itself if it is a run, or if it has no run or several; `read_run` then names the error.
    """
    runs = [path.parent for path in folder.glob("*/scores.json")]
    return runs[0] if len(runs) == 1 and not (folder / "scores.json").is_file() else folder


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(to_json_data(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _write_csv(path: Path, run: EvaluationRun) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["video", "frames", "attributes", *run.metric_descriptions])
        for video in run.scored_videos:
            metrics = [to_json_data(video.metrics[name]) for name in run.metric_descriptions]
            table.writerow([video.name, video.num_frames, " ".join(video.attributes), *metrics])
