"""Contenders over videos, all on the same frames; what was measured before is not measured again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from hsi_tracker_ros.benchmark.base import Contender, OneTargetTracker, Shown
from hsi_tracker_ros.benchmark.trackers import Lineup
from hsi_tracker_ros.cubes.decoder import decoder_of
from tracking_runtime.boxes import as_boxes
from tracking_runtime.datasets.result_files import write_boxes
from tracking_runtime.datasets.sequences import ImageSequence, Truths, VideoSequence
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.evaluation.job_planning import Video
from tracking_runtime.evaluation.jobs import (
    VideoResult,
    file_name,
    keep_result,
    kept_result,
    processes,
    read_result,
)
from tracking_runtime.evaluation.lost_and_found import lost_and_found
from tracking_runtime.evaluation.run import Run, sorted_results
from tracking_runtime.evaluation.video_scores import SCHEMA, score_video, target_boxes
from tracking_runtime.evaluation.worst_frame import picture_of_worst
from tracking_runtime.frames import Frame
from tracking_runtime.spectral_info import SpectralInfo


@dataclass(frozen=True)
class Job:
    """One video for everyone.

    Attributes:
        video: with its truth, under a name that no other of the benchmark has.
        lineup: who runs over it.
        folder: of the benchmark, with one of each contender in it.
    """

    video: Video
    lineup: Lineup
    folder: Path

    @property
    def waiting(self) -> list[Contender]:
        """The contenders that have not been measured on this video as they are now."""
        return [
            contender
            for contender in self.lineup.contenders()
            if kept_result(self.folder_of(contender), self.video.name, self.fingerprint(contender)) is None
        ]

    def folder_of(self, contender: Contender) -> Path:
        """Where a contender's results lie."""
        return self.folder / file_name(contender.name)

    def fingerprint(self, contender: Contender) -> str:
        """Changes with what the contender is made of, and with the video."""
        sequence = self.video.sequence
        seen: object = self.video.bag or sequence
        if isinstance(sequence, ImageSequence):
            seen = sequence.paths, sequence.spectral_info, sequence.attributes
        known = SCHEMA, repr(seen), repr(sorted(contender.ran.items()))
        return hashlib.sha256("\n".join(map(str, known)).encode()).hexdigest()


def run(
    videos: Sequence[Video], lineup: Lineup, folder: Path, *, jobs: int, on_video: Callable[[], None]
) -> list[Run]:
    """A run of each contender over all videos, the reference's first.

    Args:
        videos: whose names differ as names of files too.
        lineup: the contenders.
        folder: for a folder of each contender.
        jobs: processes.
        on_video: called after each video.

    Raises:
        ModelError: there is no such model.
        EngineError: no engine runs it.
    """
    work = [Job(video, lineup, folder) for video in videos]
    for _ in _done(work, jobs):
        on_video()
    return [
        Run(
            contender.name,
            folder / file_name(contender.name),
            sorted_results([read_result(folder / file_name(contender.name), video.name) for video in videos]),
        )
        for contender in lineup.contenders()
    ]


def _done(work: Sequence[Job], jobs: int) -> Iterator[None]:
    if jobs == 1:
        for job in work:
            measure(job)
            yield
        return
    with processes(jobs)() as pool:
        for future in as_completed([pool.submit(measure, job) for job in work]):
            future.result()
            yield


def measure(job: Job) -> None:
    """Run everyone who waits over one video, and keep what comes out, or why nothing does."""
    accounts = [_Account(contender, job) for contender in job.waiting]
    if not accounts:
        return
    try:
        frames = _follow(job.video.sequence, accounts)
        truth, attributes = job.video.sequence.truth, job.video.sequence.attributes
    except Exception as error:
        for account in accounts:
            account.fail(error)
        frames, truth, attributes = [], [], ()
    for account in accounts:
        keep_result(job.folder_of(account.contender), account.result(frames, truth, attributes))


@dataclass
class _Account:
    """What one contender did with a video so far."""

    contender: Contender
    job: Job
    boxes: list[np.ndarray] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    _tracker: OneTargetTracker | None = None

    def fail(self, error: Exception) -> None:
        """Whatever goes wrong with one contender stops no other."""
        self.error = f"{type(error).__name__}: {error}"

    def show(self, shown: Shown, start: np.ndarray | None) -> None:
        """The next frame, with the box to start from in the first."""
        if self.error:
            return
        try:
            if start is not None:
                self._tracker = self.contender.make(shown.camera)
                self._tracker.start(shown, start)
                self.boxes.append(start)
                self.lost.append(False)
            elif self._tracker is not None:
                began = time.perf_counter()
                answer = self._tracker.track(shown)
                self.seconds += time.perf_counter() - began
                self.boxes.append(answer.box)
                self.lost.append(answer.lost)
        except Exception as error:
            self.fail(error)

    def result(self, frames: list[Frame], truth: Truths, attributes: tuple[str, ...]) -> VideoResult:
        """What became of it, its files written."""
        name, fingerprint = self.job.video.name, self.job.fingerprint(self.contender)
        if not self.error:
            try:
                begun = VideoResult(name, fingerprint, ran=self.contender.ran)
                return self._scored(begun, frames, truth, attributes)
            except Exception as error:
                self.fail(error)
        return VideoResult(name, fingerprint, self.error, ran=self.contender.ran)

    def _scored(
        self, result: VideoResult, frames: list[Frame], truth: Truths, attributes: tuple[str, ...]
    ) -> VideoResult:
        name, folder = result.name, self.job.folder_of(self.contender)
        for part in ("results", "pictures"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        boxes = as_boxes(self.boxes)
        first = len(truth) - len(boxes)
        write_boxes(folder / "results" / f"{file_name(name)}.txt", boxes)
        scores = score_video(name, truth[first:], boxes, attributes=attributes)
        height, width = frames[0].image.shape[:2]
        known = lost_and_found(boxes, self.lost, target_boxes(truth[first:]), width=width, height=height)
        scores = replace(scores, details={**scores.details, "lost_and_found": asdict(known)})
        tracked = len(boxes) - 1
        times = {"seconds": self.seconds, "tracking_seconds": self.seconds, "scoring_seconds": 0.0}
        speed = {"frames": tracked, **times, "dropped": 0}
        result = replace(result, scores=scores, speed=speed)
        drawn = picture_of_worst(_InFalseColor(name, frames), truth[first:], boxes, scores, first)
        if drawn is None:
            return result
        path = folder / "pictures" / f"{file_name(name)}.jpg"
        path.write_bytes(drawn.jpeg)
        return replace(result, picture=f"pictures/{path.name}", caption=drawn.caption)


def _follow(video: VideoSequence, accounts: Sequence[_Account]) -> list[Frame]:
    """Show a video to everyone, frame by frame; its frames in false colour.

    Raises:
        SourceError: a frame cannot be read, or none has a box to start from.
    """
    decoder = decoder_of(video.spectral_info)
    frames: list[Frame] = []
    started = False
    for number, frame in enumerate(video, 1):
        try:
            pixels = decoder.decode(frame.image, frame.encoding)
        except FrameRefusedError as error:
            raise SourceError(f"frame {number}: {error}") from error
        shown = Shown(pixels, decoder.cube_camera, frame.stamp_ns)
        frames.append(Frame(frame.stamp_ns, shown.false_color, "bgr8", truth=frame.truth))
        there = frame.truth is not None and len(frame.truth.ids) > 0
        start = frame.truth.boxes[0] if frame.truth is not None and there and not started else None
        started = started or there
        for account in accounts:
            account.show(shown, start)
    if not started:
        raise SourceError("no frame has a true box to start from")
    return frames


@dataclass(frozen=True)
class _InFalseColor:
    """A video's frames as people look at them."""

    name: str
    frames: list[Frame]
    rate_hz: float = 0.0
    class_names: tuple[str, ...] = ()
    spectral_info: SpectralInfo | None = None
    truth: Truths = field(default_factory=list)
    attributes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)
