"""Offline replay: a tracker over a whole recording, with the use of later frames (non-causal).

A tracker of all moving objects runs once, and its tracks are corrected. A tracker of given targets runs
forward. Where it has lost a target and found it again, it also runs backward from there, over the frames in
between, and the passes are merged.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import ClassVar

import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import FrameRefusedError, SourceError
from tracking_runtime.evaluation.initializations import ONE_PASS, Initialization
from tracking_runtime.evaluation.replay import ReplayResult, ReplayTracker, extract_boxes
from tracking_runtime.frames import Frame, FrameSource
from tracking_runtime.io.disk_list import DiskList
from tracking_runtime.io.notes import add_note
from tracking_runtime.io.prefetch import prefetch
from tracking_runtime.offline.passes import TargetPass, merge_passes
from tracking_runtime.offline.tracks import correct_tracks

OFFLINE_NOTE = "offline: the tracks of a frame use later frames (non-causal)"

_PREFETCH_FRAMES = 4
_LOST, _TRACKING = "lost", "tracking"  # states of a target
_MAX_BUFFER_BYTES = 512 << 20  # frames kept for a pass backward; older ones are dropped
_MIN_OVERLAP_FRAMES = 5  # frames before the loss that both passes cover


@dataclass
class OfflineTracks:
    """Tracks of all frames.

    Attributes:
        objects: objects of each frame, from the frame in which the targets were set.
        refusals: message of each frame that the tracker could not use, by index.
        num_merged: number of passes backward that were merged.
    """

    objects: Sequence[ScoredBoxes] = ()
    refusals: dict[int, str] = field(default_factory=dict)
    num_merged: int = 0


class PrecomputedTracker:
    """A `ReplayTracker` that returns tracks that are known already, frame by frame.

    Args:
        tracks: tracks of the frames to come.
        tracker: tracker that made the tracks.
    """

    default_model: ClassVar[str] = ""
    follows_one_target: ClassVar[bool] = False

    def __init__(self, tracks: OfflineTracks, tracker: ReplayTracker) -> None:
        self._tracks = tracks
        self._index = 0
        self.description: Mapping[str, str] = tracker.description
        self.class_names: tuple[str, ...] = tuple(getattr(tracker, "class_names", ()))

    def start_video(self, video: FrameSource) -> None:
        """Begin with the first frame."""
        self._index = 0

    def initialize(self, frame: Frame, box: Boxes) -> None:
        """Take the first frame as known: its boxes are those of the user."""
        self._index = 1

    def track(self, frame: Frame) -> ScoredBoxes:
        """Return the tracks of the next frame. Raise FrameRefusedError if the tracker could not use it."""
        index = self._index
        self._index += 1
        if index in self._tracks.refusals:
            raise FrameRefusedError(self._tracks.refusals[index])
        return self._tracks.objects[index]


def track_all_objects(
    tracker: ReplayTracker,
    frames: Iterable[Frame],
    on_frame: Callable[[], None] = lambda: None,
) -> OfflineTracks:
    """Run a tracker of all moving objects over frames, and correct its tracks.

    Args:
        tracker: tracker, after `start_video`.
        frames: frames.
        on_frame: function called after each frame.

    Raises:
        FrameRefusedError: the tracker cannot use the first frame.
        SourceError: a frame cannot be read.
    """
    track = getattr(tracker, "track_candidates", tracker.track)
    result = OfflineTracks()
    objects: DiskList[ScoredBoxes] = DiskList()
    for index, frame in enumerate(frames):
        try:
            objects.append(track(frame))
        except FrameRefusedError as error:
            if index == 0:
                raise
            result.refusals[index] = str(error)
            objects.append(ScoredBoxes.none())
        on_frame()
    result.objects = correct_tracks(objects)
    return result


def track_targets(
    tracker: ReplayTracker,
    open_tracker: Callable[[], ReplayTracker],
    frames: Iterable[Frame],
    boxes: Boxes,
    video: FrameSource,
    on_frame: Callable[[], None] = lambda: None,
) -> OfflineTracks:
    """Run a tracker of given targets forward, and backward over the frames before a target was found again.

    Args:
        tracker: tracker of the pass forward, after `start_video`.
        open_tracker: factory of a tracker for passes backward; called at most once.
        frames: frames; the targets are set in the first.
        boxes: box of each target in the first frame, (n, 4).
        video: source of the frames, for the tracker of the passes backward.
        on_frame: function called after each frame.

    Raises:
        TargetRefusedError: the tracker cannot track a box.
        SourceError: a frame cannot be read.
    """
    passes = _BackwardPasses(open_tracker, video)
    result = OfflineTracks()
    objects: list[ScoredBoxes] = []
    buffer = _FrameBuffer()
    for index, frame in enumerate(frames):
        try:
            if index == 0:
                objects.append(_set_targets(tracker, frame, boxes))
            else:
                objects.append(tracker.track(frame))
        except FrameRefusedError as error:
            if index == 0:
                raise
            result.refusals[index] = str(error)
            objects.append(objects[-1])
            continue
        buffer.append(index, frame)
        for target in range(len(boxes)):
            lost = _find_last_loss(objects, target)
            if lost is not None:
                result.num_merged += passes.merge(objects, target, lost, buffer)
        if all(_get_state(objects[-1], target) == _TRACKING for target in range(len(boxes))):
            buffer.shorten(_MIN_OVERLAP_FRAMES)
        on_frame()
    result.objects = objects
    return result


class _FrameBuffer:
    """The newest frames, up to a number of bytes."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, Frame]] = deque()
        self._num_bytes = 0

    def append(self, index: int, frame: Frame) -> None:
        self._frames.append((index, frame))
        self._num_bytes += frame.image.nbytes
        while self._num_bytes > _MAX_BUFFER_BYTES and len(self._frames) > 1:
            self._drop_oldest()

    def shorten(self, num_frames: int) -> None:
        while len(self._frames) > num_frames:
            self._drop_oldest()

    def iterate_backward(self, last_index: int) -> Iterator[tuple[int, Frame]]:
        """Yield the frames from the newest back to an index, or to the oldest frame."""
        for index, frame in reversed(self._frames):
            if index < last_index:
                return
            yield index, frame

    def _drop_oldest(self) -> None:
        _, frame = self._frames.popleft()
        self._num_bytes -= frame.image.nbytes


class _BackwardPasses:
    """Passes backward with a second tracker.

    Args:
        open_tracker: factory of the tracker.
        video: source of the frames.
    """

    def __init__(self, open_tracker: Callable[[], ReplayTracker], video: FrameSource) -> None:
        self._open_tracker = open_tracker
        self._video = video
        self._tracker: ReplayTracker | None = None

    def merge(self, objects: list[ScoredBoxes], target: int, first_lost: int, buffer: _FrameBuffer) -> bool:
        """Run backward from the newest frame to some frames before the loss, and merge both passes.

        Args:
            objects: targets of each frame so far; the frames of the pass are replaced.
            target: row of the target.
            first_lost: index of the first frame of the loss.
            buffer: the newest frames.

        Returns:
            True if any frame was merged.
        """
        tracker = self._tracker = self._tracker or self._open_tracker()
        tracker.start_video(self._video)
        states: list[tuple[int, ScoredBoxes]] = []
        first = max(first_lost - _MIN_OVERLAP_FRAMES, 1)
        for position, (index, frame) in enumerate(buffer.iterate_backward(first)):
            if position == 0:
                tracker.initialize(frame, objects[-1].boxes[target][None])
                continue
            try:
                states.append((index, tracker.track(frame)))
            except FrameRefusedError:
                break
        if not states:
            return False
        states.reverse()
        indices = [index for index, _ in states]
        merged = merge_passes(
            _make_pass([objects[index] for index in indices], target),
            _make_pass([state for _, state in states], 0),
        )
        for row, index in enumerate(indices):
            objects[index] = _replace_target(objects[index], target, merged, row)
        return True


def _set_targets(tracker: ReplayTracker, frame: Frame, boxes: Boxes) -> ScoredBoxes:
    for box in boxes:
        tracker.initialize(frame, box[None])
    count = len(boxes)
    ids = np.arange(1, count + 1)
    return ScoredBoxes(ids, as_boxes(boxes), np.ones(count), np.zeros(count, np.int64), (_TRACKING,) * count)


def _get_state(objects: ScoredBoxes, target: int) -> str:
    return objects.states[target] if objects.states else _TRACKING


def _find_last_loss(objects: Sequence[ScoredBoxes], target: int) -> int | None:
    """Return the first frame of the loss that ends with the newest frame; None if the target was in view."""
    if len(objects) < 3 or _get_state(objects[-1], target) != _TRACKING:
        return None
    index = len(objects) - 2
    was_lost = False
    while index > 0 and _get_state(objects[index], target) != _TRACKING:
        was_lost |= _get_state(objects[index], target) == _LOST
        index -= 1
    return index + 1 if was_lost else None


def _make_pass(objects: Sequence[ScoredBoxes], target: int) -> TargetPass:
    return TargetPass(
        as_boxes([each.boxes[target] for each in objects]),
        np.array([each.scores[target] for each in objects], np.float64),
        np.array([_get_state(each, target) == _LOST for each in objects], bool),
    )


def _replace_target(objects: ScoredBoxes, target: int, merged: TargetPass, row: int) -> ScoredBoxes:
    """Return the targets of a frame with one of them as in a row of a merged pass."""
    boxes, scores = objects.boxes.copy(), objects.scores.copy()
    boxes[target], scores[target] = merged.boxes[row], merged.scores[row]
    states = list(objects.states or (_TRACKING,) * len(objects.ids))
    if merged.is_lost[row]:
        states[target] = _LOST
    elif states[target] == _LOST:
        states[target] = _TRACKING
    return replace(objects, boxes=boxes, scores=scores, states=tuple(states))


def replay_offline(
    tracker: ReplayTracker,
    open_tracker: Callable[[], ReplayTracker],
    video: VideoSequence,
    *,
    initialization: Initialization = ONE_PASS,
) -> ReplayResult:
    """Run a tracker over a video with the use of later frames.

    Args:
        tracker: tracker.
        open_tracker: factory of a second tracker, for passes backward.
        video: video.
        initialization: first frame and first box of a tracker of one target.

    Raises:
        SourceError: a frame cannot be read, or no frame has a first box.
        FrameRefusedError: the tracker cannot use a frame.
        TargetRefusedError: the tracker cannot track the first box.
    """
    tracker.start_video(video)
    start = time.perf_counter()
    frames = iter(prefetch(video, _PREFETCH_FRAMES))
    first_frame = 0
    if tracker.follows_one_target:
        first_frame, first, box = _find_first_box(video, frames, initialization)
        tracks = track_targets(tracker, open_tracker, chain([first], frames), box, video)
    else:
        tracks = track_all_objects(tracker, frames)
    seconds = time.perf_counter() - start
    if tracks.refusals:
        index, message = next(iter(tracks.refusals.items()))
        raise FrameRefusedError(f"frame {first_frame + index + 1}: {message}")
    add_note(OFFLINE_NOTE)
    prediction = extract_boxes(tracks.objects) if tracker.follows_one_target else tracks.objects
    return ReplayResult(prediction, first_frame, seconds, seconds, num_dropped=0)


def _find_first_box(
    video: VideoSequence, frames: Iterator[Frame], initialization: Initialization
) -> tuple[int, Frame, Boxes]:
    """Return index and frame of the initialization, and the first box, (1, 4)."""
    for index, frame in enumerate(frames):
        if index >= initialization.frame and frame.truth is not None and len(frame.truth.ids):
            return index, frame, initialization.perturb_box(frame.truth.boxes[:1])
    raise SourceError(f"{video.name}: no frame has a true box to start from")
