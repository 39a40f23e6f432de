"""Run of a tracker over a source, whose results are written frame by frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from tracking_runtime.boxes import Boxes, ScoredBoxes, as_boxes
from tracking_runtime.errors import FrameRefusedError, SourceError, TargetRefusedError
from tracking_runtime.evaluation.replay import ReplayTracker
from tracking_runtime.frames import Frame, FrameSource, compute_box_image_size
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.io.disk_list import DiskList
from tracking_runtime.io.prefetch import prefetch
from tracking_runtime.tracking.ground_scale import GroundMeasures, GroundMeter, GroundScale
from tracking_runtime.tracking.output_folder import OVERLAY_FILE, OutputFolder
from tracking_runtime.tracking.overlay_video import OverlayVideo, make_drawing
from tracking_runtime.tracking.statistics import TrackStatistics
from tracking_runtime.tracking.track_files import TrackFiles, format_json_line, remove_lost

_PREFETCH_FRAMES = 4
_NS_PER_SECOND = 1e9
_MAX_NOTES = 20
_INTERRUPTED_STATUS = 130  # of a process that SIGINT ended


@dataclass(frozen=True)
class TrackOptions:
    """Options of a run.

    Attributes:
        boxes: box of each target in the first frame, (n, 4); empty for a tracker of everything that moves.
        first_frame: number of the first frame to track, from 1.
        num_frames: largest number of frames to track; None: all.
        every: step between the tracked frames; 1 tracks every frame.
        draws_video: True writes the overlay video.
        scale: factor by which the overlay is enlarged; 0: chosen by the size of the images.
        row_stream: stream that gets the tracks of each frame as a line of JSON; None for none.
        keeps_tracks: True keeps the tracks of all frames on disk, for results that need all frames.
        ground_scale: map from pixels to meters, for speeds and sizes on the ground; None: unknown.
        is_offline: True marks the results as made with the use of later frames.
    """

    boxes: Boxes = field(default_factory=lambda: as_boxes([]))
    first_frame: int = 1
    num_frames: int | None = None
    every: int = 1
    draws_video: bool = True
    scale: int = 0
    row_stream: TextIO | None = None
    keeps_tracks: bool = False
    ground_scale: GroundScale | None = None
    is_offline: bool = False


@dataclass
class TrackRun:
    """Progress and result of a run.

    Attributes:
        image_size: width and height of the first frame in box pixels.
        encoding: encoding of the first frame.
        num_tracked: number of tracked frames.
        num_refused: number of frames that the tracker could not use.
        num_dropped: number of frames of a live stream that were replaced by newer ones.
        tracking_seconds: time inside of the tracker.
        seconds: time from the first frame to the end of the run.
        video_seconds: time from the first to the last frame by their stamps.
        exit_status: status with which the process should end: 0, or that of the signal that ended the run.
        statistics: statistics of the tracks.
        notes: facts about the input and the frames that users should know, each once.
        pictures: caption and JPEG of some overlays.
        tracks: tracks of each frame, without lost targets, if `keeps_tracks`.
        stamps_ns: stamp of each of these frames in nanoseconds.
        frame_numbers: number of each of these frames in the source, from 1.
    """

    image_size: tuple[int, int] = (0, 0)
    encoding: str = ""
    num_tracked: int = 0
    num_refused: int = 0
    num_dropped: int = 0
    tracking_seconds: float = 0.0
    seconds: float = 0.0
    video_seconds: float = 0.0
    exit_status: int = 0
    statistics: TrackStatistics = field(default_factory=TrackStatistics)
    notes: list[str] = field(default_factory=list)
    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    tracks: DiskList[ScoredBoxes] = field(default_factory=DiskList)
    stamps_ns: list[int] = field(default_factory=list)
    frame_numbers: list[int] = field(default_factory=list)

    @property
    def was_interrupted(self) -> bool:
        """True if a user or the system ended the run."""
        return self.exit_status != 0

    def add_note(self, text: str) -> None:
        """Add a note once. More than twenty are left out."""
        if text not in self.notes and len(self.notes) < _MAX_NOTES:
            self.notes.append(text)


def track_source(
    source: FrameSource,
    tracker: ReplayTracker,
    options: TrackOptions,
    folder: OutputFolder | None,
    *,
    is_live: bool = False,
    on_frame: Callable[[TrackRun], None] = lambda _run: None,
) -> TrackRun:
    """Track the frames of a source, and write tracks and overlay while they come.

    KeyboardInterrupt and SystemExit end the run; what was written stays, and the overlay is finished. If the
    source fails, the files of the run are removed. A live stream that fails ends the run with a note.

    Args:
        source: frames.
        tracker: tracker.
        options: options of the run.
        folder: folder of the files; None writes no files.
        is_live: True for a live stream, whose newest frame is tracked.
        on_frame: function called after each frame.

    Raises:
        SourceError: the source has no such frame, or a frame cannot be read.
        FrameRefusedError: the tracker cannot use the first frame.
        TargetRefusedError: the tracker cannot track a box.
        OSError: a file cannot be written.
    """
    run = TrackRun()
    start = time.perf_counter()
    is_created = False
    try:
        tracker.start_video(source)
        start = time.perf_counter()  # the tracker may have loaded its model
        with ExitStack() as stack:
            frames = stack.enter_context(closing(select_frames(source, options, is_live=is_live)))
            number, frame = _take_first(source, frames, options)
            try:
                tracks = _start(tracker, frame, options.boxes, run)
            except FrameRefusedError as error:
                name = getattr(source, "path", None) or source.name
                raise FrameRefusedError(f"{name}: frame {number} cannot be tracked: {error}") from error
            if folder is not None:
                is_created = True
                folder.create()
            writer = stack.enter_context(_Writer(source, tracker, options, folder, run))
            writer.write(number, frame, tracks)
            on_frame(run)
            try:
                _continue(tracker, frames, writer, run, on_frame)
            except SourceError as error:
                if not is_live:
                    raise
                run.add_note(f"the stream ended: {error}")
    except SourceError:
        if folder is not None and is_created:
            folder.remove()
        raise
    finally:
        run.num_dropped = getattr(source, "num_dropped", 0)
        run.seconds = time.perf_counter() - start
    return run


def _continue(
    tracker: ReplayTracker,
    frames: Iterable[tuple[int, Frame]],
    writer: _Writer,
    run: TrackRun,
    on_frame: Callable[[TrackRun], None],
) -> None:
    """Track the frames after the first. An interruption ends the loop."""
    try:
        for number, frame in frames:
            before = time.perf_counter()
            try:
                tracks = tracker.track(frame)
            except FrameRefusedError as refusal:
                run.num_refused += 1
                run.add_note(f"frame {number} refused: {refusal}")
                continue
            run.tracking_seconds += time.perf_counter() - before
            writer.write(number, frame, tracks)
            on_frame(run)
    except KeyboardInterrupt:
        run.exit_status = _INTERRUPTED_STATUS
    except SystemExit as error:
        run.exit_status = error.code if isinstance(error.code, int) and error.code else 1


def select_frames(
    source: FrameSource, options: TrackOptions, *, is_live: bool
) -> Generator[tuple[int, Frame], None, None]:
    """Yield the number, from 1, and the frame of each frame to track."""
    frames: Iterator[Frame] = iter(source) if is_live else prefetch(source, _PREFETCH_FRAMES)
    try:
        numbered = enumerate(frames, start=1)
        chosen = islice(numbered, options.first_frame - 1, None, options.every)
        yield from islice(chosen, options.num_frames)
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()


def _take_first(
    source: FrameSource, frames: Iterator[tuple[int, Frame]], options: TrackOptions
) -> tuple[int, Frame]:
    first = next(frames, None)
    if first is None:
        raise SourceError(
            f"{source.name} has no frame {options.first_frame}: got {len(source)} frames; lower --start"
        )
    return first


def _start(tracker: ReplayTracker, frame: Frame, boxes: Boxes, run: TrackRun) -> ScoredBoxes:
    """Track the first frame, or set the targets in it."""
    before = time.perf_counter()
    if not len(boxes):
        tracks = tracker.track(frame)
    else:
        for box in boxes:
            try:
                tracker.initialize(frame, box[None])
            except TargetRefusedError as error:
                text = ",".join(f"{value:g}" for value in box)
                raise TargetRefusedError(f"--box {text}: {error}") from error
        count = len(boxes)
        tracks = ScoredBoxes(
            np.arange(1, count + 1), boxes, np.ones(count), np.zeros(count, np.int64), ("tracking",) * count
        )
    run.tracking_seconds += time.perf_counter() - before
    return tracks


class _Writer:
    """Writer of the tracks of each frame to all outputs."""

    def __init__(
        self,
        source: FrameSource,
        tracker: ReplayTracker,
        options: TrackOptions,
        folder: OutputFolder | None,
        run: TrackRun,
    ) -> None:
        self._options = options
        self._run = run
        self._class_names: tuple[str, ...] = tuple(getattr(tracker, "class_names", ()))
        self._bands = source.spectral_info
        self._first_ns: int | None = None
        self._meter = None if options.ground_scale is None else GroundMeter(options.ground_scale)
        self._is_scale_unknown = False
        self._files = None
        if folder is not None:
            self._files = TrackFiles(
                folder.path,
                self._class_names,
                has_measures=self._meter is not None,
                is_offline=options.is_offline,
            )
        self._overlay = None
        if folder is not None:
            path: Path | None = folder.path / OVERLAY_FILE if options.draws_video else None
            rate_hz = source.rate_hz / options.every
            self._overlay = OverlayVideo(path, rate_hz, bands=self._bands, scale=options.scale)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the files, also after an error."""
        if self._files is not None:
            self._files.close()
        if self._overlay is not None:
            self._overlay.close()
            self._run.pictures = self._overlay.pictures

    def write(self, number: int, frame: Frame, tracks: ScoredBoxes) -> None:
        run = self._run
        if self._first_ns is None:
            self._first_ns = frame.stamp_ns
            run.image_size = compute_box_image_size(frame, self._bands)
            run.encoding = frame.encoding
        run.num_tracked += 1
        run.video_seconds = (frame.stamp_ns - self._first_ns) / _NS_PER_SECOND
        measures = self._measure(number, frame.stamp_ns, tracks)
        run.statistics.update(number, run.video_seconds, tracks, measures)
        if self._options.keeps_tracks:
            run.tracks.append(remove_lost(tracks))
            run.stamps_ns.append(frame.stamp_ns)
            run.frame_numbers.append(number)
        if self._files is not None:
            self._files.write(number, frame.stamp_ns, tracks, measures)
        if self._options.row_stream is not None:
            self._options.row_stream.write(
                format_json_line(
                    number,
                    frame.stamp_ns,
                    tracks,
                    self._class_names,
                    measures,
                    is_offline=self._options.is_offline,
                )
            )
            self._options.row_stream.flush()
        if self._overlay is not None:
            self._overlay.write(
                frame,
                make_drawing(tracks, self._class_names),
                truth=None if frame.truth is None else frame.truth.boxes,
                caption=f"frame {number}   {len(remove_lost(tracks).ids)} tracked",
            )

    def _measure(self, number: int, stamp_ns: int, tracks: ScoredBoxes) -> GroundMeasures | None:
        """Return the speeds and sizes of the tracks; unknown ones once the scale does not fit a frame."""
        if self._meter is None:
            return None
        if not self._is_scale_unknown:
            try:
                return self._meter.measure(number - 1, stamp_ns, tracks, self._run.image_size)
            except GeographyError as error:
                self._is_scale_unknown = True
                self._run.add_note(f"no speeds and sizes on the ground: {error}")
        return GroundMeasures.unknown(len(tracks.ids))
