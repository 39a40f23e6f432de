"""Run of the trackers over the videos of the benchmark. Finished videos are not repeated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from hsi_tracker_ros.benchmark.base import (
    BenchmarkEntry,
    BenchmarkFrame,
    BenchmarkSuite,
    SingleTargetTracker,
)
from hsi_tracker_ros.benchmark.cube_videos import make_cube_videos
from hsi_tracker_ros.benchmark.rgb_trackers import RgbTrackerSuite
from hsi_tracker_ros.benchmark.speed import TrackerSpeed, measure_speed
from hsi_tracker_ros.benchmark.trackers import TrackerSuite
from hsi_tracker_ros.benchmark.videos import (
    SceneKind,
    add_found_attributes,
    add_recorded_videos,
    make_simulated_videos,
)
from hsi_tracker_ros.cubes.decoder import make_decoder
from hsi_tracker_ros.simulation.scene import BENCHMARK_SEEDS
from tracking_runtime.boxes import as_boxes
from tracking_runtime.datasets.result_files import write_boxes
from tracking_runtime.datasets.sequences import ImageSequence, Truths, VideoSequence
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.evaluation.executors import open_process_pool
from tracking_runtime.evaluation.job_planning import NamedVideo
from tracking_runtime.evaluation.lost_and_found import count_lost_and_found
from tracking_runtime.evaluation.one_pass import compute_frame_overlaps
from tracking_runtime.evaluation.reliability import Reliability, count_reliability
from tracking_runtime.evaluation.result_store import (
    VideoResult,
    find_finished_result,
    make_file_stem,
    read_result,
    write_result,
)
from tracking_runtime.evaluation.run import EvaluationRun, sort_results
from tracking_runtime.evaluation.video_scores import SCHEMA, VideoScores, find_target_boxes, score_video
from tracking_runtime.evaluation.worst_frame import draw_worst_frame
from tracking_runtime.frames import Frame
from tracking_runtime.spectral_info import SpectralInfo
from tracking_runtime.system_info import format_command_line


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of the benchmark.

    Attributes:
        output: folder of the report and of the results. Results in it are reused if nothing has changed.
        suite: trackers to compare.
        paths: data sets, sequences or bags to run over.
        num_simulated: number of simulated videos.
        first_seed: seed of the first simulated video.
        scenes: kind of the simulated scenes.
        photographs: folder of photographs of natural scenes; None: images of the dead leaves model.
        num_frames: number of frames of each simulated video and each video of a cube, and of the speed
            measurement.
        cubes: real cubes, or folders of them, to make videos from.
        num_cube_videos: number of videos of each cube and kind of target.
        num_processes: number of processes.
        measures_speed: True to measure the speed of HA-Net's tracker as well.
    """

    output: Path
    suite: TrackerSuite = field(default_factory=TrackerSuite)
    paths: tuple[Path, ...] = ()
    num_simulated: int = 36
    first_seed: int = BENCHMARK_SEEDS.start
    scenes: SceneKind = "natural"
    photographs: Path | None = None
    num_frames: int = 150
    cubes: tuple[Path, ...] = ()
    num_cube_videos: int = 2
    num_processes: int = 1
    measures_speed: bool = False


@dataclass(frozen=True)
class BenchmarkResult:
    """Results of the benchmark.

    Attributes:
        runs: one run per tracker over all videos. The first is HA-Net's, unless left out.
        speed: speed of HA-Net's tracker; None if not measured.
    """

    runs: list[EvaluationRun]
    speed: TrackerSpeed | None

    @property
    def failures(self) -> list[tuple[str, VideoResult]]:
        """Name of the tracker and result of each video that failed."""
        return [(run.name, result) for run in self.runs for result in run.failed_results]


@dataclass(frozen=True)
class BenchmarkJob:
    """One video for all trackers.

    Attributes:
        video: video with its ground truth and a name that is unique in the benchmark.
        suite: trackers to run.
        folder: folder of the benchmark, with a subfolder per tracker.
    """

    video: NamedVideo
    suite: BenchmarkSuite
    folder: Path

    def find_pending_entries(self) -> list[BenchmarkEntry]:
        """Return the trackers that have no current result for the video."""
        return [entry for entry in self.suite.select_entries() if not self._is_finished(entry)]

    def get_folder(self, entry: BenchmarkEntry) -> Path:
        """Return the folder of a tracker's results."""
        return self.folder / make_file_stem(entry.name)

    def compute_fingerprint(self, entry: BenchmarkEntry) -> str:
        """Return a hash that changes with the tracker's components and with the video."""
        sequence = self.video.sequence
        identity: object = self.video.bag_path or sequence
        if isinstance(sequence, ImageSequence):
            identity = sequence.image_paths, sequence.spectral_info, sequence.attributes
        parts = SCHEMA, repr(identity), repr(sorted(entry.components.items()))
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()

    def _is_finished(self, entry: BenchmarkEntry) -> bool:
        fingerprint = self.compute_fingerprint(entry)
        return find_finished_result(self.get_folder(entry), self.video.name, fingerprint) is not None


def benchmark(options: BenchmarkOptions, on_progress: Callable[[int, int], None]) -> BenchmarkResult:
    """Run the trackers over the videos and write the report.

    Args:
        options: videos, trackers and output folder.
        on_progress: called with the numbers of finished videos and of all videos.

    Raises:
        BenchmarkSettingsError: a seed is reserved for training, a tracker is unknown, two cubes have the same
            name, or photographs are given for procedural scenes.
        SourceError: a path contains no video, no cube, or no photograph.
        ModelError: a model does not exist or is of another kind.
        EngineError: no engine can run the model.
    """
    suite = options.suite
    simulated = make_simulated_videos(
        options.num_simulated,
        options.num_frames,
        first_seed=options.first_seed,
        scenes=options.scenes,
        photographs=options.photographs,
    )
    cube_videos = make_cube_videos(options.cubes, options.num_cube_videos, options.num_frames)
    videos = add_recorded_videos([*simulated, *cube_videos], options.paths)
    speed = measure_speed(suite.make_hanet_tracker, options.num_frames) if options.measures_speed else None
    return _run_and_report(options, videos, on_progress, speed=speed, name="hsi", title="HA-Net and others")


@dataclass(frozen=True)
class RgbBenchmarkOptions:
    """Options of the benchmark on color video.

    Attributes:
        output: folder of the report and of the results. Results in it are reused if nothing has changed.
        paths: data sets, sequences or bags.
        suite: trackers to compare.
        num_processes: number of processes.
    """

    output: Path
    paths: tuple[Path, ...]
    suite: RgbTrackerSuite = field(default_factory=RgbTrackerSuite)
    num_processes: int = 1


def benchmark_rgb(options: RgbBenchmarkOptions, on_progress: Callable[[int, int], None]) -> BenchmarkResult:
    """Run the trackers over color videos and write the report.

    Args:
        options: videos, trackers and output folder.
        on_progress: called with the numbers of finished videos and of all videos.

    Raises:
        BenchmarkSettingsError: a tracker is unknown.
        SourceError: a path contains no video.
        ModelError: a model does not exist or is of another kind.
        EngineError: no engine can run the model.
    """
    videos = add_found_attributes(add_recorded_videos([], options.paths))
    return _run_and_report(
        options, videos, on_progress, speed=None, name="rgb", title="Trackers on color video"
    )


def _run_and_report(
    options: BenchmarkOptions | RgbBenchmarkOptions,
    videos: Sequence[NamedVideo],
    on_progress: Callable[[int, int], None],
    *,
    speed: TrackerSpeed | None,
    name: str,
    title: str,
) -> BenchmarkResult:
    """Run the trackers over the videos, and write the report of this name and title."""
    from hsi_tracker_ros.benchmark.report import write_report

    runs = run_trackers(
        videos, options.suite, options.output, num_processes=options.num_processes, on_progress=on_progress
    )
    settings = {**asdict(options.suite), "videos": [video.name for video in videos]}
    write_report(options.output, runs, speed, settings, format_command_line(), name=name, title=title)
    return BenchmarkResult(runs, speed)


def run_trackers(
    videos: Sequence[NamedVideo],
    suite: BenchmarkSuite,
    folder: Path,
    *,
    num_processes: int,
    on_progress: Callable[[int, int], None],
) -> list[EvaluationRun]:
    """Run all trackers over all videos and return one run per tracker, the reference's first.

    Args:
        videos: videos with unique names.
        suite: trackers to run.
        folder: folder of the benchmark, for a subfolder per tracker.
        num_processes: number of processes.
        on_progress: called with the numbers of finished videos and of all videos.

    Raises:
        ModelError: a model does not exist or is of another kind.
        BenchmarkSettingsError: the suite names an unknown tracker.
    """
    jobs = [BenchmarkJob(video, suite, folder) for video in videos]
    on_progress(0, len(jobs))
    for num_finished, _ in enumerate(_run_jobs(jobs, num_processes), start=1):
        on_progress(num_finished, len(jobs))
    return [_read_run(entry, videos, folder) for entry in suite.select_entries()]


def run_job(job: BenchmarkJob) -> None:
    """Run all pending trackers over one video and write their results. Failures are part of the results."""
    entry_runs = [_EntryRun(entry, job) for entry in job.find_pending_entries()]
    if not entry_runs:
        return
    try:
        frames = _play_video(job.video.sequence, entry_runs)
        truth = job.video.sequence.truth
        attributes = job.video.sequence.attributes
    except Exception as error:
        for entry_run in entry_runs:
            entry_run.record_failure(error)
        frames, truth, attributes = [], [], ()
    for entry_run in entry_runs:
        write_result(job.get_folder(entry_run.entry), entry_run.make_result(frames, truth, attributes))


def _run_jobs(jobs: Sequence[BenchmarkJob], num_processes: int) -> Iterator[None]:
    """Run jobs in this process or in several, and yield after each."""
    if num_processes == 1:
        for job in jobs:
            run_job(job)
            yield
        return
    with open_process_pool(num_processes) as pool:
        for future in as_completed([pool.submit(run_job, job) for job in jobs]):
            future.result()
            yield


def _read_run(entry: BenchmarkEntry, videos: Sequence[NamedVideo], folder: Path) -> EvaluationRun:
    entry_folder = folder / make_file_stem(entry.name)
    results = [read_result(entry_folder, video.name) for video in videos]
    return EvaluationRun(entry.name, entry_folder, sort_results(results))


@dataclass
class _EntryRun:
    """Run of one tracker over one video.

    Attributes:
        entry: the tracker.
        job: the video.
        predicted_boxes: predicted boxes from the frame of the initialization on.
        lost_flags: True for each frame in which the tracker reported the target as lost.
        scores: probability of each box after the first; None if the tracker has no score.
        tracking_s: total time of tracking in seconds.
        error: message of the first failure; empty if none.
    """

    entry: BenchmarkEntry
    job: BenchmarkJob
    predicted_boxes: list[np.ndarray] = field(default_factory=list)
    lost_flags: list[bool] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    tracking_s: float = 0.0
    error: str = ""
    _tracker: SingleTargetTracker | None = None

    def record_failure(self, error: Exception) -> None:
        """Record an exception, so that other trackers and videos are still processed."""
        self.error = f"{type(error).__name__}: {error}"

    def process_frame(self, frame: BenchmarkFrame, initial_box: np.ndarray | None) -> None:
        """Process the next frame. Frames after a failure are ignored.

        Args:
            frame: frame of the video.
            initial_box: box of the target, in the frame of the initialization only.
        """
        if self.error:
            return
        try:
            if initial_box is not None:
                self._initialize(frame, initial_box)
            elif self._tracker is not None:
                self._track(frame, self._tracker)
        except Exception as error:
            self.record_failure(error)

    def make_result(self, frames: list[Frame], truth: Truths, attributes: tuple[str, ...]) -> VideoResult:
        """Score the predictions, write their files and return the result, or the failure.

        Args:
            frames: all frames of the video in false color.
            truth: ground truth of the frames.
            attributes: attributes of the video.
        """
        name = self.job.video.name
        result = VideoResult(
            name, self.job.compute_fingerprint(self.entry), self.error, tracker_info=self.entry.components
        )
        if self.error:
            return result
        try:
            return self._add_scores(result, frames, truth, attributes)
        except Exception as error:
            self.record_failure(error)
            return replace(result, error=self.error)

    def _initialize(self, frame: BenchmarkFrame, box: np.ndarray) -> None:
        self._tracker = self.entry.make_tracker(frame.spectral_info)
        self._tracker.initialize(frame, box)
        self.predicted_boxes.append(box)
        self.lost_flags.append(False)

    def _track(self, frame: BenchmarkFrame, tracker: SingleTargetTracker) -> None:
        start = time.perf_counter()
        prediction = tracker.track(frame)
        self.tracking_s += time.perf_counter() - start
        self.predicted_boxes.append(prediction.box)
        self.lost_flags.append(prediction.is_lost)
        self.scores.append(prediction.score)

    def _add_scores(
        self, result: VideoResult, frames: list[Frame], truth: Truths, attributes: tuple[str, ...]
    ) -> VideoResult:
        folder = self.job.get_folder(self.entry)
        file_stem = make_file_stem(result.name)
        for subfolder in ("results", "pictures"):
            (folder / subfolder).mkdir(parents=True, exist_ok=True)

        # Step 1: write the predicted boxes.
        boxes = as_boxes(self.predicted_boxes)
        write_boxes(folder / "results" / f"{file_stem}.txt", boxes)

        # Step 2: score the frames from the initialization on.
        first_index = len(truth) - len(boxes)
        scored_truth = truth[first_index:]
        height, width = frames[0].image.shape[:2]
        scores = self._score(result.name, boxes, scored_truth, attributes, (width, height))
        speed = {
            "frames": len(boxes) - 1,
            "seconds": self.tracking_s,
            "tracking_seconds": self.tracking_s,
            "scoring_seconds": 0.0,
            "dropped": 0,
        }
        result = replace(result, scores=scores, speed=speed)

        # Step 3: draw the frame with the worst prediction.
        video = _FalseColorVideo(result.name, frames)
        worst_frame = draw_worst_frame(video, scored_truth, boxes, scores, first_index)
        if worst_frame is None:
            return result
        path = folder / "pictures" / f"{file_stem}.jpg"
        path.write_bytes(worst_frame.jpeg)
        return replace(result, picture=f"pictures/{path.name}", caption=worst_frame.caption)

    def _score(
        self,
        name: str,
        boxes: np.ndarray,
        truth: Truths,
        attributes: tuple[str, ...],
        image_size: tuple[int, int],
    ) -> VideoScores:
        """Return the scores of a video, with its lost and found targets and the reliability of the scores.

        Args:
            name: name of the video.
            boxes: predicted boxes from the initialization on, (frames, 4).
            truth: ground truth of the same frames.
            attributes: attributes of the video.
            image_size: width and height of its frames in pixels.
        """
        scores = score_video(name, truth, boxes, attributes=attributes)
        width, height = image_size
        counts = count_lost_and_found(
            boxes, self.lost_flags, find_target_boxes(truth), width=width, height=height
        )
        details = {
            "lost_and_found": asdict(counts),
            "reliability": asdict(self._count_reliability(boxes, truth)),
        }
        return replace(scores, details={**scores.details, **details})

    def _count_reliability(self, boxes: np.ndarray, truth: Truths) -> Reliability:
        """Return the reliability of the scores; empty for a tracker without scores."""
        scores = [score for score in self.scores if score is not None]
        if len(scores) < len(self.scores):
            return Reliability()
        return count_reliability(scores, compute_frame_overlaps(boxes[1:], find_target_boxes(truth)[1:]))


def _play_video(video: VideoSequence, entry_runs: Sequence[_EntryRun]) -> list[Frame]:
    """Process a video with all trackers, frame by frame, and return its frames in false color.

    Raises:
        SourceError: a frame cannot be read, or no frame has a true box.
    """
    decoder = make_decoder(video.spectral_info)
    false_color_frames: list[Frame] = []
    is_initialized = False
    for number, frame in enumerate(video, start=1):
        try:
            cube = decoder.decode(frame.image, frame.encoding)
        except FrameRefusedError as error:
            raise SourceError(f"frame {number}: {error}") from error
        benchmark_frame = BenchmarkFrame(cube, decoder.cube_camera, frame.stamp_ns)
        false_color_frames.append(
            Frame(frame.stamp_ns, benchmark_frame.false_color, "bgr8", truth=frame.truth)
        )
        initial_box = None
        if not is_initialized and frame.truth is not None and len(frame.truth.ids):
            initial_box = frame.truth.boxes[0]
            is_initialized = True
        for entry_run in entry_runs:
            entry_run.process_frame(benchmark_frame, initial_box)
    if not is_initialized:
        raise SourceError(f"video {video.name} must have a true box in at least one frame: got none")
    return false_color_frames


@dataclass(frozen=True)
class _FalseColorVideo:
    """Video of frames in false color, for pictures."""

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
