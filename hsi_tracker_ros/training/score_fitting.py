"""Fit of a tracker's scores to videos, so that a score is the probability of a correct box.

Platt, "Probabilistic outputs for support vector machines", 1999: a logistic regression on the log odds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from hsi_tracker_ros.cubes.decoder import make_decoder
from hsi_tracker_ros.hanet.weights import find_color_network, load_network
from hsi_tracker_ros.tracker import (
    SIAMBAN,
    HsiTracker,
    TrackerSettings,
    load_rgb_tracker,
    make_rgb_settings,
)
from hsi_tracker_ros.training.fitted_models import FitResult, find_first_visible, save_fitted_model
from tracking_runtime.datasets.factory import open_dataset
from tracking_runtime.datasets.sequences import VideoSequence
from tracking_runtime.errors import ModelError, SourceError
from tracking_runtime.evaluation.one_pass import compute_frame_overlaps
from tracking_runtime.evaluation.reliability import (
    CORRECT_OVERLAP,
    Reliability,
    combine_reliabilities,
    count_reliability,
)
from tracking_runtime.evaluation.video_scores import find_target_boxes
from tracking_runtime.models.manifest import check_name_is_free, find_model, read_manifest

_MAX_LOG_ODDS = 30.0  # scores of 0 and 1 count as these log odds
_REGULARIZATION = 1e-3  # keeps the scale finite if the log odds separate all boxes
_MIN_SCALE = 1e-2  # a smaller scale means that the log odds say nothing of the box


@dataclass(frozen=True)
class ScoredFrames:
    """Boxes of a tracker in the frames of one or several videos.

    Attributes:
        log_odds: log odds of the tracker's score, (frames,).
        overlaps: intersection over union of the box with the ground truth, (frames,); NaN where the target
            is absent.
    """

    log_odds: NDArray[np.float64]
    overlaps: NDArray[np.float64]

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Correctness of each box, (frames,)."""
        return np.asarray(np.nan_to_num(self.overlaps) >= CORRECT_OVERLAP, bool)


@dataclass(frozen=True)
class ScoreFit:
    """Logistic regression from the log odds of scores to those of a correct box.

    Attributes:
        scale: factor of the log odds.
        offset: log odds of a correct box where the score is 0.5.
    """

    scale: float
    offset: float

    def count_reliability(self, frames: ScoredFrames) -> Reliability:
        """Return the reliability of the fitted scores of frames."""
        return count_reliability(expit(self.scale * frames.log_odds + self.offset), frames.overlaps)

    def apply(self, settings: TrackerSettings) -> TrackerSettings:
        """Return settings with fitted scores. The ranks of candidates, and which boxes are followed, stay.

        Raises:
            ModelError: the ranks depend on the probability (`peak_width` 0).
        """
        if not settings.peak_width:
            raise ModelError(
                "scores can only be fitted if the setting peak_width is above 0: with 0, the tracker ranks "
                "boxes by their probability, and would choose others"
            )
        return replace(
            settings,
            score_logit=settings.score_logit * self.scale,
            score_offset=settings.score_offset * self.scale + self.offset,
            peak_width=settings.peak_width * self.scale,
            lost_score=float(expit(self.scale * logit(settings.lost_score) + self.offset)),
        )


def fit_scores(frames: ScoredFrames) -> ScoreFit:
    """Fit the probability of a correct box to the log odds of the scores, by maximum likelihood.

    Raises:
        SourceError: all boxes are correct, or none is, or the log odds say nothing of the boxes.
    """
    is_correct = frames.is_correct
    if is_correct.all() or not is_correct.any():
        raise SourceError("scores can only be fitted to videos with correct and with wrong boxes")
    signs = np.where(is_correct, 1.0, -1.0)

    def compute_loss(parameters: NDArray[np.float64]) -> float:
        scale, offset = parameters
        margins = signs * (scale * frames.log_odds + offset)
        return float(np.logaddexp(0, -margins).mean() + _REGULARIZATION * (scale - 1) ** 2)

    scale, offset = minimize(compute_loss, np.array([1.0, 0.0])).x
    if scale < _MIN_SCALE:
        raise SourceError("the scores of these videos say nothing of the boxes: wrong ones score as high")
    return ScoreFit(float(scale), float(offset))


def collect_scored_frames(tracker: HsiTracker, videos: Sequence[VideoSequence]) -> Iterator[ScoredFrames]:
    """Track the target of each video from its first visible frame on. Yield the boxes of each video.

    Args:
        tracker: tracker of color images.
        videos: color videos with one target each.

    Raises:
        SourceError: a video cannot be read or never shows its target.
    """
    for video in videos:
        yield _track_video(tracker, video)


def combine_scored_frames(videos: Sequence[ScoredFrames]) -> ScoredFrames:
    """Join the frames of several videos."""
    return ScoredFrames(
        np.concatenate([video.log_odds for video in videos]),
        np.concatenate([video.overlaps for video in videos]),
    )


def _track_video(tracker: HsiTracker, video: VideoSequence) -> ScoredFrames:
    decoder = make_decoder(None)
    tracker.reset()
    truth = find_target_boxes(video.truth)
    first = find_first_visible(video, truth)
    scores: list[float] = []
    boxes: list[NDArray[Any]] = []
    for index, frame in enumerate(video):
        if index == first:
            image = decoder.decode(frame.image, frame.encoding)
            tracker.set_target(image, truth[first], stamp_ns=frame.stamp_ns)
        elif index > first:
            image = decoder.decode(frame.image, frame.encoding)
            (state,) = tracker.track(image, frame.stamp_ns)
            scores.append(state.score)
            boxes.append(state.box)
    log_odds = np.clip(logit(np.array(scores, np.float64)), -_MAX_LOG_ODDS, _MAX_LOG_ODDS)
    last = first + 1 + len(scores)
    return ScoredFrames(log_odds, compute_frame_overlaps(np.reshape(boxes, (-1, 4)), truth[first + 1 : last]))


@dataclass(frozen=True)
class FitScoresOptions:
    """Options of `fit_model_scores`.

    Attributes:
        model: name or path of a model that tracks color images.
        data: color videos with one target each.
        name: name of the model with fitted scores.
        models: folder that this model is written to.
        engine: engine that runs the model.
    """

    model: str
    data: tuple[Path, ...]
    name: str
    models: Path = Path("models")
    engine: str = "auto"


def fit_model_scores(options: FitScoresOptions, on_progress: Callable[[int, int], None]) -> FitResult:
    """Fit the scores of a model to videos and write a model with the same weights.

    Args:
        options: model, videos and output.
        on_progress: called with the numbers of finished videos and of all videos.

    Raises:
        ModelError: the model cannot be loaded or fitted, or a model of this name exists.
        SourceError: the videos cannot be used.
        EngineError: no engine works.
    """
    check_name_is_free(options.models, options.name)
    manifest = read_manifest(find_model(options.model))
    network = load_network(options.model)
    settings = make_rgb_settings(network)
    ScoreFit(1.0, 0.0).apply(settings)  # refuse before the long part
    videos = [video for path in options.data for video in open_dataset(path)]
    tracker = load_rgb_tracker(options.model, options.engine, settings=settings)
    frames_of_videos = []
    for frames in collect_scored_frames(tracker, videos):
        frames_of_videos.append(frames)
        on_progress(len(frames_of_videos), len(videos))

    fit = fit_scores(combine_scored_frames(frames_of_videos))
    color_network = find_color_network(network)
    color_network.config = replace(color_network.config, tracking=_list_changes(fit.apply(settings)))
    held_out = combine_reliabilities(list(_fit_held_out(frames_of_videos)))
    training = {
        "scores_fitted_to": [video.name for video in videos],
        "expected_calibration_error_held_out": round(held_out.expected_calibration_error, 4),
    }
    path = save_fitted_model(options.models, options.name, color_network, manifest, training)
    before = ScoreFit(1.0, 0.0).count_reliability(combine_scored_frames(frames_of_videos))
    return FitResult(path, before, held_out)


def _list_changes(settings: TrackerSettings) -> dict[str, float]:
    """Return the settings that differ from those that a color model has by default."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if getattr(settings, field.name) != getattr(SIAMBAN, field.name)
    }


def _fit_held_out(videos: Sequence[ScoredFrames]) -> Iterator[Reliability]:
    """Yield the reliability of the scores of each video, fitted to all other videos."""
    for index, video in enumerate(videos):
        others = [*videos[:index], *videos[index + 1 :]]
        if others:
            yield fit_scores(combine_scored_frames(others)).count_reliability(video)
