"""Hyperspectral demo scenario: one target, set in the first frame, among distractors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from hsi_tracker_ros.cubes.bands import BandMatcher, CameraMismatchError
from hsi_tracker_ros.cubes.camera_presets import PRESETS, find_camera_preset
from hsi_tracker_ros.simulation import BENCHMARK_SEEDS, PannedCube
from hsi_tracker_ros.tracker import TargetStatus
from tracking_runtime.boxes import Boxes, as_boxes
from tracking_runtime.demo.scenario import DemoControl, DemoOptions, DemoPlan, DemoRecording, DemoScenario
from tracking_runtime.evaluation.one_pass import (
    MATLAB,
    OTB,
    PRECISION_THRESHOLDS_PX,
    AbsenceScores,
    OnePassErrors,
    OnePassScores,
    compute_frame_overlaps,
    compute_one_pass_errors,
    score_absence,
    score_one_pass,
)
from tracking_runtime.frames import GroundTruth
from tracking_runtime.io.sources import expand_path
from tracking_runtime.messages.conversion import duration_to_ms, read_stamp_ns
from tracking_runtime.reports.report_data import (
    Chart,
    Curve,
    DemoScores,
    KeyFrame,
    Metric,
    make_precision_chart,
    make_success_chart,
)

DEFAULT_SEED = BENCHMARK_SEEDS[4]  # a scene with spectrally similar distractors and a cluttered background
DEFAULT_NUM_FRAMES = 150
FRAME_RATE_HZ = 25.0
FRAME_CACHE = 64  # newest frames that the target can be set in; small images pass in milliseconds
FIXED_BANDS_MODEL = "hanet_edge_vis16"  # more accurate, for cameras that have its bands
ANY_BANDS_MODEL = "hanet_edge_any"
_FIXED_BANDS_CAMERA = "vis16"  # preset of the camera whose bands the fixed-bands model has
_KEY_FRAME_FRACTIONS = (0.15, 0.5, 0.85)  # key frames of the report, as fractions of the scenario
_FRACTION_LIMITS = (0, 1.02)  # limits of a chart's axis from 0 to 1


@dataclass(frozen=True)
class _TargetHistory:
    """Truth and predictions of the frames processed after the target was set.

    Attributes:
        stamps_ns: stamp of each frame in nanoseconds, (n,).
        predicted_boxes: boxes of the tracker, (n, 4).
        true_boxes: boxes of the ground truth, (n, 4); NaN if the target is absent.
        states: values of `TargetStatus`, (n,).
        scores: scores of the tracker, (n,), 0..1.
        latencies_ms: time from the arrival of the frame to its result, (n,).
    """

    stamps_ns: NDArray[np.int64]
    predicted_boxes: Boxes
    true_boxes: Boxes
    states: NDArray[np.int64]
    scores: NDArray[np.float64]
    latencies_ms: NDArray[np.float64]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Time since the first frame, (n,)."""
        return (self.stamps_ns - self.stamps_ns[0]) / 1e9


def plan_demo(options: DemoOptions) -> DemoPlan:
    """Plan a simulated scene, or a window that pans over a real cube or raw mosaic.

    Raises:
        SourceError: the file is not a cube or mosaic.
    """
    num_frames = options.num_frames or DEFAULT_NUM_FRAMES
    rate_hz = FRAME_RATE_HZ if options.rate_hz is None else options.rate_hz
    seed = DEFAULT_SEED if options.seed is None else options.seed
    if options.input_path is None:
        query = urlencode({"seed": seed, "frames": num_frames, "rate_hz": FRAME_RATE_HZ})
        model = options.model or FIXED_BANDS_MODEL
        return DemoPlan(f"scene:hyperspectral?{query}", num_frames, rate_hz, model)
    path = Path(options.input_path).resolve()
    camera = _resolve_camera(options.camera)
    model = options.model or _choose_model(PannedCube(path, seed, camera=camera, mosaic=options.mosaic))
    scene_options = {
        "path": path,
        "seed": seed,
        "frames": num_frames,
        "rate_hz": FRAME_RATE_HZ,
        "camera": camera,
        "mosaic": options.mosaic,
    }
    query = urlencode({name: value for name, value in scene_options.items() if value != ""})
    return DemoPlan(f"scene:panned_cube?{query}", num_frames, rate_hz, model)


def _resolve_camera(camera: str) -> str:
    """Return the name of a camera, or the absolute path of a camera file with its options."""
    location, separator, options = camera.partition("?")
    path = expand_path(location)
    if not camera or location in PRESETS or not path.is_file():
        return camera
    return f"{path.absolute()}{separator}{options}"


def is_ready(diagnostics: Mapping[str, str]) -> bool:
    """Return whether the tracker has received the camera's bands.

    Args:
        diagnostics: diagnostics of the tracker, by key.
    """
    return diagnostics.get("camera") == "spectral_info"


def select_target(control: DemoControl) -> None:
    """Set the target to the true box in the newest processed frame that has one."""
    stamp_ns, truth = control.wait_for_object()
    control.set_target(truth.boxes[0], stamp_ns)


def score_demo(recording: DemoRecording) -> DemoScores:
    """Score the frames processed after the target was set, by one-pass evaluation."""
    history = _read_history(recording)
    if not len(history.stamps_ns):
        return DemoScores(
            note="The tracker processed no frame after its target was set: nothing to score. Play slower, "
            "for example by --rate 25, or more --frames."
        )
    errors = compute_one_pass_errors(history.predicted_boxes, history.true_boxes)
    otb = score_one_pass(errors, OTB)
    matlab = score_one_pass(errors, MATLAB)
    return DemoScores(
        figures=_make_metrics(history, errors, otb, matlab),
        charts=(_make_success_chart(otb, matlab), _make_precision_chart(otb), _make_time_chart(history)),
        moments=_select_key_frames(history),
        note=(
            "HA-Net tracks one target, set to its true box in one of the first processed frames. The frames "
            "processed after that frame are scored. Dashed white: ground truth."
        ),
    )


def _make_metrics(
    history: _TargetHistory, errors: OnePassErrors, otb: OnePassScores, matlab: OnePassScores
) -> tuple[Metric, ...]:
    is_lost = history.states == TargetStatus.LOST
    absence = score_absence(is_lost, history.true_boxes)
    return (
        Metric("success AUC", otb.success, "", "OTB: 21 thresholds, overlap above each", headline=True),
        Metric("precision at 20 px", otb.precision, "", "OTB: center distance up to 20 px", headline=True),
        Metric("normalised precision", otb.normalised_precision, "", "area up to half the target's size"),
        Metric("success AUC, MATLAB", matlab.success, "", "50 thresholds, overlap at least each"),
        Metric("precision at 20 px, MATLAB", matlab.precision, "", "center distance below 20 px"),
        Metric("mean overlap", _mean_or_nan(errors.overlaps), "", "intersection over union"),
        *_make_absence_metrics(absence),
        Metric(
            "frames scored", otb.frames, "", "processed after the target was set, with the target in view"
        ),
        Metric(
            "median latency",
            float(np.median(history.latencies_ms)),
            "ms",
            "from the frame's arrival in the node to its tracks",
            headline=True,
        ),
    )


def _make_absence_metrics(absence: AbsenceScores) -> tuple[Metric, Metric]:
    absent = f"LOST, of {absence.num_absent_frames} frames without target"
    present = f"LOST, of {absence.num_present_frames} frames with target"
    return (
        Metric("absence noticed", absence.noticed_fraction, "", absent),
        Metric("false alarms", absence.false_alarm_fraction, "", present),
    )


def _make_success_chart(otb: OnePassScores, matlab: OnePassScores) -> Chart:
    otb_curve = Curve(f"OTB [{otb.success:.3f}]", _to_floats(OTB.thresholds), _to_floats(otb.success_curve))
    matlab_curve = Curve(
        f"MATLAB [{matlab.success:.3f}]", _to_floats(MATLAB.thresholds), _to_floats(matlab.success_curve)
    )
    return make_success_chart([otb_curve, matlab_curve])


def _make_precision_chart(otb: OnePassScores) -> Chart:
    curve = Curve(
        f"HA-Net [{otb.precision:.3f}]",
        _to_floats(PRECISION_THRESHOLDS_PX),
        _to_floats(otb.precision_curve),
    )
    return make_precision_chart([curve])


def _make_time_chart(history: _TargetHistory) -> Chart:
    seconds = _to_floats(history.seconds)
    overlaps = compute_frame_overlaps(history.predicted_boxes, history.true_boxes)
    curves = (
        Curve("overlap with the truth", seconds, _to_floats(overlaps)),
        Curve("score of the tracker", seconds, _to_floats(history.scores)),
    )
    return Chart("Over time", "time [s]", "overlap and score", curves, _FRACTION_LIMITS)


def _read_history(recording: DemoRecording) -> _TargetHistory:
    """Read the frames in which the tracker had a target."""
    messages = [
        message
        for message in recording.tracks
        if len(message.tracks) and read_stamp_ns(message) in recording.truth
    ]
    stamps_ns = [read_stamp_ns(message) for message in messages]
    targets = [message.tracks[0] for message in messages]
    boxes = [target.box for target in targets]
    return _TargetHistory(
        stamps_ns=np.array(stamps_ns, np.int64),
        predicted_boxes=as_boxes([[box.x, box.y, box.width, box.height] for box in boxes]),
        true_boxes=as_boxes([_find_true_box(recording.truth[stamp_ns]) for stamp_ns in stamps_ns]),
        states=np.array([target.state for target in targets], np.int64),
        scores=np.array([target.score for target in targets], np.float64),
        latencies_ms=np.array([duration_to_ms(message.latency) for message in messages]),
    )


def _find_true_box(truth: GroundTruth) -> Boxes:
    return truth.boxes[0] if len(truth.boxes) else np.full(4, np.nan)


def _select_key_frames(history: _TargetHistory) -> tuple[KeyFrame, ...]:
    """Select frames at regular intervals, and the frame with the lowest overlap."""
    overlaps = compute_frame_overlaps(history.predicted_boxes, history.true_boxes)
    last_index = len(history.stamps_ns) - 1
    indices = {round(fraction * last_index) for fraction in _KEY_FRAME_FRACTIONS}
    if not np.isnan(overlaps).all():
        indices.add(int(np.nanargmin(overlaps)))
    return tuple(_make_key_frame(history, index, overlaps[index]) for index in sorted(indices))


def _make_key_frame(history: _TargetHistory, index: int, overlap: float) -> KeyFrame:
    overlap_text = f"overlap {overlap:.2f}" if np.isfinite(overlap) else "target absent"
    state = TargetStatus(history.states[index]).name.lower()
    return KeyFrame(
        int(history.stamps_ns[index]),
        f"{history.seconds[index]:.2f} s: {overlap_text}, score {history.scores[index]:.2f}, {state}",
    )


def _choose_model(source: PannedCube) -> str:
    """Return the fixed-bands model if the camera has its bands, else the model for any bands."""
    try:
        BandMatcher(source.spectral_info, find_camera_preset(_FIXED_BANDS_CAMERA).wavelengths_nm)
    except CameraMismatchError:
        return ANY_BANDS_MODEL
    return FIXED_BANDS_MODEL


def _to_floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _mean_or_nan(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


SCENARIO = DemoScenario(
    name="hyperspectral",
    title="Hyperspectral: HA-Net tracks one target",
    module="hsi_tracker_ros.node",
    node="hsi_tracker",
    view="hsi",
    plan=plan_demo,
    is_ready=is_ready,
    on_playback_start=select_target,
    score=score_demo,
    parameters={"frame_cache": FRAME_CACHE},
    image_topic="/hsi_tracker/false_color",
    image_scale=2,
)
