"""Recall of faint movers at equal false alarms: models, and thresholds without a network.

The vehicles of simulated scenes have a contrast of a few standard deviations of the noise. A detection is
right if its center is near that of an object; false alarms are counted by the frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from spax_ros.motion.accumulation import REDUCTION
from spax_ros.motion.mask import NEVER_HALVED, MotionMask, MotionSettings
from spax_ros.preprocessing import to_gray
from spax_ros.simulation import SatelliteScene
from spax_ros.tracker import SpaxTracker, TrackerSettings
from spax_ros.transforms import transform_points
from spax_ros.weights import LoadedModel
from tracking_runtime.boxes import compute_centers
from tracking_runtime.frames import Frame
from tracking_runtime.reports.plots import PALETTE, use_plot_style
from tracking_runtime.system_info import describe_machine

RESIDUAL = "threshold on the difference"
ACCUMULATED = "threshold on the accumulated"
FALSE_ALARMS = (1.0, 3.0, 10.0)
"""False alarms a frame at which the table gives the recall."""

_MAX_DISTANCE_PX = 4.0  # between the centers of a detection and its object
_MIN_SPEED_PX = 0.5  # pixels a frame over the ground; slower objects are neither right nor wrong
_SPEED_FRAMES = 5  # frames over which the speed is measured
_WARM_UP_FRAMES = 20  # frames that are not scored; the background is learned
_BORDER_PX = 6  # objects nearer to the border are neither right nor wrong
_MIN_SCORE = 0.005
_PEAK_RADIUS_PX = 4
_MAX_PEAKS = 300  # detections of a threshold in a frame


@dataclass(frozen=True)
class FaintOptions:
    """Scenes of the benchmark.

    Attributes:
        snrs: contrasts of the vehicles in standard deviations of a pixel's noise.
        num_clips: number of scenes of each contrast.
        first_seed: seed of the first scene.
        num_frames: number of frames of a scene, more than 20.
        size_px: width and height of the images.
        density: number of vehicles per megapixel.
    """

    snrs: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    num_clips: int = 6
    first_seed: int = 1_000_300
    num_frames: int = 50
    size_px: int = 512
    density: float = 100.0

    def make_scene(self, snr: float, index: int) -> SatelliteScene:
        """Return the scene of seed `first_seed + index`, with vehicles of `snr` deviations of the noise."""
        return SatelliteScene(
            self.first_seed + index,
            self.num_frames,
            self.size_px,
            color=False,
            traffic="measured",
            density=self.density,
            snr=snr,
        )


@dataclass
class DetectionLog:
    """Scored detections of a method over all frames.

    Attributes:
        scores: score of each detection.
        is_right: True for each detection that has an object of its own.
        num_frames: number of frames.
        num_objects: number of objects in all frames.
    """

    scores: list[float] = field(default_factory=list)
    is_right: list[bool] = field(default_factory=list)
    num_frames: int = 0
    num_objects: int = 0

    def add_frame(
        self,
        centers: NDArray[np.float64],
        scores: NDArray[Any],
        movers: NDArray[np.float64],
        others: NDArray[np.float64],
    ) -> None:
        """Match the detections of a frame, best first.

        Args:
            centers: centers of the detections, ``(n, 2)``.
            scores: their scores, ``(n,)``.
            movers: centers of the objects that count, ``(m, 2)``.
            others: centers of objects whose detections do not count, ``(k, 2)``.
        """
        objects = np.concatenate([movers, others])
        is_free = np.ones(len(objects), bool)
        self.num_frames += 1
        self.num_objects += len(movers)
        for index in np.argsort(-np.asarray(scores), kind="stable"):
            distances = np.hypot(*(objects - centers[index]).T)
            distances[~is_free] = np.inf
            nearest = int(distances.argmin()) if len(objects) else -1
            is_right = nearest >= 0 and distances[nearest] <= _MAX_DISTANCE_PX
            if is_right:
                is_free[nearest] = False
                if nearest >= len(movers):
                    continue
            self.scores.append(float(scores[index]))
            self.is_right.append(is_right)

    def compute_curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return false alarms a frame, ascending, and recall, both (detections + 1,), for every threshold."""
        order = np.argsort(-np.array(self.scores), kind="stable")
        is_right = np.array(self.is_right, bool)[order]
        false_alarms = np.concatenate([[0], np.cumsum(~is_right)]) / max(self.num_frames, 1)
        recall = np.concatenate([[0], np.cumsum(is_right)]) / max(self.num_objects, 1)
        return false_alarms, recall

    def compute_recall(self, false_alarms: float) -> float:
        """Return the recall at a number of false alarms a frame."""
        known, recall = self.compute_curve()
        return float(recall[np.searchsorted(known, false_alarms, side="right") - 1])


Logs = dict[float, dict[str, DetectionLog]]
"""Detections by contrast and method."""


def run_faint(
    models: Mapping[str, LoadedModel], options: FaintOptions, on_frame: Callable[[], None] = lambda: None
) -> Logs:
    """Run models and thresholds over the scenes.

    Args:
        models: models by label.
        options: scenes.
        on_frame: called after each frame.
    """
    logs: Logs = {}
    for snr in options.snrs:
        logs[snr] = {name: DetectionLog() for name in (*models, RESIDUAL, ACCUMULATED)}
        for index in range(options.num_clips):
            _run_scene(options.make_scene(snr, index), models, logs[snr], on_frame)
    return logs


def _run_scene(
    scene: SatelliteScene,
    models: Mapping[str, LoadedModel],
    logs: Mapping[str, DetectionLog],
    on_frame: Callable[[], None],
) -> None:
    settings = TrackerSettings(min_score=_MIN_SCORE)
    trackers = {name: SpaxTracker(model, settings) for name, model in models.items()}
    mask = MotionMask(MotionSettings(accumulates=True, min_halved_side_px=NEVER_HALVED))
    for index, (frame, movers, others) in enumerate(find_movers(scene)):
        detections = {
            name: tracker.track(frame.image, frame.stamp_ns).detections for name, tracker in trackers.items()
        }
        motion = mask.update(to_gray(frame.image))
        on_frame()
        if index < _WARM_UP_FRAMES:
            continue
        for name, found in detections.items():
            logs[name].add_frame(compute_centers(found.boxes), found.scores, movers, others)
        assert motion.accumulated is not None
        logs[RESIDUAL].add_frame(*find_map_peaks(motion.residual, 1), movers, others)
        logs[ACCUMULATED].add_frame(*find_map_peaks(motion.accumulated.strength, REDUCTION), movers, others)


def find_movers(
    scene: SatelliteScene,
) -> Iterator[tuple[Frame, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield each frame with the centers of moving and of other objects, x, y in pixels, both (n, 2).

    An object moves if it moves over the ground. Objects near the border count as others.
    """
    history: list[dict[int, NDArray[np.float64]]] = []
    for index, frame in enumerate(scene):
        motion = scene.compute_camera_motion(index)
        history = [
            {key: transform_points(center, motion) for key, center in known.items()}
            for known in history[-_SPEED_FRAMES:]
        ]
        assert frame.truth is not None
        centers = compute_centers(frame.truth.boxes)
        ids = frame.truth.ids.tolist()
        before = history[0] if len(history) == _SPEED_FRAMES else {}
        is_inside = ((centers > _BORDER_PX) & (centers < np.array(scene.size) - _BORDER_PX)).all(axis=1)
        is_moving = [
            key in before and float(np.hypot(*(center - before[key]))) >= _MIN_SPEED_PX * _SPEED_FRAMES
            for key, center in zip(ids, centers, strict=True)
        ]
        is_mover = is_inside & np.array(is_moving, bool)
        history.append(dict(zip(ids, centers, strict=True)))
        yield frame, centers[is_mover], centers[~is_mover]


def find_map_peaks(
    values: NDArray[np.float32], factor: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return centers x, y ``(n, 2)`` and values of the highest local maxima of a map.

    Args:
        values: map ``(height, width)``, not negative.
        factor: pixels of the image per pixel of the map.
    """
    side = 2 * (_PEAK_RADIUS_PX // factor) + 1
    is_peak = (values >= cv2.dilate(values, np.ones((side, side), np.uint8))) & (values > 0)
    rows, columns = np.nonzero(is_peak)
    scores = values[rows, columns]
    best = np.argsort(-scores, kind="stable")[:_MAX_PEAKS]
    centers = factor * (np.stack([columns, rows], axis=1)[best].astype(np.float64) + 0.5)
    return centers, scores[best]


def make_table(logs: Logs) -> Table:
    """Return a table of the recall at `FALSE_ALARMS` by contrast and method."""
    table = Table(title="recall of movers at equal false alarms a frame", box=SIMPLE_HEAD)
    table.add_column("SNR", justify="right")
    table.add_column("")
    for value in FALSE_ALARMS:
        table.add_column(f"{value:g}", justify="right")
    for snr, methods in logs.items():
        for name, log in methods.items():
            recalls = [f"{log.compute_recall(value):.3f}" for value in FALSE_ALARMS]
            table.add_row(f"{snr:g}", name, *recalls)
    return table


def write_report(folder: Path, logs: Logs, options: FaintOptions) -> None:
    """Write `faint.json` and the curves in `faint.png`.

    Args:
        folder: folder of the report, created if missing.
        logs: detections by contrast and method.
        options: scenes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = [
        {
            "snr": snr,
            "method": name,
            "objects": log.num_objects,
            "frames": log.num_frames,
            "recall": {f"{value:g}": log.compute_recall(value) for value in FALSE_ALARMS},
        }
        for snr, methods in logs.items()
        for name, log in methods.items()
    ]
    content = {"scenes": asdict(options), "machine": asdict(describe_machine()), "results": results}
    (folder / "faint.json").write_text(json.dumps(content, indent=2) + "\n")
    with use_plot_style("#222222"):
        figure = Figure(figsize=(3.6 * len(logs), 3.8), layout="constrained")
        all_axes = figure.subplots(1, len(logs), squeeze=False, sharey=True)[0]
        for axes, (snr, methods) in zip(all_axes, logs.items(), strict=True):
            for index, (name, log) in enumerate(methods.items()):
                color = PALETTE[index % len(PALETTE)]
                axes.step(*log.compute_curve(), where="post", color=color, label=name)
            axes.set(title=f"SNR {snr:g}", xlabel="false alarms a frame", ylim=(0, 1))
            axes.set_xscale("symlog", linthresh=0.3)
            axes.set_xlim(0, 30)
        all_axes[0].set_ylabel("recall of movers")
        all_axes[0].legend(loc="upper left", fontsize=8)
        figure.savefig(folder / "faint.png", dpi=120)


def count_frames(options: FaintOptions) -> int:
    """Return the number of frames of all scenes."""
    return len(options.snrs) * options.num_clips * options.num_frames


def label_models(names: Sequence[str]) -> list[str]:
    """Return a label for each model: the name without folder and suffix."""
    return [Path(name).stem if name.endswith(".yaml") else name for name in names]
