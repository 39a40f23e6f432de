"""A tracker run over a video without ROS and without a clock: every frame, one after the other.

Trackers are offered under the entry point group ``remote_sensing_tracking.trackers``, as classes that are
opened with a model and an engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import ClassVar, Protocol

import numpy as np

from tracking_runtime.boxes import Boxes, as_boxes
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Start
from tracking_runtime.evaluation.multi_object import ScoredBoxes
from tracking_runtime.evaluation.video_scores import Answer
from tracking_runtime.frames import Frame
from tracking_runtime.io.disk_list import Spool
from tracking_runtime.io.prefetch import read_ahead

TRACKERS = "remote_sensing_tracking.trackers"

_READ_AHEAD = 4


class ReplayTracker(Protocol):
    """A tracker as a replay runs it: opened with a model, by name or path, and an engine.

    Attributes:
        default_model: name of the model to take where none is asked for.
        follows_one_target: whether it follows a target that it is shown, rather than everything that moves.
    """

    default_model: ClassVar[str]
    follows_one_target: ClassVar[bool]

    def __init__(self, model: str, engine: str) -> None:
        """Load the model. Raises ModelError."""

    @property
    def description(self) -> Mapping[str, str]:
        """What runs: model, sha256, engine."""

    def begin(self, video: VideoSequence) -> None:
        """Forget everything; frames of this video come next. Raises SourceError if it cannot take them."""

    def start(self, frame: Frame, box: Boxes) -> None:
        """Follow what a ``(1, 4)`` box holds in this frame; only asked of one that follows one target."""

    def track(self, frame: Frame) -> ScoredBoxes:
        """What it sees in the next frame: confirmed objects, or the one target, boxes in its pixels."""


@dataclass(frozen=True)
class Replayed:
    """How a replay went.

    Attributes:
        answer: for every frame of the video from the start on.
        first: index of that frame.
        seconds: from the first frame asked for to the last answer.
        tracking_seconds: of these, in the tracker.
        dropped: frames that came while the tracker was busy; 0 in lock step.
    """

    answer: Answer
    first: int
    seconds: float
    tracking_seconds: float
    dropped: int


def tracker_names() -> list[str]:
    """The trackers installed."""
    return sorted({point.name for point in entry_points(group=TRACKERS)})


def find_tracker(name: str) -> type[ReplayTracker]:
    """A tracker by its name.

    Raises:
        SourceError: there is no such tracker.
    """
    found = list(entry_points(group=TRACKERS, name=name))
    if not found:
        raise SourceError(f"no tracker named {name!r}; there: {', '.join(tracker_names()) or 'none'}")
    tracker: type[ReplayTracker] = found[0].load()
    return tracker


def replay(
    tracker: ReplayTracker, video: VideoSequence, *, start: Start = ONE_PASS, live: bool = False
) -> Replayed:
    """Run a tracker over a video.

    In lock step every frame is tracked. Live, by the frames' stamps and the time that each takes the tracker,
    a frame that comes while it is busy is pushed out by the next, as in a node's mailbox, and the answer is
    the last one given; nothing waits for that.

    Args:
        tracker: to run.
        video: to run it over.
        start: where, and with which box, a tracker of one target starts.
        live: whether frames are dropped as in real time.

    Raises:
        SourceError: a frame cannot be read, or there is no box to start with.
        FrameRefused: the tracker cannot use a frame.
        TargetRefused: the tracker cannot follow the box.
    """
    tracker.begin(video)
    runner = _Runner(tracker, start)
    began = time.perf_counter()
    frames: Iterator[Frame] = iter(read_ahead(video, _READ_AHEAD))
    due = in_real_time(frames, lambda: runner.last_seconds) if live else frames
    answers = Spool(runner.answer(frame) for frame in due)
    seconds = time.perf_counter() - began
    if tracker.follows_one_target and runner.first is None:
        raise SourceError(f"{video.name}: no frame has a true box to start from")
    first = runner.first or 0
    answer = answers[first:]
    return Replayed(
        _boxes(answer) if tracker.follows_one_target else answer,
        first,
        seconds,
        runner.tracking_seconds,
        runner.dropped,
    )


class _Runner:
    """Answers of a tracker to frames in their order."""

    def __init__(self, tracker: ReplayTracker, start: Start) -> None:
        self._tracker, self._start = tracker, start
        self._index = -1
        self._last = ScoredBoxes.none()
        self.first: int | None = None if tracker.follows_one_target else 0
        self.tracking_seconds = self.last_seconds = 0.0
        self.dropped = 0

    def answer(self, frame: Frame | None) -> ScoredBoxes:
        """The answer to a frame; the last one again for a frame that was dropped."""
        self._index += 1
        if frame is None:
            self.dropped += 1
            return self._last
        began = time.perf_counter()
        self._last = self._answered(frame)
        self.last_seconds = time.perf_counter() - began
        self.tracking_seconds += self.last_seconds
        return self._last

    def _answered(self, frame: Frame) -> ScoredBoxes:
        if self.first is not None:
            return self._tracker.track(frame)
        if self._index < self._start.frame or frame.truth is None or not len(frame.truth.ids):
            return ScoredBoxes.none()
        box = self._start.box(frame.truth.boxes[:1])
        self._tracker.start(frame, box)
        self.first = self._index
        return _one(box)


def in_real_time(frames: Iterable[Frame], last_seconds: Callable[[], float]) -> Iterator[Frame | None]:
    """The frames that a tracker would get in real time, and None for each that the next one pushes out.

    Args:
        frames: with stamps at which they come.
        last_seconds: how long the tracker took for the frame before, asked when the next one is due.
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


def _one(box: Boxes) -> ScoredBoxes:
    return ScoredBoxes(np.ones(1, np.int64), box, np.ones(1), np.zeros(1, np.int64))


def _boxes(answers: Sequence[ScoredBoxes]) -> Boxes:
    """``(frames, 4)`` of the one target, NaN where there is none."""
    return as_boxes([found.boxes[0] if len(found.boxes) else np.full(4, np.nan) for found in answers])
