"""Runs of `rstrack track`: opens a source, chooses the tracker, and writes all files of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tracking_runtime.errors import SourceError, TrackingError
from tracking_runtime.evaluation.offline_replay import (
    OFFLINE_NOTE,
    PrecomputedTracker,
    track_all_objects,
    track_targets,
)
from tracking_runtime.evaluation.replay import ReplayTracker, find_tracker, make_tracker
from tracking_runtime.frames import Frame, FrameSource, compute_box_image_size
from tracking_runtime.geography.errors import GeographyError
from tracking_runtime.geography.reference import GeographicReference, check_image_size
from tracking_runtime.io.notes import collect_notes
from tracking_runtime.io.sources import is_live, open_source, open_source_leniently
from tracking_runtime.overlay import draw_frame
from tracking_runtime.tracking.box_selection import select_boxes
from tracking_runtime.tracking.geographic_files import find_reference, write_geographic_files
from tracking_runtime.tracking.ground_scale import (
    MAX_GROUND_SAMPLE_DISTANCE_M,
    ConstantScale,
    GeographicScale,
    GroundScale,
)
from tracking_runtime.tracking.output_folder import (
    GEOJSON_FILE,
    KML_FILE,
    OVERLAY_FILE,
    REPORT_FILE,
    SUMMARY_FILE,
    OutputFolder,
)
from tracking_runtime.tracking.report import TrackReport, write_summary, write_track_report
from tracking_runtime.tracking.session import TrackOptions, TrackRun, select_frames, track_source
from tracking_runtime.tracking.track_files import CSV_FILE, JSON_LINES_FILE, MOT_FILE

SINGLE_TARGET_TRACKER = "hanet"
MULTI_OBJECT_TRACKER = "spax"

_FILE_MEANINGS = {
    OVERLAY_FILE: "the frames with ids, states, trails and ground truth",
    MOT_FILE: "MOT text: frame, id, x, y, width, height, score, class, -1",
    CSV_FILE: "one row per box with a heading, with speeds, sizes and positions on the ground if known",
    JSON_LINES_FILE: "one JSON object per frame",
    GEOJSON_FILE: "paths and points with times, for maps",
    KML_FILE: "paths with times, for Google Earth",
    SUMMARY_FILE: "the facts of the report as data",
    REPORT_FILE: "the report",
}


class TrackOptionsError(TrackingError):
    """Options of `rstrack track` that exclude each other or do not fit the source."""


@dataclass(frozen=True)
class TrackJob:
    """One source to track.

    Attributes:
        address: address of the source.
        topic: topic of the images, if a recording has several; empty: found.
        calibration: camera, white and dark reference, as in `calibrate_source`, by name.
        tracker: name of the tracker; empty: by the source and the boxes.
        model: name or path of the model; empty: the tracker's default.
        engine: engine that runs the model.
        profile: kind of camera, one of the tracker's profiles; empty: its default.
        selects: True lets the user draw the boxes.
        geography: file with the map from pixels to the Earth; None: that of the source, if any.
        options: options of the run.
        ground_sample_distance: size of a pixel on the ground in meters; 0: by the map, if any.
    """

    address: str
    topic: str
    calibration: Mapping[str, str]
    tracker: str
    model: str
    engine: str
    profile: str
    selects: bool
    geography: Path | None
    options: TrackOptions
    ground_sample_distance: float = 0.0


@dataclass(frozen=True)
class OpenedJob:
    """A source that is ready to be tracked.

    Attributes:
        job: the job.
        source: the opened source.
        num_frames: number of frames of the source; None for a live stream.
        notes: peculiarities of the source, for people.
    """

    job: TrackJob
    source: FrameSource
    num_frames: int | None
    notes: Sequence[str]

    @property
    def num_selected(self) -> int | None:
        """Number of frames that will be tracked; None if unknown."""
        options = self.job.options
        if self.num_frames is None:
            return options.num_frames
        available = max(0, -(-(self.num_frames - options.first_frame + 1) // options.every))
        return available if options.num_frames is None else min(available, options.num_frames)


def open_job(job: TrackJob) -> OpenedJob:
    """Open the source of a job. Invalid ground truth is left out; `notes` of the result say so.

    Raises:
        SourceError: the source cannot be opened.
    """
    with collect_notes() as notes:
        if is_live(job.address):
            return OpenedJob(job, open_source(job.address, **job.calibration), None, notes)
        source = open_source_leniently(job.address, topic=job.topic, **job.calibration)
        return OpenedJob(job, source, len(source), [*notes, *getattr(source, "remarks", ())])


def run_job(
    opened: OpenedJob, folder: OutputFolder | None, on_frame: Callable[[TrackRun], None]
) -> TrackReport:
    """Track a source, and write all files.

    Args:
        opened: job with its opened source.
        folder: folder of the files; None for no files.
        on_frame: function called after each frame.

    Raises:
        TrackOptionsError: the tracker needs boxes, or takes none; or the options exclude each other.
        GeographyError: the file of `--geography` cannot be used, or is for images of another size.
        NoSelectionError: no target was selected.
        SourceError: a frame cannot be read; the folder is as before.
        FrameRefusedError: the tracker cannot use the first frame.
        TargetRefusedError: the tracker cannot track a box.
        ModelError: the model cannot be loaded.
        OSError: a file cannot be written.
    """
    job, source = opened.job, opened.source
    name, tracker_class = _choose_tracker(job, source)
    options = _select_boxes(job, source) if job.selects else job.options
    with collect_notes() as reference_notes:
        reference = find_reference(source, job.geography)
    if job.geography is not None and reference is not None and opened.num_frames is not None:
        _check_reference(job.geography, reference, source)
    options = replace(
        options,
        keeps_tracks=reference is not None and folder is not None,
        ground_scale=_make_ground_scale(job, reference),
    )
    tracker = _make_tracker(job, tracker_class)
    with collect_notes() as notes:
        if options.is_offline:
            run = _track_offline(opened, tracker, options, folder, on_frame)
        else:
            is_live = opened.num_frames is None
            run = track_source(source, tracker, options, folder, is_live=is_live, on_frame=on_frame)
    for note in (*opened.notes, *reference_notes, *notes):
        run.add_note(note)
    class_names = tuple(getattr(tracker, "class_names", ()))
    if folder is not None and reference is not None:
        write_geographic_files(folder.path, run, reference, class_names)
    report = TrackReport(
        source=job.address,
        name=source.name,
        rate_hz=source.rate_hz,
        num_frames=opened.num_frames,
        tracker=name,
        tracker_description=_describe(tracker, options),
        class_names=class_names,
        run=run,
        files=_list_files(folder),
        is_offline=options.is_offline,
    )
    if folder is not None:
        write_summary(report, folder.path / SUMMARY_FILE)
        write_track_report(report, folder.path / REPORT_FILE)
    return report


def _select_boxes(job: TrackJob, source: FrameSource) -> TrackOptions:
    """Let the user draw boxes on the first frame, and return the options with these boxes."""
    image = draw_frame(_read_frame(source, job.options.first_frame), source.spectral_info)
    return replace(job.options, boxes=select_boxes(image, job.address, source.name))


def _check_reference(path: Path, reference: GeographicReference, source: FrameSource) -> None:
    """Check before all frames are tracked that a file is for images of this size."""
    try:
        check_image_size(reference, compute_box_image_size(_read_frame(source, 1), source.spectral_info))
    except GeographyError as error:
        raise GeographyError(f"{path}: {error}") from error


def _make_ground_scale(job: TrackJob, reference: GeographicReference | None) -> GroundScale | None:
    """Return the map from pixels to meters: of the option, else of the reference; None if unknown.

    Raises:
        TrackOptionsError: the option is no distance, or contradicts a file.
    """
    distance_m = job.ground_sample_distance
    if not 0 <= distance_m <= MAX_GROUND_SAMPLE_DISTANCE_M:
        raise TrackOptionsError(
            f"--ground-sample-distance must be 0 to {MAX_GROUND_SAMPLE_DISTANCE_M:g} meters per pixel: "
            f"got {distance_m:g}"
        )
    if distance_m and job.geography is not None:
        raise TrackOptionsError(
            "--ground-sample-distance and --geography exclude each other, because the file has the size of "
            "pixels; remove one"
        )
    if distance_m:
        return ConstantScale(distance_m)
    return None if reference is None else GeographicScale(reference)


def _track_offline(
    opened: OpenedJob,
    tracker: ReplayTracker,
    options: TrackOptions,
    folder: OutputFolder | None,
    on_frame: Callable[[TrackRun], None],
) -> TrackRun:
    """Track all frames of a source, then write the tracks over the frames again.

    Raises:
        TrackOptionsError: the source is a live stream.
    """
    job, source = opened.job, opened.source
    if opened.num_frames is None:
        raise TrackOptionsError(
            f"--offline needs all frames: {source.name} is a live stream; record it, or remove --offline"
        )
    start = time.perf_counter()
    tracker.start_video(source)
    first_pass = TrackRun()

    def count_frame() -> None:
        first_pass.num_tracked += 1
        on_frame(first_pass)

    with closing(select_frames(source, options, is_live=False)) as selected:
        frames = (frame for _, frame in selected)
        if len(options.boxes):
            tracks = track_targets(
                tracker,
                lambda: _make_tracker(job, type(tracker)),
                frames,
                options.boxes,
                source,
                count_frame,
            )
        else:
            tracks = track_all_objects(tracker, frames, count_frame)
    seconds = time.perf_counter() - start
    run = track_source(source, PrecomputedTracker(tracks, tracker), options, folder, on_frame=on_frame)
    run.seconds += seconds
    run.tracking_seconds += seconds
    run.add_note(OFFLINE_NOTE)
    return run


def _choose_tracker(job: TrackJob, source: FrameSource) -> tuple[str, type[ReplayTracker]]:
    """Return the name and the class of the tracker.

    Raises:
        TrackOptionsError: the tracker needs boxes, or takes none.
        SourceError: no tracker has this name.
    """
    has_boxes = job.selects or len(job.options.boxes) > 0
    is_hyperspectral = source.spectral_info is not None
    name = job.tracker or (SINGLE_TARGET_TRACKER if has_boxes or is_hyperspectral else MULTI_OBJECT_TRACKER)
    tracker_class = find_tracker(name)
    if tracker_class.follows_one_target and not has_boxes:
        reason = f"{source.name} is hyperspectral, which {name} tracks" if not job.tracker else name
        raise TrackOptionsError(
            f"{reason}: the targets are not known; draw them with --select, or give --box X,Y,WIDTH,HEIGHT"
        )
    if not tracker_class.follows_one_target and has_boxes:
        raise TrackOptionsError(
            f"--tracker {name} finds all moving objects itself; remove --box and --select, or --tracker"
        )
    return name, tracker_class


def _make_tracker(job: TrackJob, tracker_class: type[ReplayTracker]) -> ReplayTracker:
    return make_tracker(tracker_class, job.model, job.engine, job.profile)


def _describe(tracker: ReplayTracker, options: TrackOptions) -> Mapping[str, str]:
    if options.is_offline:
        return {**tracker.description, "causality": OFFLINE_NOTE}
    return tracker.description


def _read_frame(source: FrameSource, number: int) -> Frame:
    """Read a frame, whose number counts from 1. Raise SourceError if the source ends before."""
    for index, frame in enumerate(source, start=1):
        if index == number:
            return frame
    raise SourceError(f"{source.name} has no frame {number}; lower --start")


def _list_files(folder: OutputFolder | None) -> dict[str, str]:
    """Return the files of a run with their meanings: those that exist, and the two that are written last."""
    if folder is None:
        return {}
    last = (SUMMARY_FILE, REPORT_FILE)
    return {
        name: meaning
        for name, meaning in _FILE_MEANINGS.items()
        if name in last or (folder.path / name).exists()
    }
