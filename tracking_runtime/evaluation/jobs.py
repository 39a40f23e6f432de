"""Many videos evaluated by processes side by side; what is done is kept, so that a run can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tracking_runtime.datasets.result_files import (
    is_one_target,
    read_boxes,
    read_tracks,
    write_boxes,
    write_tracks,
)
from tracking_runtime.datasets.sequences import ImageSequence, Truths, TruthSequence, VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Start
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.evaluation.recorded_tracks import read_recorded
from tracking_runtime.evaluation.replay import ReplayTracker, find_tracker, replay
from tracking_runtime.evaluation.video_scores import (
    DEFAULT_RULES,
    SCHEMA,
    Answer,
    Rules,
    VideoScores,
    plain,
    score_video,
)
from tracking_runtime.evaluation.worst_frame import picture_of_worst
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.disk_list import padded
from tracking_runtime.io.table_reader import Malformed
from tracking_runtime.models.manifest import find_model, read_manifest

_THREADS = "OMP_NUM_THREADS"

MakePool = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True)
class TrackerChoice:
    """Answers come from running a tracker.

    Attributes:
        tracker: its name.
        model: name or path.
        engine: that runs the model.
        live: whether frames are dropped as in real time.
        weights_sha256: of the model, by which a run that is resumed knows it again.
    """

    tracker: str
    model: str
    engine: str = "auto"
    live: bool = False
    weights_sha256: str = ""

    @classmethod
    def of(cls, tracker: str, model: str = "", engine: str = "auto", *, live: bool = False) -> TrackerChoice:
        """A choice with the tracker's own model if none is asked for.

        Raises:
            SourceError: there is no such tracker.
            ModelError: there is no such model.
        """
        chosen = model or find_tracker(tracker).default_model
        sha256 = read_manifest(find_model(chosen)).weights_sha256
        return cls(tracker, chosen, engine, live, sha256)


@dataclass(frozen=True)
class ResultFiles:
    """Answers come from a folder, or a file, that somebody published."""

    path: Path
    malformed: Malformed = "raise"


@dataclass(frozen=True)
class RecordedTracks:
    """Answers come from the recording itself: tracks on a topic, which may be left out if there is one."""

    topic: str = ""


Answers = TrackerChoice | ResultFiles | RecordedTracks


@dataclass(frozen=True)
class Job:
    """One video to be evaluated, from one start.

    Attributes:
        video_name: that no other video of the run has.
        video: with its truth.
        answers: where the tracker's answers come from.
        start: of a tracker of one target.
        rules: by which many objects are scored.
        bag: the video's recording, if it is one.
        result: the video's published result, if there is one.
    """

    video_name: str
    video: VideoSequence
    answers: Answers
    start: Start = ONE_PASS
    rules: Rules = DEFAULT_RULES
    bag: Path | None = None
    result: Path | None = None

    @property
    def name(self) -> str:
        """Of the video and the start."""
        return f"{self.video_name}@{self.start.name}" if self.start.name else self.video_name

    @property
    def fingerprint(self) -> str:
        """Changes with everything that the figures depend on, as far as it is known before."""
        known = [SCHEMA, self.name, repr(self.answers), repr(self.start), repr(self.rules), _contents(self)]
        return hashlib.sha256("\n".join(map(str, known)).encode()).hexdigest()


@dataclass(frozen=True)
class VideoResult:
    """What became of a job.

    Attributes:
        name: of the job.
        fingerprint: of the job.
        error: why there are no figures; empty if there are.
        scores: of the video.
        speed: frames, seconds, tracking_seconds, scoring_seconds and dropped frames; empty if nothing ran.
        ran: what ran: model, sha256, engine.
        picture: file of the worst frame, in the run's folder; empty if there is none.
        caption: of the picture.
    """

    name: str
    fingerprint: str
    error: str = ""
    scores: VideoScores | None = None
    speed: Mapping[str, float] = field(default_factory=dict)
    ran: Mapping[str, str] = field(default_factory=dict)
    picture: str = ""
    caption: str = ""


def run_jobs(jobs: Sequence[Job], folder: Path, pool: MakePool | None = None) -> Iterator[VideoResult]:
    """Evaluate videos, each answered as soon as it is done; those done before are not done again.

    Args:
        jobs: with different names.
        folder: of the run, for ``videos/NAME.json``, ``results/NAME.txt`` and ``pictures/NAME.jpg``.
        pool: makes what runs the jobs; None: this process, one after the other.
    """
    for part in ("videos", "results", "pictures"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    waiting = []
    for job in jobs:
        done = kept_result(folder, job.name, job.fingerprint)
        if done is None:
            waiting.append(job)
        else:
            yield done
    if pool is None:
        yield from (evaluate_video(job, folder) for job in waiting)
    else:
        yield from _side_by_side(waiting, folder, pool)


def processes(count: int) -> MakePool:
    """Makes a pool of processes on this machine, each with fresh libraries and its share of the cores."""
    return partial(_processes, count)


@contextmanager
def _processes(count: int) -> Iterator[Executor]:
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = before or str(max((os.cpu_count() or 1) // count, 1))
    try:
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        if before is None:
            del os.environ[_THREADS]


def on_fleet(address: str) -> MakePool:
    """Makes a pool of the workers of a Dask scheduler, which share this machine's file system.

    Making it raises SourceError where Dask is not installed, or nothing answers at the address.
    """
    return partial(_fleet, address)


@contextmanager
def _fleet(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise SourceError("a fleet needs Dask: pip install 'remote_sensing_tracking[fleet]'") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise SourceError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        yield client.get_executor(pure=False)


def evaluate_video(job: Job, folder: Path) -> VideoResult:
    """Evaluate one video; whatever goes wrong with it is in the result, and nothing read of it is kept."""
    try:
        result = _evaluated(replace(job, video=copy(job.video)), folder)
    except Exception as error:
        result = VideoResult(job.name, job.fingerprint, f"{type(error).__name__}: {error}")
    keep_result(folder, result)
    return result


def file_name(job_name: str) -> str:
    """A job's name as the stem of a file."""
    return re.sub(r"[^\w.@+-]+", "_", job_name)


def _side_by_side(jobs: Sequence[Job], folder: Path, make_pool: MakePool) -> Iterator[VideoResult]:
    """Jobs in several processes; those that were under way when a process died are done again, one by one."""
    lost: list[Job] = []
    with make_pool() as pool:
        futures: dict[Future[VideoResult], Job] = {
            pool.submit(evaluate_video, job, folder): job for job in jobs
        }
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
            except Exception as error:
                job = futures[future]
                yield VideoResult(job.name, job.fingerprint, f"{type(error).__name__}: {error}")
    for job in lost:
        with processes(1)() as pool:
            try:
                yield pool.submit(evaluate_video, job, folder).result()
            except BrokenProcessPool:
                yield VideoResult(job.name, job.fingerprint, "its process died; is there enough memory?")


@dataclass(frozen=True)
class _Answered:
    """An answer with the truth of its frames, of which the first is the video's frame ``first``."""

    answer: Answer
    truth: Truths
    first: int = 0
    speed: Mapping[str, float] = field(default_factory=dict)
    ran: Mapping[str, str] = field(default_factory=dict)


def _evaluated(job: Job, folder: Path) -> VideoResult:
    if isinstance(job.answers, TrackerChoice):
        answered = _tracked(job, job.answers, folder)
    elif isinstance(job.answers, ResultFiles):
        answered = _published(job, job.answers)
    else:
        answered = _recorded(job, job.answers)
    began = time.perf_counter()
    scores = score_video(
        job.name,
        answered.truth,
        answered.answer,
        attributes=job.video.attributes,
        class_names=job.video.class_names,
        rules=job.rules,
    )
    speed = {**answered.speed, "scoring_seconds": time.perf_counter() - began} if answered.speed else {}
    result = VideoResult(job.name, job.fingerprint, "", scores, speed, answered.ran)
    drawn = picture_of_worst(job.video, answered.truth, answered.answer, scores, answered.first)
    if drawn is None:
        return result
    path = folder / "pictures" / f"{file_name(job.name)}.jpg"
    path.write_bytes(drawn.jpeg)
    return replace(result, picture=f"pictures/{path.name}", caption=drawn.caption)


def _tracked(job: Job, choice: TrackerChoice, folder: Path) -> _Answered:
    """Run a tracker, and write its answer as a result file."""
    truth = job.video.truth
    tracker = _tracker(replace(choice, live=False))
    replayed = replay(tracker, job.video, start=job.start, live=choice.live)
    path = folder / "results" / f"{file_name(job.name)}.txt"
    if isinstance(replayed.answer, np.ndarray):
        write_boxes(path, replayed.answer)
    else:
        write_tracks(path, replayed.answer, first=replayed.first + 1)
    speed = {
        "frames": len(replayed.answer),
        "seconds": replayed.seconds,
        "tracking_seconds": replayed.tracking_seconds,
        "dropped": replayed.dropped,
    }
    return _Answered(
        replayed.answer, truth[replayed.first :], replayed.first, speed, dict(tracker.description)
    )


def _published(job: Job, answers: ResultFiles) -> _Answered:
    """A video's answer as it was published."""
    video, path = job.video, job.result
    if path is None:
        raise SourceError(f"no result of {job.name} in {answers.path}")
    ran = {"results": str(answers.path)}
    if is_one_target(path):
        boxes = read_boxes(path, len(video), malformed=answers.malformed)
        return _Answered(boxes, video.truth, ran=ran)
    frames = None if isinstance(video, TruthSequence) else len(video)
    objects = read_tracks(path, frames, malformed=answers.malformed)
    last = max(len(video), len(objects))
    answer, truth = padded(objects, last, ScoredBoxes.none()), padded(video.truth, last, GroundTruth())
    return _Answered(answer, truth, ran=ran)


def _recorded(job: Job, answers: RecordedTracks) -> _Answered:
    if job.bag is None:
        raise SourceError(f"{job.name} is no recording: choose a tracker, or result files")
    found = read_recorded(job.bag, topic=answers.topic)
    speed = {"frames": len(found.truth), "dropped": found.unanswered}
    return _Answered(found.answer, found.truth, 0, speed, {"tracks": found.topic})


@lru_cache(maxsize=1)
def _tracker(choice: TrackerChoice) -> ReplayTracker:
    return find_tracker(choice.tracker)(choice.model, choice.engine)


def keep_result(folder: Path, result: VideoResult) -> None:
    """Write what became of a job into its run's folder."""
    content = plain(asdict(result))
    content["scores"] = result.scores.as_json() if result.scores else None
    path = _record_path(folder, result.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(path)


def read_result(folder: Path, name: str) -> VideoResult:
    """What became of a job, as it was kept.

    Raises:
        OSError: it was not.
        ValueError: the file is not that.
    """
    content: dict[str, Any] = json.loads(_record_path(folder, name).read_text(encoding="utf-8"))
    scores = content["scores"] and VideoScores.from_json(content["scores"])
    return VideoResult(**{**content, "scores": scores})


def kept_result(folder: Path, name: str, fingerprint: str) -> VideoResult | None:
    """What became of a job when it was done before; None if it was not, failed, or was another then."""
    try:
        kept = read_result(folder, name)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if kept.fingerprint == fingerprint and not kept.error else None


def _record_path(folder: Path, name: str) -> Path:
    return folder / "videos" / f"{file_name(name)}.json"


def _contents(job: Job) -> str:
    """What the answers are made from, by size and time of its files."""
    if job.result is not None:
        return f"{job.result} {job.result.stat().st_mtime_ns}"
    if isinstance(job.video, ImageSequence):
        return repr([str(path) for path in job.video.paths])
    return repr(job.bag)
