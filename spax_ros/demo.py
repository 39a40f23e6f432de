"""The demo's satellite flight: everything that moves, seen from above."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from spax_ros.association import TrackState
from spax_ros.simulation import BENCHMARK_SEEDS
from tracking_runtime.boxes import as_boxes, centres
from tracking_runtime.demo.scenario import Flight, Plan, Recording, Wishes
from tracking_runtime.evaluation.multi_object import (
    ANY_OVERLAP,
    CENTRE_5PX,
    IOU_03,
    IOU_04,
    FrameBoxes,
    MotScores,
    coverage,
    evaluate,
)
from tracking_runtime.io.sources import FolderSource
from tracking_runtime.messages.conversion import stamp_ns
from tracking_runtime.reports.report_data import Chart, Curve, Figure, Moment, Scoring, Table, Way, WayMap

SEED = BENCHMARK_SEEDS[8]  # road traffic and some clouds
FRAMES = 100
RATE_HZ = 10.0
LOCK_STEP = 0.0  # by default every frame is tracked, however slow the machine: gaps break up all identities
MODEL = "spax_small"
_EVENLY = (0.1, 0.4, 0.7, 1.0)
_IDS_PER_EPOCH = 1 << 32
_RULES = (IOU_03, IOU_04, ANY_OVERLAP, CENTRE_5PX)


@dataclass(frozen=True)
class _Watched:
    """What was tracked in each processed frame, and what was there.

    Attributes:
        stamps: ``(n,)`` of the frames.
        tracks: the confirmed ones of each.
        truth: the objects of each; None if there is no truth of the recording.
        latencies_ms: ``(n,)`` from the frame's arrival to its result.
        image_size: width and height.
    """

    stamps: NDArray[np.int64]
    tracks: list[FrameBoxes]
    truth: list[FrameBoxes] | None
    latencies_ms: NDArray[np.float64]
    image_size: tuple[int, int]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """``(n,)`` since the first of the frames."""
        return (self.stamps - self.stamps[0]) / 1e9


def plan(wishes: Wishes) -> Plan:
    """A simulated scene, or a folder of frames with their ``gt.txt`` in it or beside it.

    Raises:
        SourceError: the folder cannot be used.
    """
    model, pace = wishes.model or MODEL, wishes.rate_hz or LOCK_STEP
    if wishes.input is not None:
        folder = wishes.input.resolve()
        return Plan(f"folder:{folder}?rate={RATE_HZ:g}", len(FolderSource(folder)), pace, model)
    frames = wishes.frames or FRAMES
    seed = SEED if wishes.seed is None else wishes.seed
    query = urlencode({"seed": seed, "frames": frames, "rate_hz": RATE_HZ})
    return Plan(f"scene:satellite?{query}", frames, pace, model)


def assess(recording: Recording) -> Scoring:
    """CLEAR, identity and HOTA figures of the processed frames, or as much as the truth allows.

    Truth with one identity in the whole recording is taken for one annotated object among many: it is told in
    which share of its frames a track covers it, and nothing that would call all other tracks false.
    """
    if not recording.tracks:
        return Scoring(note="The tracker processed no frame: nothing to score.")
    watched = _read(recording)
    known = watched.truth or []
    identities = {int(number) for objects in known for number in objects.ids}
    if not identities:
        details = _Details("No truth is known.")
    elif len(identities) == 1:
        details = _cover_one(watched.tracks, known, identities.pop())
    else:
        details = _score_all(watched.tracks, known)
    return Scoring(
        figures=(*details.figures, *_activity(watched)),
        charts=(_through_time(watched),),
        tables=details.tables,
        maps=(WayMap("Ways through the image", *watched.image_size, _ways(known), _ways(watched.tracks)),),
        moments=_moments(watched),
        note=(
            f"Everything that moves, followed by SPAX. {details.about} Confirmed tracks of the processed "
            "frames count, tentative and coasting ones don't."
        ),
    )


def _read(recording: Recording) -> _Watched:
    messages = [m for m in recording.tracks if not recording.truth or stamp_ns(m) in recording.truth]
    truth = [recording.truth[stamp_ns(m)] for m in messages] if recording.truth else None
    return _Watched(
        stamps=np.array([stamp_ns(m) for m in messages], np.int64),
        tracks=[_confirmed(m) for m in messages],
        truth=None if truth is None else [FrameBoxes(found.ids, found.boxes) for found in truth],
        latencies_ms=np.array([m.latency.sec * 1e3 + m.latency.nanosec / 1e6 for m in messages]),
        image_size=(int(messages[0].image_width), int(messages[0].image_height)),
    )


def _confirmed(message: Any) -> FrameBoxes:
    """The tracks seen in the frame; ids begin anew in each epoch, so that the epoch is part of them here."""
    seen = np.asarray(message.states) == TrackState.CONFIRMED
    ids = np.asarray(message.ids, np.int64) + int(message.epoch) * _IDS_PER_EPOCH
    return FrameBoxes(ids[seen], as_boxes(np.asarray(message.boxes, np.float64))[seen])


@dataclass(frozen=True)
class _Details:
    """What can be told by the truth that there is."""

    about: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()


def _score_all(tracks: list[FrameBoxes], truth: list[FrameBoxes]) -> _Details:
    scores = {rule.name: evaluate(truth, tracks, rule) for rule in _RULES}
    usual = scores[IOU_03.name]
    how = IOU_03.name
    figures = (
        Figure("MOTA", usual.mota, "", f"1 - errors / objects, {how}", headline=True),
        Figure("IDF1", usual.idf1, "", f"identities kept, {how}", headline=True),
        Figure(
            "HOTA", usual.hota, "", "detection and association, mean over IoU 0.05 to 0.95", headline=True
        ),
        Figure("recall", usual.recall, "", f"objects found, {how}"),
        Figure("precision", usual.precision, "", f"tracks that are objects, {how}"),
    )
    columns = ("match", "MOTA", "IDF1", "HOTA", "Rcll", "Prcn", "IDs", "FP", "FN", "MT", "ML")
    rows = tuple((name, *_row(each)) for name, each in scores.items())
    note = (
        f"{usual.truths} boxes of {usual.objects} objects, computed by TrackEval. MT, ML: objects tracked in "
        "more than 80 % and in less than 20 % of their frames. HOTA of the last line is over distances, 0.5 "
        "being 5 px."
    )
    table = Table("By the field's matching rules", columns, rows, note)
    return _Details("Dashed white: the truth.", figures, (table,))


def _row(scores: MotScores) -> tuple[float | int, ...]:
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


def _cover_one(tracks: list[FrameBoxes], truth: list[FrameBoxes], identity: int) -> _Details:
    covered = coverage(truth, tracks, object_id=identity)
    figures = (
        Figure(
            "annotated object covered", covered.share, "", "frames with a track within 5 px", headline=True
        ),
        Figure("frames covered", covered.covered, "", f"of {covered.frames} in which the object is"),
        Figure("identities of the covering tracks", covered.identities),
        Figure("frames covered by the longest of them", covered.longest_identity),
    )
    about = "One object of many is annotated: the truth says only how well that one is covered."
    return _Details(about, figures)


def _activity(watched: _Watched) -> tuple[Figure, ...]:
    identities = {int(number) for objects in watched.tracks for number in objects.ids}
    return (
        Figure("tracks", len(identities), "", "different identities, confirmed at least once"),
        Figure(
            "tracks in a frame", float(np.mean([len(objects.ids) for objects in watched.tracks])), "", "mean"
        ),
        Figure(
            "frames scored", len(watched.stamps), "", "all that were processed and have a truth, if any has"
        ),
        Figure(
            "median latency",
            float(np.median(watched.latencies_ms)),
            "ms",
            "from the frame's arrival in the node to its tracks",
            headline=True,
        ),
    )


def _through_time(watched: _Watched) -> Chart:
    seconds = tuple(float(value) for value in watched.seconds)

    def counts(label: str, frames: Iterable[FrameBoxes]) -> Curve:
        return Curve(label, seconds, tuple(float(len(objects.ids)) for objects in frames))

    known = (counts("objects in the truth", watched.truth),) if watched.truth else ()
    return Chart(
        "Through the flight", "time [s]", "in the frame", (*known, counts("confirmed tracks", watched.tracks))
    )


def _ways(frames: list[FrameBoxes]) -> tuple[Way, ...]:
    points: dict[int, list[NDArray[np.float64]]] = {}
    for objects in frames:
        for number, centre in zip(objects.ids, centres(objects.boxes), strict=True):
            points.setdefault(int(number), []).append(centre)
    return tuple(
        Way(number % _IDS_PER_EPOCH, *(tuple(map(float, axis)) for axis in np.transpose(found)))
        for number, found in points.items()
    )


def _moments(watched: _Watched) -> tuple[Moment, ...]:
    last = len(watched.stamps) - 1
    return tuple(
        Moment(
            int(watched.stamps[index]),
            f"{watched.seconds[index]:.1f} s: {len(watched.tracks[index].ids)} confirmed tracks"
            + (f", {len(watched.truth[index].ids)} objects in the truth" if watched.truth else ""),
        )
        for index in sorted({round(share * last) for share in _EVENLY})
    )


FLIGHT = Flight(
    name="satellite",
    title="Satellite: SPAX follows everything that moves",
    module="spax_ros.node",
    node="spax_tracker",
    view="satellite",
    plan=plan,
    score=assess,
)
