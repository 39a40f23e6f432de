"""Self-training on video without ground truth: label by tracking, train, and label again.

Each round labels the video by the model of the round before (`spax_ros.training.pseudo_labels`). It trains
the model on the labeled clips and on simulated ones, which keep what it knew. The rounds end when the labels
stay the same, when the model loses accuracy on other simulated scenes, or after the last round.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from spax_ros.association import TrackState
from spax_ros.motion.mask import MotionSettings
from spax_ros.network.config import SpaxConfig
from spax_ros.preprocessing import PixelEncoder
from spax_ros.simulation import TRAINING_SEEDS, SatelliteScene
from spax_ros.tracker import SpaxTracker
from spax_ros.training.clips import Clip, ClipFrame, PreparedFrame, find_box_slices
from spax_ros.training.options import RUNS_FOLDER, TrainSpaxOptions
from spax_ros.training.preparation import MAX_CLIP_FRAMES, prepare_clips, prepare_frames
from spax_ros.training.pseudo_labels import (
    LabelRules,
    collect_tracks,
    compute_agreement,
    find_doubtful_boxes,
    label_frames,
)
from spax_ros.training.run import train_spax
from spax_ros.weights import ARCHITECTURE, load_spax, save_spax
from tracking_runtime.boxes import FrameBoxes, make_unique_ids
from tracking_runtime.errors import SourceError, TrackingError
from tracking_runtime.evaluation.multi_object import score_tracks
from tracking_runtime.frames import Frame, GroundTruth
from tracking_runtime.io.sources import open_source_leniently
from tracking_runtime.models.manifest import find_model, load_model

STABLE_AGREEMENT = 0.98
"""F1 score of the labels of two rounds from which they count as the same."""

MAX_LOSS = 0.01
"""Loss of MOTA on simulated scenes from which a round is rejected."""

_STEPS_PER_ROUND = 600
_DEFAULT_MODEL = "spax_small"
_GUARD_SEEDS = TRAINING_SEEDS[-4:]  # scenes that no training uses
_GUARD_FRAMES = 40
_GUARD_SIZE_PX = 384
_MIN_CLIP_FRAMES = 8  # of the last clip of a video


@dataclass(frozen=True)
class Round:
    """Result of one round.

    Attributes:
        labels: number of labeled boxes.
        agreement: F1 score with the labels of the round before; None in the first round.
        mota: MOTA of the trained model on the simulated scenes; None: nothing was trained.
    """

    labels: int
    agreement: float | None
    mota: float | None


def train_on_unlabelled(options: TrainSpaxOptions, progress: Progress | None = None) -> Path:
    """Refine a model on video without ground truth and write the model of the best round.

    An interrupted run continues if the function is called again.

    Args:
        options: options of the run; `unlabelled` has the video, and `steps` counts for each round.
        progress: progress bars to which the function adds its own; None shows nothing.

    Returns:
        Path of the model's manifest.

    Raises:
        ModelError: the base model cannot be used.
        SourceError: a video cannot be read, or has no labels at all.
    """
    progress = progress or Progress(disable=True)
    base_model = options.base_model or _DEFAULT_MODEL
    name = options.resolve_name(f"{find_model(base_model).stem}_refined")
    folder = options.folder or RUNS_FOLDER / name
    current = str(find_model(base_model))
    task = progress.add_task("rounds", total=options.rounds)
    first_mota = measure_guard(current)
    rounds: list[Round] = []
    labels: list[list[GroundTruth]] | None = None
    for index in range(options.rounds):
        round_folder = folder / f"round-{index + 1}"
        new_labels = _prepare_round(options, current, round_folder / "clips")
        num_labels = sum(len(truth.ids) for video in new_labels for truth in video)
        if not num_labels:
            raise SourceError(
                f"{', '.join(options.unlabelled)}: no track is long, fast and smooth enough to be a label; "
                "give more video, or train on labeled video first"
            )
        agreement = None if labels is None else _compare_labels(labels, new_labels)
        labels = new_labels
        if agreement is not None and agreement >= STABLE_AGREEMENT:
            rounds.append(Round(num_labels, agreement, None))
            break
        candidate = _train_round(options, current, round_folder, progress, is_first=index == 0)
        mota = measure_guard(candidate)
        rounds.append(Round(num_labels, agreement, mota))
        if mota < first_mota - MAX_LOSS:
            break
        current = candidate
        progress.advance(task)
    progress.update(task, completed=options.rounds)
    return _save_result(options, current, name, first_mota, rounds)


def measure_guard(model: str) -> float:
    """Return the MOTA of a model on simulated scenes that no training uses."""
    truth: list[FrameBoxes] = []
    predictions: list[FrameBoxes] = []
    loaded = load_spax(model)
    for number, seed in enumerate(_GUARD_SEEDS):
        tracker = SpaxTracker(loaded)
        for frame in SatelliteScene(seed, _GUARD_FRAMES, _GUARD_SIZE_PX):
            tracks = tracker.track(frame.image, frame.stamp_ns).tracks
            is_confirmed = tracks.states == TrackState.CONFIRMED
            assert frame.truth is not None
            truth.append(FrameBoxes(make_unique_ids(frame.truth.ids, number), frame.truth.boxes))
            predictions.append(
                FrameBoxes(make_unique_ids(tracks.ids[is_confirmed], number), tracks.boxes[is_confirmed])
            )
    return score_tracks(truth, predictions).mota


def label_video(
    model: str, address: str, rules: LabelRules
) -> tuple[list[GroundTruth], list[NDArray[np.float64]]]:
    """Return the labels of each frame of a video, and the boxes that are doubtful.

    Args:
        model: name or path of the model that tracks.
        address: address of the video, as of `tracking_runtime.io.sources.open_source`.
        rules: properties of a label.

    Raises:
        SourceError: the video cannot be read or has no frames.
    """
    source = open_source_leniently(address)
    num_frames = len(source)
    if not num_frames:
        raise SourceError(f"{address} has no frames; give a video, or a folder of images")
    tracks = collect_tracks(SpaxTracker(load_spax(model)), source)
    return label_frames(tracks, num_frames, rules), find_doubtful_boxes(tracks, num_frames, rules)


def _prepare_round(options: TrainSpaxOptions, model: str, clips: Path) -> list[list[GroundTruth]]:
    """Write the clips of all videos with the labels of a model, and link the simulated clips beside them."""
    config = SpaxConfig.from_parameters(load_model(model, ARCHITECTURE).manifest.parameters)
    inputs = "gray_residual_velocity" if options.accumulate else config.inputs
    encoder = PixelEncoder(inputs)
    rules = LabelRules()
    shutil.rmtree(clips, ignore_errors=True)
    clips.mkdir(parents=True)
    all_labels = []
    for number, address in enumerate(options.unlabelled):
        labels, doubtful = label_video(model, address, rules)
        frames = open_source_leniently(address)
        for part, clip in enumerate(_make_clips(frames, labels, doubtful, encoder)):
            clip.save(clips / f"{encoder.kind}-unlabelled-{number:04d}-{part:04d}.npz")
        all_labels.append(labels)
    simulated = prepare_clips(options.clips, encoder, num_scenes=options.simulated, scenes=options.scenes)
    for _ in simulated:
        pass
    for path in sorted(options.clips.glob(f"{encoder.kind}-*.npz"))[: options.simulated]:
        _link(path, clips / path.name)
    return all_labels


def _make_clips(
    frames: Sequence[Frame] | Any,
    labels: Sequence[GroundTruth],
    doubtful: Sequence[NDArray[np.float64]],
    encoder: PixelEncoder,
) -> Iterator[Clip]:
    """Yield the clips of a video, without the pixels of doubtful boxes."""
    labeled = (replace(frame, truth=truth) for frame, truth in zip(frames, labels, strict=False))
    part: list[PreparedFrame] = []
    for prepared, boxes in zip(prepare_frames(labeled, encoder, MotionSettings()), doubtful, strict=False):
        part.append(_leave_out(prepared, boxes))
        if len(part) == MAX_CLIP_FRAMES:
            yield Clip.from_frames(part)
            part = []
    if len(part) >= _MIN_CLIP_FRAMES:
        yield Clip.from_frames(part)


def _leave_out(prepared: PreparedFrame, boxes: NDArray[np.float64]) -> PreparedFrame:
    """Return a frame without the active pixels of some boxes."""
    height, width = prepared.size
    is_doubtful = np.zeros((height, width), bool)
    for box in boxes:
        is_doubtful[find_box_slices(box, height, width)] = True
    for box in prepared.frame.truth.boxes:
        is_doubtful[find_box_slices(box, height, width)] = False
    frame = prepared.frame
    is_kept = ~is_doubtful.reshape(-1)[frame.pixels]
    kept = ClipFrame(frame.pixels[is_kept], frame.inputs[is_kept], frame.shift, frame.truth)
    return PreparedFrame(prepared.size, kept)


def _link(path: Path, target: Path) -> None:
    """Link a file, or copy it between file systems."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _train_round(
    options: TrainSpaxOptions, model: str, folder: Path, progress: Progress, *, is_first: bool
) -> str:
    """Train a model on the clips of a round and return the path of the new one."""
    trained = replace(
        options,
        base_model=model,
        unlabelled=(),
        sources=(),
        datasets=(),
        simulated=0,
        accumulate=options.accumulate and is_first,
        steps=options.steps or _STEPS_PER_ROUND,
        clips=folder / "clips",
        folder=folder / "run",
        models=folder,
        name="model",
    )
    path = train_spax(trained, progress)
    if path is None:
        raise TrackingError("self-training runs in one process; start it without torchrun")
    return str(path)


def _compare_labels(before: Sequence[Sequence[GroundTruth]], after: Sequence[Sequence[GroundTruth]]) -> float:
    """Return the agreement of all videos together."""
    return compute_agreement(
        [truth for video in before for truth in video], [truth for video in after for truth in video]
    )


def _save_result(
    options: TrainSpaxOptions, model: str, name: str, first_mota: float, rounds: Sequence[Round]
) -> Path:
    """Write the model of the last accepted round with a description of all rounds."""
    loaded = load_model(model, ARCHITECTURE)
    training = {
        "data": [*options.unlabelled, f"{options.simulated} simulated clips"],
        "begun_from": options.base_model or _DEFAULT_MODEL,
        "simulated_mota_before": first_mota,
        "rounds": [asdict(each) for each in rounds],
    }
    config = SpaxConfig.from_parameters(loaded.manifest.parameters)
    return save_spax(options.models, name, config, loaded.weights, training=training)
