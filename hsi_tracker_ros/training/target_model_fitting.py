"""Fit of the tracker's numbers to labeled videos: weights of candidates, and the existence of targets.

The weights are logistic regressions on the features of candidates. The scale of their log odds is fitted to
the best candidates alone (Platt, "Probabilistic outputs for support vector machines", 1999). The transitions
of the existence filter are frequencies. The evidence of a frame maximizes the likelihood of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

from hsi_tracker_ros.tracker.existence import MAX_LOG_RATIO, make_transitions
from hsi_tracker_ros.tracker.target_model import CandidateWeights, ExistenceModel, TargetModel
from tracking_runtime.errors import SourceError
from tracking_runtime.evaluation.reliability import CORRECT_OVERLAP

Floats = NDArray[np.float64]

_WRONG_OVERLAP = 0.3  # overlap below which a candidate is wrong; those up to CORRECT_OVERLAP are left out
_REGULARIZATION = 3e-3  # weight of the squared weights of normalized features, against separable data
_MIN_DEVIATION = 1e-9  # of a feature, against division by zero
_MIN_FRAMES = 5  # frames of each kind, correct and wrong, below which a fit would say nothing
_WEIGHT_BOUNDS = (0.02, 1.0)  # weight of the evidence: frames correlated over 50 frames, and independent
_CORRELATION_BOUNDS = (0.0, 1.0)  # of the frames of a candidate: independent, and without news
_FIRST_BOUND_LOGIT = 2.0  # log odds of the highest probability, from which its fit starts
_OFFSET_PRIOR = 1e-3  # weight of the squared offset of the evidence, against sparse data
_MIN_SCORE = 1e-6  # bound of a score in a logarithm


@dataclass(frozen=True)
class LabeledFrame:
    """Candidates of one frame with their ground truth. Their features are those of `CandidateWeights`.

    Attributes:
        features: features of all candidates, (candidates, 5).
        overlaps: intersection over union of all candidates with the ground truth, (candidates,); 0 where the
            target is absent.
        best_features: features of the best candidate, whose box may have been refined, (5,).
        best_overlap: its intersection over union with the ground truth.
        is_lost: True if the tracker searched for a lost target.
        continues: True if the best candidate is near that of the last frame.
        is_at_border: True if the target was near the border of the image.
    """

    features: Floats
    overlaps: Floats
    best_features: Floats
    best_overlap: float
    is_lost: bool
    continues: bool
    is_at_border: bool


@dataclass(frozen=True)
class LabeledVideo:
    """Frames of one video.

    Attributes:
        name: name of the video.
        frames: frames in their order, from the first after that in which the target was set.
        redetections: frames in which the target was searched as if it were lost.
    """

    name: str
    frames: Sequence[LabeledFrame]
    redetections: Sequence[LabeledFrame]


def fit_target_model(videos: Sequence[LabeledVideo]) -> TargetModel:
    """Fit all numbers to labeled videos, by maximum likelihood.

    Raises:
        SourceError: the videos have too few correct or too few wrong boxes.
    """
    frames = [frame for video in videos for frame in video.frames]
    lost_frames = [frame for frame in frames if frame.is_lost]
    lost_frames += [frame for video in videos for frame in video.redetections]
    view = _fit_weights([frame for frame in frames if not frame.is_lost])
    redetection = _fit_weights(lost_frames) if _has_both_labels(lost_frames) else view
    sequences = _Sequences.make(videos, view, redetection)
    return TargetModel(view, redetection, _fit_existence(videos, sequences))


def predict_scores(videos: Sequence[LabeledVideo], model: TargetModel) -> list[Floats]:
    """Return the score of each frame of each video, with the search regions of the recorded run."""
    sequences = _Sequences.make(videos, model.view, model.redetection)
    probabilities = sequences.filter(model.existence)
    return [row[: len(video.frames)] for row, video in zip(probabilities, videos, strict=True)]


def _fit_weights(frames: Sequence[LabeledFrame]) -> CandidateWeights:
    """Fit the weights to all candidates of frames, and the scale of the log odds to the best ones."""
    if not _has_both_labels(frames):
        raise SourceError(
            "a tracker can only be fitted to videos with correct and with wrong boxes: got fewer than "
            f"{_MIN_FRAMES} frames of one kind; add videos"
        )
    features = np.concatenate([frame.features for frame in frames])
    overlaps = np.concatenate([frame.overlaps for frame in frames])
    is_used = (overlaps >= CORRECT_OVERLAP) | (overlaps < _WRONG_OVERLAP)
    slopes = _regress(features[is_used], overlaps[is_used] >= CORRECT_OVERLAP).weights
    best = np.stack([frame.best_features for frame in frames])
    is_correct = _list_labels(frames)
    fit = _regress((best @ slopes)[:, None], is_correct)
    prior = float(logit(is_correct.mean()))  # a likelihood ratio is what a candidate adds to it
    return CandidateWeights(fit.offset - prior, *(fit.weights[0] * slopes).tolist())


def _has_both_labels(frames: Sequence[LabeledFrame]) -> bool:
    """Return whether enough of the best candidates are correct, and enough are wrong."""
    count = int(_list_labels(frames).sum())
    return min(count, len(frames) - count) >= _MIN_FRAMES


def _list_labels(frames: Sequence[LabeledFrame]) -> NDArray[np.bool_]:
    return np.array([frame.best_overlap >= CORRECT_OVERLAP for frame in frames], bool)


@dataclass(frozen=True)
class _Regression:
    """Logistic regression with an upper bound below 1, as some wrong candidates look like the target.

    Attributes:
        weights: weights of the features.
        offset: log odds of features that are 0.
    """

    weights: Floats
    offset: float


def _regress(features: Floats, labels: NDArray[np.bool_]) -> _Regression:
    """Fit a regularized logistic regression whose highest probability is fitted too."""
    mean = features.mean(axis=0)
    deviation = features.std(axis=0)
    is_constant = deviation < _MIN_DEVIATION
    normalized = (features - mean) / np.where(is_constant, 1.0, deviation)

    def compute_loss(parameters: Floats) -> tuple[float, Floats]:
        weights, offset, bound = parameters[:-2], parameters[-2], expit(parameters[-1])
        probabilities = expit(normalized @ weights + offset)
        bounded = np.clip(bound * probabilities, _MIN_SCORE, 1 - _MIN_SCORE)
        loss = -np.where(labels, np.log(bounded), np.log1p(-bounded)).mean()
        by_bounded = np.where(labels, -1 / bounded, 1 / (1 - bounded)) / len(labels)
        by_logit = by_bounded * bound * probabilities * (1 - probabilities)
        by_bound = (by_bounded * probabilities).sum() * bound * (1 - bound)
        gradient = [normalized.T @ by_logit + 2 * _REGULARIZATION * weights, [by_logit.sum(), by_bound]]
        return float(loss + _REGULARIZATION * (weights**2).sum()), np.concatenate(gradient)

    first = np.append(np.zeros(features.shape[1] + 1), _FIRST_BOUND_LOGIT)
    result = minimize(compute_loss, first, jac=True, method="L-BFGS-B").x
    weights = np.where(is_constant, 0.0, result[:-2] / np.where(is_constant, 1.0, deviation))
    return _Regression(weights, float(result[-2] - weights @ mean))


@dataclass(frozen=True)
class _Sequences:
    """Best candidates of several videos, padded to the longest, all (videos, frames).

    Attributes:
        log_odds: log odds of the best candidates.
        is_correct: True if their boxes are correct.
        is_lost: True if the tracker searched for a lost target.
        is_restarted: True if the frame shows another candidate of a lost target than the frame before.
        is_at_border: True if the target may leave the image.
        is_frame: True if the video has this frame.
    """

    log_odds: Floats
    is_correct: NDArray[np.bool_]
    is_lost: NDArray[np.bool_]
    is_restarted: NDArray[np.bool_]
    is_at_border: NDArray[np.bool_]
    is_frame: NDArray[np.bool_]

    @classmethod
    def make(
        cls, videos: Sequence[LabeledVideo], view: CandidateWeights, redetection: CandidateWeights
    ) -> _Sequences:
        """Return the sequences of videos, with the log odds by these weights."""
        shape = len(videos), max((len(video.frames) for video in videos), default=0)
        log_odds = np.zeros(shape)
        flags = np.zeros((5, *shape), bool)
        for row, video in enumerate(videos):
            for column, frame in enumerate(video.frames):
                weights = redetection if frame.is_lost else view
                log_odds[row, column] = weights.compute_log_odds(frame.best_features)
                flags[:, row, column] = (
                    frame.best_overlap >= CORRECT_OVERLAP,
                    frame.is_lost,
                    not (frame.is_lost and frame.continues and column and video.frames[column - 1].is_lost),
                    frame.is_at_border,
                    True,
                )
        return cls(log_odds, *flags)

    def filter(self, model: ExistenceModel) -> Floats:
        """Return the score of each frame, as `TargetExistence` computes it."""
        log_ratios = model.evidence_weight * (self.log_odds + model.evidence_offset)
        ratios = np.exp(np.clip(log_ratios, -MAX_LOG_RATIO, MAX_LOG_RATIO))
        states = np.zeros((len(self.log_odds), 3))
        states[:, 0] = 1.0
        scores = np.zeros_like(self.log_odds)
        redetections = self.compute_redetection_scores(model)
        inside, border = (make_transitions(model, is_at_border=flag) for flag in (False, True))
        for index in range(self.log_odds.shape[1]):
            is_lost = self.is_lost[:, index]
            states = np.where(self.is_at_border[:, index, None], states @ border, states @ inside)
            states[:, 0] *= ratios[:, index]
            states /= states.sum(axis=1, keepdims=True)
            scores[:, index] = np.where(is_lost, redetections[:, index], states[:, 0])
            found = (1 - model.confusion) * scores[is_lost, index]
            states[is_lost] = np.stack([found, np.zeros_like(found), 1 - found], axis=1)
        return (1 - model.confusion) * scores

    def compute_redetection_scores(self, model: ExistenceModel) -> Floats:
        """Return the score of each frame with a lost target, as `RedetectionEvidence` computes it."""
        counts = np.zeros(len(self.log_odds))
        means = np.zeros_like(counts)
        scores = np.zeros_like(self.log_odds)
        for index in range(self.log_odds.shape[1]):
            counts = np.where(self.is_restarted[:, index], 1.0, counts + 1)
            log_odds = self.log_odds[:, index]
            means = np.where(self.is_restarted[:, index], log_odds, means + (log_odds - means) / counts)
            weights = counts / (1 + (counts - 1) * model.correlation)
            log_ratios = np.clip(weights * means, -MAX_LOG_RATIO, MAX_LOG_RATIO)
            scores[:, index] = expit(logit(model.enter) + log_ratios)
        return scores


def _fit_existence(videos: Sequence[LabeledVideo], sequences: _Sequences) -> ExistenceModel:
    """Count the transitions of the best candidates, and fit the evidence of a frame to their labels."""
    counted = _fit_correlation(_count_transitions(videos), sequences)
    labels = sequences.is_correct[sequences.is_frame]
    lowest, highest = _WEIGHT_BOUNDS

    def make_model(parameters: Floats) -> ExistenceModel:
        weight, confusion = expit(parameters[:2]).tolist()
        return replace(
            counted,
            evidence_weight=lowest + (highest - lowest) * weight,
            evidence_offset=float(parameters[2]),
            confusion=confusion,
        )

    def compute_loss(parameters: Floats) -> float:
        scores = sequences.filter(make_model(parameters))[sequences.is_frame]
        return _compute_log_loss(scores, labels) + _OFFSET_PRIOR * float(parameters[2]) ** 2

    first = np.array([0.0, -_FIRST_BOUND_LOGIT, 0.0])
    return make_model(minimize(compute_loss, first, method="Nelder-Mead").x)


def _fit_correlation(model: ExistenceModel, sequences: _Sequences) -> ExistenceModel:
    """Fit the correlation of the frames of a lost target's candidate; unchanged without such frames."""
    is_lost = sequences.is_lost & sequences.is_frame
    if not is_lost.any():
        return model

    def compute_loss(correlation: float) -> float:
        scores = sequences.compute_redetection_scores(replace(model, correlation=correlation))[is_lost]
        return _compute_log_loss(scores, sequences.is_correct[is_lost])

    correlation = minimize_scalar(compute_loss, bounds=_CORRELATION_BOUNDS, method="bounded").x
    return replace(model, correlation=float(correlation))


def _compute_log_loss(scores: Floats, labels: NDArray[np.bool_]) -> float:
    bounded = np.clip(scores, _MIN_SCORE, 1 - _MIN_SCORE)
    return float(-np.where(labels, np.log(bounded), np.log1p(-bounded)).mean())


def _count_transitions(videos: Sequence[LabeledVideo]) -> ExistenceModel:
    """Return the frequencies of transitions between correct and wrong boxes."""
    pairs = [pair for video in videos for pair in pairwise(video.frames) if not pair[1].is_lost]
    lost = [frame for video in videos for frame in video.frames if frame.is_lost]

    def is_correct(frame: LabeledFrame) -> bool:
        return frame.best_overlap >= CORRECT_OVERLAP

    kept = [(before.is_at_border, is_correct(after)) for before, after in pairs if is_correct(before)]
    return ExistenceModel(
        occlude=_compute_frequency([not stays for is_at_border, stays in kept if not is_at_border]),
        reveal=_compute_frequency([is_correct(after) for before, after in pairs if not is_correct(before)]),
        leave=_compute_frequency([not stays for is_at_border, stays in kept if is_at_border]),
        enter=_compute_frequency([is_correct(frame) for frame in lost]),
    )


def _compute_frequency(events: Sequence[bool]) -> float:
    """Return the frequency of an event by Laplace's rule of succession."""
    return (sum(events) + 1) / (len(events) + 2)
