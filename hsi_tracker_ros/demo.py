"""The demo's hyperspectral flight: one target, chosen in the first frame, among look-alikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.bands import BandMatcher, CameraMismatch
from hsi_tracker_ros.cubes.camera_presets import preset
from hsi_tracker_ros.simulation import BENCHMARK_SEEDS, PannedCube
from hsi_tracker_ros.tracker import TargetStatus
from tracking_runtime.boxes import Boxes, as_boxes
from tracking_runtime.demo.scenario import Flight, Pilot, Plan, Recording, Wishes
from tracking_runtime.evaluation.one_pass import (
    MATLAB,
    OTB,
    PRECISION_THRESHOLDS_PX,
    frame_overlaps,
    one_pass_errors,
    score,
    score_absence,
)
from tracking_runtime.frames import GroundTruth
from tracking_runtime.messages.conversion import stamp_ns
from tracking_runtime.reports.report_data import Chart, Curve, Figure, Moment, Scoring

SEED = BENCHMARK_SEEDS[4]  # among spectral look-alikes, before a cluttered background
FRAMES = 150
RATE_HZ = 25.0
FIXED_MODEL, ANY_MODEL = "hanet_edge_vis16", "hanet_edge_any"
_FIXED_CAMERA = "vis16"
_EVENLY = (0.15, 0.5, 0.85)


@dataclass(frozen=True)
class _Followed:
    """The target in the frames that the tracker processed after it was chosen, ``(n,)`` each.

    Attributes:
        stamps: of the frames.
        predicted: ``(n, 4)`` the tracker's boxes.
        truth: ``(n, 4)``, NaN where the target is absent.
        states: of TargetStatus.
        scores: 0..1.
        latencies_ms: from the frame's arrival to its result.
    """

    stamps: NDArray[np.int64]
    predicted: Boxes
    truth: Boxes
    states: NDArray[np.int64]
    scores: NDArray[np.float64]
    latencies_ms: NDArray[np.float64]


def plan(wishes: Wishes) -> Plan:
    """A simulated scene, or a window panning over a real cube or raw mosaic.

    Raises:
        SourceError: the file cannot be used.
    """
    frames = wishes.frames or FRAMES
    pace = RATE_HZ if wishes.rate_hz is None else wishes.rate_hz
    seed = SEED if wishes.seed is None else wishes.seed
    if wishes.input is None:
        query = urlencode({"seed": seed, "frames": frames, "rate_hz": RATE_HZ})
        return Plan(f"scene:hyperspectral?{query}", frames, pace, wishes.model or FIXED_MODEL)
    path = wishes.input.resolve()
    model = wishes.model or _model_for(PannedCube(path, seed, mosaic=wishes.mosaic))
    options = {"path": path, "seed": seed, "frames": frames, "rate_hz": RATE_HZ, "mosaic": wishes.mosaic}
    query = urlencode({name: value for name, value in options.items() if value != ""})
    return Plan(f"scene:panned_cube?{query}", frames, pace, model)


def is_ready(tracker: Mapping[str, str]) -> bool:
    """Whether the tracker has taken over the camera's bands."""
    return tracker.get("camera") == "spectral_info"


def begin(pilot: Pilot) -> None:
    """Choose the target: the true box in the first frame processed that has it."""
    stamp, truth = pilot.first_seen()
    pilot.set_target(truth.boxes[0], stamp)


def assess(recording: Recording) -> Scoring:
    """One-pass evaluation of the frames processed after the target was chosen."""
    followed = _read(recording)
    if not len(followed.stamps):
        return Scoring(
            note="The tracker processed no frame after its target had been chosen: nothing to score."
        )
    errors = one_pass_errors(followed.predicted, followed.truth)
    otb, matlab = score(errors, OTB), score(errors, MATLAB)
    lost = followed.states == TargetStatus.LOST
    absence = score_absence(lost, followed.truth)
    return Scoring(
        figures=(
            Figure("success AUC", otb.success, "", "OTB: 21 thresholds, overlap above each", headline=True),
            Figure("precision at 20 px", otb.precision, "", "OTB: centre within 20 px", headline=True),
            Figure("normalised precision", otb.normalised_precision, "", "area up to half the target's size"),
            Figure("success AUC, MATLAB", matlab.success, "", "50 thresholds, overlap at least each"),
            Figure("precision at 20 px, MATLAB", matlab.precision, "", "centre closer than 20 px"),
            Figure("mean overlap", _mean(errors.overlaps), "", "intersection over union"),
            Figure(
                "absence noticed",
                absence.noticed,
                "",
                f"LOST, of {absence.absent_frames} frames without target",
            ),
            Figure(
                "false alarms",
                absence.false_alarms,
                "",
                f"LOST, of {absence.present_frames} frames with target",
            ),
            Figure(
                "frames scored", otb.frames, "", "processed after the target was chosen, with it in the image"
            ),
            Figure(
                "median latency",
                float(np.median(followed.latencies_ms)),
                "ms",
                "from the frame's arrival in the node to its tracks",
                headline=True,
            ),
        ),
        charts=(
            Chart(
                "Success",
                "overlap threshold",
                "share of frames",
                (
                    Curve(f"OTB [{otb.success:.3f}]", _floats(OTB.thresholds), _floats(otb.success_curve)),
                    Curve(
                        f"MATLAB [{matlab.success:.3f}]",
                        _floats(MATLAB.thresholds),
                        _floats(matlab.success_curve),
                    ),
                ),
                (0, 1.02),
            ),
            Chart(
                "Precision",
                "centre error [px]",
                "share of frames",
                (
                    Curve(
                        f"HA-Net [{otb.precision:.3f}]",
                        _floats(PRECISION_THRESHOLDS_PX),
                        _floats(otb.precision_curve),
                    ),
                ),
                (0, 1.02),
            ),
            _through_time(followed),
        ),
        moments=_moments(followed),
        note=(
            "One target, chosen by its true box in the first processed frame, followed by HA-Net. Scored are "
            "the frames processed after that one. Dashed white: the truth."
        ),
    )


def _read(recording: Recording) -> _Followed:
    answers = [
        (stamp_ns(message), message, message.tracks[0])
        for message in recording.tracks
        if len(message.tracks) and stamp_ns(message) in recording.truth
    ]
    return _Followed(
        stamps=np.array([stamp for stamp, _, _ in answers], np.int64),
        predicted=as_boxes([[t.box.x, t.box.y, t.box.width, t.box.height] for _, _, t in answers]),
        truth=as_boxes([_true_box(recording.truth[stamp]) for stamp, _, _ in answers]),
        states=np.array([target.state for _, _, target in answers], np.int64),
        scores=np.array([target.score for _, _, target in answers], np.float64),
        latencies_ms=np.array(
            [message.latency.sec * 1e3 + message.latency.nanosec / 1e6 for _, message, _ in answers]
        ),
    )


def _true_box(truth: GroundTruth) -> Boxes:
    return truth.boxes[0] if len(truth.boxes) else np.full(4, np.nan)


def _through_time(followed: _Followed) -> Chart:
    seconds = _floats((followed.stamps - followed.stamps[0]) / 1e9)
    overlaps = frame_overlaps(followed.predicted, followed.truth)
    return Chart(
        "Through the flight",
        "time [s]",
        "overlap and score",
        (
            Curve("overlap with the truth", seconds, _floats(overlaps)),
            Curve("the tracker's score", seconds, _floats(followed.scores)),
        ),
        (0, 1.02),
    )


def _moments(followed: _Followed) -> tuple[Moment, ...]:
    """Frames spread over the flight, and the worst one."""
    overlaps = frame_overlaps(followed.predicted, followed.truth)
    last = len(followed.stamps) - 1
    chosen = {round(share * last) for share in _EVENLY}
    if not np.isnan(overlaps).all():
        chosen.add(int(np.nanargmin(overlaps)))
    return tuple(
        Moment(
            int(followed.stamps[index]),
            f"{(followed.stamps[index] - followed.stamps[0]) / 1e9:.2f} s: "
            + (f"overlap {overlaps[index]:.2f}, " if np.isfinite(overlaps[index]) else "target absent, ")
            + f"score {followed.scores[index]:.2f}, {TargetStatus(followed.states[index]).name.lower()}",
        )
        for index in sorted(chosen)
    )


def _model_for(source: PannedCube) -> str:
    """The model of fixed bands where the camera has them, which is the better one; else the one for any."""
    try:
        BandMatcher(source.spectral_info, preset(_FIXED_CAMERA).wavelengths_nm)
    except CameraMismatch:
        return ANY_MODEL
    return FIXED_MODEL


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


FLIGHT = Flight(
    name="hyperspectral",
    title="Hyperspectral: HA-Net follows one target",
    module="hsi_tracker_ros.node",
    node="hsi_tracker",
    view="hsi",
    plan=plan,
    is_ready=is_ready,
    begin=begin,
    score=assess,
    picture_topic="/hsi_tracker/false_color",
    picture_scale=2,
)
