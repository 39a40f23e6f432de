"""Replay: a tracker run over a video without ROS and without a clock, every frame in order.

Trackers are plug-ins of the entry-point group `remote_sensing_tracking.trackers`: classes that are opened
with a model and an engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Initialization
from tracking_runtime.evaluation.video_scores import Prediction
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.disk_list import DiskList
from tracking_runtime.io.prefetch import prefetch
from tracking_runtime.plugins import TRACKERS, find_plugins, load_plugin

_PREFETCH_FRAMES = 4


class ReplayTracker(Protocol):
    """A tracker for replay.

    Attributes:
        default_model: name of the model if the user chooses none.
        follows_one_target: True for a tracker of one given target, False for a tracker of everything that
            moves.

    A tracker may have the property `class_names`: the name of each class id of its boxes. A tracker of
    everything that moves may have the method `track_candidates`, which is as `track`, but also returns the
    objects with the states `tentative` and `coasting`. A tracker with settings for kinds of cameras has the
    class attribute `profiles`, their names, and takes one as the keyword argument `profile`.
    """

    default_model: ClassVar[str]
    follows_one_target: ClassVar[bool]

    def __init__(self, model: str, engine: str) -> None:
        """Load the model.

        Args:
            model: name or path of the model.
            engine: engine that runs the model.

        Raises:
            ModelError: the model cannot be loaded.
        """

    @property
    def description(self) -> Mapping[str, str]:
        """Model, sha256 of its weights, and engine."""

    def start_video(self, video: FrameSource) -> None:
        """Reset the tracker for the frames of a video. Raise SourceError if they cannot be tracked."""

    def initialize(self, frame: Frame, box: Boxes) -> None:
        """Set the target to a box, (1, 4), of a frame. Called only if `follows_one_target`.

        `rstrack track` calls it once for each target of its first frame. Their ids count from 1.
        """

    def track(self, frame: Frame) -> ScoredBoxes:
        """Return the confirmed objects of the next frame, or the target. Boxes are in pixels of the frame."""


@dataclass(frozen=True)
class ReplayResult:
    """Predictions and timing of a replay.

    Attributes:
        prediction: prediction for every frame from the first frame.
        first_frame: index of that frame in the video.
        seconds: time from the request of the first frame to the last prediction.
        tracking_seconds: part of this time inside of the tracker.
        num_dropped: number of frames that arrived while the tracker was busy; 0 in lock step.
    """

    prediction: Prediction
    first_frame: int
    seconds: float
    tracking_seconds: float
    num_dropped: int


def list_trackers() -> list[str]:
    """Return the names of the installed trackers."""
    return list(find_plugins(TRACKERS))


def find_tracker(name: str) -> type[ReplayTracker]:
    """Load a tracker by its name.

    Raises:
        SourceError: the tracker is unknown. The message lists the installed ones.
    """
    try:
        tracker: type[ReplayTracker] = load_plugin(TRACKERS, name)
    except LookupError as error:
        raise SourceError(error.args[0]) from error
    return tracker


def make_tracker(
    tracker_class: type[ReplayTracker], model: str = "", engine: str = "auto", profile: str = ""
) -> ReplayTracker:
    """Make a tracker.

    Args:
        tracker_class: class of the tracker.
        model: name or path of the model; empty: the tracker's default model.
        engine: engine that runs the model.
        profile: kind of camera, one of the tracker's `profiles`; empty: the tracker's default.

    Raises:
        SourceError: the tracker has no such profile.
        ModelError: the model cannot be loaded.
    """
    options = {}
    if profile:
        profiles: Sequence[str] = getattr(tracker_class, "profiles", ())
        if profile not in profiles:
            choices = f"one of {', '.join(profiles)}" if profiles else "omitted, the tracker has none"
            raise SourceError(f"--profile must be {choices}: got {profile!r}")
        options["profile"] = profile
    return tracker_class(model or tracker_class.default_model, engine, **options)


def replay(
    tracker: ReplayTracker,
    video: VideoSequence,
    *,
    initialization: Initialization = ONE_PASS,
    live: bool = False,
) -> ReplayResult:
    """Run a tracker over a video.

    In lock step, every frame is tracked. In live mode, a frame that arrives while the tracker is busy is
    replaced by the next, as in a node's mailbox. Arrival follows from the stamps and the tracker's time per
    frame; the replay does not sleep. The prediction of a dropped frame is the last one.

    Args:
        tracker: tracker.
        video: video.
        initialization: first frame and first box of a tracker of one target.
        live: True for live mode, False for lock step.

    Raises:
        SourceError: a frame cannot be read, or no frame has a first box.
        FrameRefusedError: the tracker cannot use a frame.
        TargetRefusedError: the tracker cannot track the first box.
    """
    tracker.start_video(video)
    stepper = _TrackerStepper(tracker, initialization)
    start = time.perf_counter()
    frames: Iterator[Frame] = iter(prefetch(video, _PREFETCH_FRAMES))
    received = simulate_real_time(frames, lambda: stepper.last_seconds) if live else frames
    predictions = DiskList(stepper.step(frame) for frame in received)
    seconds = time.perf_counter() - start
    if tracker.follows_one_target and stepper.first_frame is None:
        raise SourceError(f"{video.name}: no frame has a true box to start from")
    first_frame = stepper.first_frame or 0
    prediction = predictions[first_frame:]
    return ReplayResult(
        extract_boxes(prediction) if tracker.follows_one_target else prediction,
        first_frame,
        seconds,
        stepper.tracking_seconds,
        stepper.num_dropped,
    )


class _TrackerStepper:
    """Steps of a tracker through the frames of a video.

    Args:
        tracker: tracker.
        initialization: first frame and first box of a tracker of one target.

    Attributes:
        first_frame: index of the first frame with a prediction; None before the target is set.
        tracking_seconds: time inside of the tracker so far.
        last_seconds: time of the last tracked frame.
        num_dropped: number of dropped frames so far.
    """

    def __init__(self, tracker: ReplayTracker, initialization: Initialization) -> None:
        self._tracker = tracker
        self._initialization = initialization
        self._index = -1
        self._last_prediction = ScoredBoxes.none()
        self.first_frame: int | None = None if tracker.follows_one_target else 0
        self.tracking_seconds = 0.0
        self.last_seconds = 0.0
        self.num_dropped = 0

    def step(self, frame: Frame | None) -> ScoredBoxes:
        """Track the next frame. Return the last prediction again for a dropped frame (None)."""
        self._index += 1
        if frame is None:
            self.num_dropped += 1
            return self._last_prediction
        start = time.perf_counter()
        self._last_prediction = self._track(frame)
        self.last_seconds = time.perf_counter() - start
        self.tracking_seconds += self.last_seconds
        return self._last_prediction

    def _track(self, frame: Frame) -> ScoredBoxes:
        if self.first_frame is not None:
            return self._tracker.track(frame)
        if self._index < self._initialization.frame or frame.truth is None or not len(frame.truth.ids):
            return ScoredBoxes.none()
        box = self._initialization.perturb_box(frame.truth.boxes[:1])
        self._tracker.initialize(frame, box)
        self.first_frame = self._index
        return ScoredBoxes(np.ones(1, np.int64), box, np.ones(1), np.zeros(1, np.int64))


def simulate_real_time(frames: Iterable[Frame], last_seconds: Callable[[], float]) -> Iterator[Frame | None]:
    """Yield the frames that a tracker receives in real time, and None for each dropped frame.

    Args:
        frames: frames, with their times of arrival as stamps.
        last_seconds: function that returns the tracker's time for the last yielded frame.
    """
    free_at_ns = 0
    waiting: Frame | None = None
    for frame in frames:
        if waiting is not None and free_at_ns <= frame.stamp_ns:
            yield waiting
            free_at_ns = max(free_at_ns, waiting.stamp_ns) + round(last_seconds() * 1e9)
            waiting = None
        if waiting is not None:
            yield None
        waiting = frame
    if waiting is not None:
        yield waiting


def extract_boxes(predictions: Sequence[ScoredBoxes]) -> Boxes:
    """Return the target's boxes, (frames, 4); NaN without a box."""
    return as_boxes(
        [objects.boxes[0] if len(objects.boxes) else np.full(4, np.nan) for objects in predictions]
    )
