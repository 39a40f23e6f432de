"""Satellite demo scenario: all moving objects, seen from above."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from spax_ros.association import TrackState
from spax_ros.simulation import BENCHMARK_SEEDS
from tracking_runtime.boxes import IDS_PER_EPOCH, FrameBoxes, as_boxes, compute_centers, make_unique_ids
from tracking_runtime.demo.scenario import DemoOptions, DemoPlan, DemoRecording, DemoScenario
from tracking_runtime.evaluation.multi_object import (
    ANY_OVERLAP,
    CENTER_5PX,
    IOU_03,
    IOU_04,
    MotScores,
    compute_coverage,
    score_tracks,
)
from tracking_runtime.io.source_kinds import FOLDER
from tracking_runtime.io.sources import LIVE, SCENE, open_source, parse_address
from tracking_runtime.messages.conversion import duration_to_ms, read_stamp_ns
from tracking_runtime.reports.report_data import (
    Chart,
    Curve,
    DemoScores,
    KeyFrame,
    Metric,
    Table,
    Trajectory,
    TrajectoryMap,
)

DEFAULT_SEED = BENCHMARK_SEEDS[8]  # a scene with road traffic and some clouds
DEFAULT_NUM_FRAMES = 100
FRAME_RATE_HZ = 10.0
LOCK_STEP_RATE_HZ = 0.0  # default: every frame is tracked on any machine, because gaps change identities
DEFAULT_MODEL = "spax_small"
_KEY_FRAME_FRACTIONS = (0.1, 0.4, 0.7, 1.0)  # key frames of the report, as fractions of the scenario
_RULES = (IOU_03, IOU_04, ANY_OVERLAP, CENTER_5PX)  # matching rules of the table; the first is the main one


@dataclass(frozen=True)
class _TrackHistory:
    """Tracks and truth of the processed frames.

    Attributes:
        stamps_ns: stamp of each frame in nanoseconds, (n,).
        tracks: confirmed tracks of each frame.
        truth: objects of each frame; None if the recording has no ground truth.
        latencies_ms: time from the arrival of each frame to its result, (n,).
        image_size: width and height of the images in pixels.
    """

    stamps_ns: NDArray[np.int64]
    tracks: list[FrameBoxes]
    truth: list[FrameBoxes] | None
    latencies_ms: NDArray[np.float64]
    image_size: tuple[int, int]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Time since the first frame, (n,)."""
        return (self.stamps_ns - self.stamps_ns[0]) / 1e9


@dataclass(frozen=True)
class _TruthScores:
    """Part of the scores that depends on the ground truth.

    Attributes:
        note: text about the scope of the metrics.
        metrics: metrics of the report.
        tables: tables of the report.
    """

    note: str
    metrics: tuple[Metric, ...] = ()
    tables: tuple[Table, ...] = ()


def plan_demo(options: DemoOptions) -> DemoPlan:
    """Plan a simulated scene, or any source of frames, as a video file or a folder with `gt.txt` beside it.

    Raises:
        SourceError: the source cannot be read.
    """
    model = options.model or DEFAULT_MODEL
    rate_hz = options.rate_hz or LOCK_STEP_RATE_HZ
    if options.input_path is not None:
        address = _resolve_address(options.input_path)
        return DemoPlan(address, len(open_source(address)), rate_hz, model)
    num_frames = options.num_frames or DEFAULT_NUM_FRAMES
    seed = DEFAULT_SEED if options.seed is None else options.seed
    query = urlencode({"seed": seed, "frames": num_frames, "rate_hz": FRAME_RATE_HZ})
    return DemoPlan(f"scene:satellite?{query}", num_frames, rate_hz, model)


def _resolve_address(given: str | Path) -> str:
    """Return an address with an absolute path. Folders have the demo's rate unless another is given."""
    parsed = parse_address(given)
    if parsed.kind in (SCENE, LIVE):
        return parsed.text
    options = {"rate": f"{FRAME_RATE_HZ:g}"} if parsed.kind == FOLDER else {}
    query = urlencode(options | parsed.options)
    return f"{parsed.kind}:{Path(parsed.location).resolve()}" + (f"?{query}" if query else "")


def score_demo(recording: DemoRecording) -> DemoScores:
    """Score the processed frames by CLEAR, identity and HOTA metrics, as far as the ground truth allows.

    A ground truth with one identity in the whole recording is one annotated object among many. Then only
    the coverage of the object is measured, so that correct tracks of other objects do not count as false.
    """
    if not recording.tracks:
        return DemoScores(note="The tracker processed no frame: nothing to score.")
    history = _read_history(recording)
    truth = history.truth or []
    scores = _score_by_truth(history.tracks, truth)
    trajectory_map = TrajectoryMap(
        "Trajectories", *history.image_size, _make_trajectories(truth), _make_trajectories(history.tracks)
    )
    return DemoScores(
        figures=(*scores.metrics, *_make_activity_metrics(history)),
        charts=(_make_time_chart(history),),
        tables=scores.tables,
        maps=(trajectory_map,),
        moments=_select_key_frames(history),
        note=(
            f"SPAX tracks all moving objects. {scores.note} Only confirmed tracks of the processed frames "
            "count, not tentative or coasting ones."
        ),
    )


def _read_history(recording: DemoRecording) -> _TrackHistory:
    """Read the processed frames; with ground truth, only the frames that have it."""
    messages = [
        message
        for message in recording.tracks
        if not recording.truth or read_stamp_ns(message) in recording.truth
    ]
    truth = None
    if recording.truth:
        objects = [recording.truth[read_stamp_ns(message)] for message in messages]
        truth = [FrameBoxes(frame_objects.ids, frame_objects.boxes) for frame_objects in objects]
    return _TrackHistory(
        stamps_ns=np.array([read_stamp_ns(message) for message in messages], np.int64),
        tracks=[_read_confirmed_tracks(message) for message in messages],
        truth=truth,
        latencies_ms=np.array([duration_to_ms(message.latency) for message in messages]),
        image_size=(int(messages[0].image_width), int(messages[0].image_height)),
    )


def _read_confirmed_tracks(message: Any) -> FrameBoxes:
    """Read the confirmed tracks of a message, with ids that are unique over all epochs."""
    is_confirmed = np.asarray(message.states) == TrackState.CONFIRMED
    ids = make_unique_ids(message.ids, int(message.epoch))
    boxes = as_boxes(np.asarray(message.boxes, np.float64))
    return FrameBoxes(ids[is_confirmed], boxes[is_confirmed])


def _score_by_truth(tracks: list[FrameBoxes], truth: list[FrameBoxes]) -> _TruthScores:
    object_ids = {int(object_id) for objects in truth for object_id in objects.ids}
    if not object_ids:
        return _TruthScores("No ground truth is known.")
    if len(object_ids) == 1:
        return _score_one_object(tracks, truth, object_ids.pop())
    return _score_all_objects(tracks, truth)


def _score_all_objects(tracks: list[FrameBoxes], truth: list[FrameBoxes]) -> _TruthScores:
    scores_by_rule = {rule.name: score_tracks(truth, tracks, rule) for rule in _RULES}
    rule_name = _RULES[0].name
    scores = scores_by_rule[rule_name]
    metrics = (
        Metric("MOTA", scores.mota, "", f"1 - errors / objects, {rule_name}", headline=True),
        Metric("IDF1", scores.idf1, "", f"F1 of the identities, {rule_name}", headline=True),
        Metric(
            "HOTA", scores.hota, "", "detection and association, mean over IoU 0.05 to 0.95", headline=True
        ),
        Metric("recall", scores.recall, "", f"fraction of the objects that are matched, {rule_name}"),
        Metric("precision", scores.precision, "", f"fraction of the tracks that are matched, {rule_name}"),
    )
    return _TruthScores("Dashed white: ground truth.", metrics, (_make_rule_table(scores_by_rule),))


def _make_rule_table(scores_by_rule: Mapping[str, MotScores]) -> Table:
    columns = ("match", "MOTA", "IDF1", "HOTA", "Rcll", "Prcn", "IDs", "FP", "FN", "MT", "ML")
    rows = tuple((rule_name, *_make_row(scores)) for rule_name, scores in scores_by_rule.items())
    scores = next(iter(scores_by_rule.values()))
    note = (
        f"{scores.truths} boxes of {scores.objects} objects, computed by TrackEval. MT, ML: objects tracked "
        "in more than 80 % and in less than 20 % of their frames. HOTA of the last row uses the center "
        "distance; similarity 0.5 is 5 px."
    )
    return Table("Metrics by matching rule", columns, rows, note)


def _make_row(scores: MotScores) -> tuple[float | int, ...]:
    return (
        scores.mota,
        scores.idf1,
        scores.hota,
        scores.recall,
        scores.precision,
        scores.identity_switches,
        scores.false_positives,
        scores.misses,
        scores.mostly_tracked,
        scores.mostly_lost,
    )


def _score_one_object(tracks: list[FrameBoxes], truth: list[FrameBoxes], object_id: int) -> _TruthScores:
    coverage = compute_coverage(truth, tracks, object_id=object_id)
    metrics = (
        Metric(
            "annotated object covered",
            coverage.fraction,
            "",
            "fraction of frames with a track within 5 px",
            headline=True,
        ),
        Metric("frames covered", coverage.num_covered, "", f"of {coverage.num_frames} with the object"),
        Metric("identities of the covering tracks", coverage.num_identities),
        Metric("frames covered by the longest of them", coverage.num_longest_identity),
    )
    note = "One object of many is annotated: the ground truth measures only the coverage of this object."
    return _TruthScores(note, metrics)


def _make_activity_metrics(history: _TrackHistory) -> tuple[Metric, ...]:
    track_ids = {int(track_id) for tracks in history.tracks for track_id in tracks.ids}
    num_tracks = [len(tracks.ids) for tracks in history.tracks]
    return (
        Metric("tracks", len(track_ids), "", "different identities that were confirmed at least once"),
        Metric("tracks in a frame", float(np.mean(num_tracks)), "", "mean"),
        Metric(
            "frames scored",
            len(history.stamps_ns),
            "",
            "all processed frames, or those with ground truth if there is any",
        ),
        Metric(
            "median latency",
            float(np.median(history.latencies_ms)),
            "ms",
            "from the frame's arrival in the node to its tracks",
            headline=True,
        ),
    )


def _make_time_chart(history: _TrackHistory) -> Chart:
    seconds = tuple(float(value) for value in history.seconds)

    def make_count_curve(label: str, frames: Iterable[FrameBoxes]) -> Curve:
        return Curve(label, seconds, tuple(float(len(boxes.ids)) for boxes in frames))

    curves = [make_count_curve("confirmed tracks", history.tracks)]
    if history.truth:
        curves.insert(0, make_count_curve("objects of the ground truth", history.truth))
    return Chart("Over time", "time [s]", "number in the frame", tuple(curves))


def _make_trajectories(frames: list[FrameBoxes]) -> tuple[Trajectory, ...]:
    """Collect the centers of the boxes by identity."""
    centers_by_id: dict[int, list[NDArray[np.float64]]] = {}
    for boxes in frames:
        for track_id, center in zip(boxes.ids, compute_centers(boxes.boxes), strict=True):
            centers_by_id.setdefault(int(track_id), []).append(center)
    return tuple(
        Trajectory(track_id % IDS_PER_EPOCH, *(tuple(map(float, axis)) for axis in np.transpose(centers)))
        for track_id, centers in centers_by_id.items()
    )


def _select_key_frames(history: _TrackHistory) -> tuple[KeyFrame, ...]:
    """Select frames at regular intervals."""
    last_index = len(history.stamps_ns) - 1
    indices = sorted({round(fraction * last_index) for fraction in _KEY_FRAME_FRACTIONS})
    return tuple(_make_key_frame(history, index) for index in indices)


def _make_key_frame(history: _TrackHistory, index: int) -> KeyFrame:
    caption = f"{history.seconds[index]:.1f} s: {len(history.tracks[index].ids)} confirmed tracks"
    if history.truth:
        caption += f", {len(history.truth[index].ids)} objects in the ground truth"
    return KeyFrame(int(history.stamps_ns[index]), caption)


SCENARIO = DemoScenario(
    name="satellite",
    title="Satellite: SPAX tracks all moving objects",
    module="spax_ros.node",
    node="spax_tracker",
    view="satellite",
    plan=plan_demo,
    score=score_demo,
)
